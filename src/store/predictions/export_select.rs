//! Selects all predictions of a table, for exports.

use super::selects::{columns, types};
use crate::{
    domain::job::CompiledJob,
    store::driver::{
        pages::PageRows,
        quote::{name, table_name},
        raw::push_cell,
        scan::RangeSelect,
    },
};

/// Fields of the lineage that are exported, after the output columns.
pub const LINEAGE: [&str; 4] = ["model_sha256", "run_id", "scored_at", "rejected"];

/// Selects key, model_version, the output columns and [`LINEAGE`] of each prediction, by token
/// range; with `version`, only of that version. Filtering a range that is scanned anyway is the one
/// permitted use of ALLOW FILTERING.
pub fn predictions_range(job: &CompiledJob, version: Option<i32>) -> RangeSelect {
    let token = format!(
        "token({})",
        columns(job.key[..job.partition_key_len].iter())
    );
    let outputs = job.target.outputs.iter().map(|output| name(&output.name));
    let lineage = LINEAGE.iter().map(|field| format!("lineage.{field}"));
    let wanted: Vec<_> = outputs.chain(lineage).collect();
    let mut more_values = Vec::new();
    if let Some(version) = version {
        push_cell(&mut more_values, Some(&version.to_be_bytes()));
    }
    let output_types = job.target.outputs.iter().map(|output| &output.cql_type);
    RangeSelect {
        cql: format!(
            "SELECT {}, model_version, {} FROM {} WHERE {token} > ? AND {token} <= ?{}",
            columns(job.key.iter()),
            wanted.join(", "),
            table_name(&job.target.keyspace, &job.target.table),
            version.map_or("", |_| " AND model_version = ? ALLOW FILTERING"),
        ),
        more_values,
        partition_key_len: job.partition_key_len,
        key_len: job.key.len() + 1,
        pages: PageRows::for_types(types(&job.key).chain(output_types)).at_most(2_500),
    }
}
