//! A session of the tests' own, beside helenus: what it sees, any client would see.

use std::{sync::OnceLock, time::Duration};

use scylla::{
    client::{
        execution_profile::ExecutionProfile, session::Session, session_builder::SessionBuilder,
    },
    value::{CqlValue, Row},
};

use super::{block_on, required};

/// `host:port` of the Cassandra under test.
pub fn contact() -> String {
    required("HELENUS_TEST_CASSANDRA")
}

/// The process's session.
pub fn session() -> &'static Session {
    static SESSION: OnceLock<Session> = OnceLock::new();
    SESSION.get_or_init(|| {
        // Schema changes queue up behind those of the other tests.
        let profile = ExecutionProfile::builder()
            .request_timeout(Some(Duration::from_secs(60)))
            .build();
        block_on(
            SessionBuilder::new()
                .known_node(contact())
                .fetch_full_schema_metadata(false)
                .refresh_metadata_on_auto_schema_agreement(false)
                .default_execution_profile_handle(profile.into_handle())
                .build(),
        )
        .unwrap_or_else(|error| panic!("no Cassandra at {}: {error}", contact()))
    })
}

/// Runs a statement that gives no rows, or whose rows do not matter.
pub fn cql(statement: &str) {
    block_on(session().query_unpaged(statement, ()))
        .unwrap_or_else(|error| panic!("{error}\n{statement}"));
}

/// A row by its columns' names; nulls are left out.
pub type Named = std::collections::BTreeMap<String, CqlValue>;

/// All rows of a SELECT.
pub fn rows(select: &str) -> Vec<Named> {
    use futures::TryStreamExt;
    block_on(async {
        let pager = session()
            .query_iter(select, ())
            .await
            .unwrap_or_else(|error| panic!("{error}\n{select}"));
        let names: Vec<_> = pager
            .column_specs()
            .iter()
            .map(|column| column.name().to_owned())
            .collect();
        pager
            .rows_stream::<Row>()
            .unwrap()
            .map_ok(|row| {
                let cells = names.iter().cloned().zip(row.columns);
                cells
                    .filter_map(|(name, value)| Some((name, value?)))
                    .collect()
            })
            .try_collect()
            .await
            .unwrap_or_else(|error| panic!("{error}\n{select}"))
    })
}

/// The only row of a SELECT.
pub fn row(select: &str) -> Named {
    let mut rows = rows(select);
    assert_eq!(rows.len(), 1, "{select}: {rows:?}");
    rows.remove(0)
}
