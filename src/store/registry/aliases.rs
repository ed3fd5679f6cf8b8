//! `model_aliases`: where an alias points and every change of it, in one partition.

use chrono::{DateTime, Utc};
use scylla::{DeserializeRow, value::CqlTimeuuid};
use uuid::Uuid;

use crate::{
    domain::model::alias::{Change, PREVIOUS, previous},
    store::{
        Store,
        driver::{error::StoreError, names},
    },
};

const COLUMNS: &str = "changed_at, seq, from_version, to_version, who, why, evidence, request_id";
const MOVE: &str = "UPDATE model_aliases SET version = ?, last_seq = ? WHERE model = ? AND alias = ? IF last_seq = ?";
const NOTE: &str = "INSERT INTO model_aliases (model, alias, changed_at, seq, from_version, to_version, who, why, evidence, request_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Changes that are read to find a request again, and to roll back.
const RECENT: i32 = 1000;

#[derive(DeserializeRow)]
struct AliasColumns {
    changed_at: CqlTimeuuid,
    seq: Option<i32>,
    from_version: Option<i32>,
    to_version: Option<i32>,
    who: Option<String>,
    why: Option<String>,
    evidence: Option<String>,
    request_id: Option<CqlTimeuuid>,
}

impl AliasColumns {
    fn change(self, cql: &str) -> Result<Change, StoreError> {
        let (Some(seq), Some(to)) = (self.seq, self.to_version) else {
            return Err(StoreError::corrupt(
                format!(
                    "a change of an alias without seq or to_version: {}",
                    Uuid::from(self.changed_at)
                ),
                cql,
            ));
        };
        Ok(Change {
            changed_at: self.changed_at.into(),
            seq,
            from: self.from_version,
            to,
            who: self.who,
            why: self.why,
            evidence: self.evidence,
            request_id: self.request_id.map(Uuid::from),
        })
    }
}

impl Store {
    /// Returns the changes of an alias, newest first, `limit` of them at most. The first one shows
    /// where the alias points.
    pub async fn alias_history(
        &self,
        model: &str,
        alias: &str,
        limit: i32,
    ) -> Result<Vec<Change>, StoreError> {
        let cql =
            format!("SELECT {COLUMNS} FROM model_aliases WHERE model = ? AND alias = ? LIMIT ?");
        let rows: Vec<AliasColumns> = self.serial_rows(&cql, (model, alias, limit)).await?;
        rows.into_iter().map(|row| row.change(&cql)).collect()
    }

    /// Returns the last changes, enough to find a request that is still open, and to roll back.
    pub async fn recent_alias_history(
        &self,
        model: &str,
        alias: &str,
    ) -> Result<Vec<Change>, StoreError> {
        self.alias_history(model, alias, RECENT).await
    }

    /// Returns the version that an alias points to; `previous` is the one before the champion.
    pub async fn alias(&self, model: &str, alias: &str) -> Result<Option<i32>, StoreError> {
        if alias == PREVIOUS {
            let champion = crate::domain::model::alias::CHAMPION;
            return Ok(previous(&self.recent_alias_history(model, champion).await?));
        }
        let last = self.alias_history(model, alias, 1).await?;
        Ok(last.first().map(|change| change.to))
    }

    /// Returns the version that an alias points to after every decided move, and the number of that
    /// move.
    pub async fn alias_now(
        &self,
        model: &str,
        alias: &str,
    ) -> Result<Option<(i32, i32)>, StoreError> {
        let cql =
            "SELECT version, last_seq FROM model_aliases WHERE model = ? AND alias = ? LIMIT 1";
        let row: Option<(Option<i32>, Option<i32>)> = self.serial_row(cql, (model, alias)).await?;
        Ok(row.and_then(|(version, seq)| Some((version?, seq?))))
    }

    /// Returns the change that was in force at a time.
    pub async fn alias_at(
        &self,
        model: &str,
        alias: &str,
        at: DateTime<Utc>,
    ) -> Result<Option<Change>, StoreError> {
        let cql = format!(
            "SELECT {COLUMNS} FROM model_aliases WHERE model = ? AND alias = ? AND changed_at <= maxTimeuuid(?) LIMIT 1"
        );
        let row: Option<AliasColumns> = self.row(&cql, (model, alias, at)).await?;
        row.map(|row| row.change(&cql)).transpose()
    }

    /// Returns the number and the time of an alias's last change, by Cassandra's clock.
    pub async fn last_alias_change(
        &self,
        model: &str,
        alias: &str,
    ) -> Result<Option<(i32, DateTime<Utc>)>, StoreError> {
        let cql =
            "SELECT seq, WRITETIME(seq) FROM model_aliases WHERE model = ? AND alias = ? LIMIT 1";
        let row: Option<(Option<i32>, Option<i64>)> = self.serial_row(cql, (model, alias)).await?;
        Ok(row.and_then(|(seq, written)| Some((seq?, DateTime::from_timestamp_micros(written?)?))))
    }

    /// Returns all aliases of a model and the versions they point to, without `previous`.
    pub async fn aliases(&self, model: &str) -> Result<Vec<(String, i32)>, StoreError> {
        let mut found = Vec::new();
        for alias in self.names(&names::aliases_of(model)).await? {
            // A name is recorded before its first change, which may never have been written.
            if let Some(version) = self.alias(model, &alias).await? {
                found.push((alias, version));
            }
        }
        Ok(found)
    }

    /// Moves an alias and records the change, together, if no process moved it since `change.seq -
    /// 1`.
    ///
    /// # Errors
    /// [`crate::store::driver::error::StoreErrorKind::Unknown`]: look for `change.request_id` in the history.
    pub async fn move_alias(
        &self,
        model: &str,
        alias: &str,
        change: &Change,
    ) -> Result<bool, StoreError> {
        // Before the change, so that readers that list the aliases of a version never miss one.
        self.note_name(&names::aliases_of(model), alias).await?;
        let last_seq = (change.seq > 1).then_some(change.seq - 1);
        let moved = (change.to, change.seq, model, alias, last_seq);
        let noted = (
            model,
            alias,
            CqlTimeuuid::from(change.changed_at),
            change.seq,
            change.from,
            change.to,
            &change.who,
            &change.why,
            &change.evidence,
            change.request_id.map(CqlTimeuuid::from),
        );
        self.apply_batch(&[MOVE, NOTE], (moved, noted)).await
    }
}
