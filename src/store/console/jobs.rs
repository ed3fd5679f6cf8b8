//! Jobs: all of them, and one.

use chrono::{DateTime, Utc};
use scylla::value::CqlTimestamp;

use crate::store::{
    Store,
    driver::{columns::stored, error::StoreError},
};

/// Revisions of a job that are read.
const REVISIONS: i32 = 50;

/// A revision of a job, without its manifest. `paused…` and `deleted` are about the job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobHead {
    pub job: String,
    /// `None`: only `paused` or `deleted` was ever written.
    pub revision: Option<i32>,
    pub paused: bool,
    pub paused_by: Option<String>,
    pub paused_at: Option<DateTime<Utc>>,
    pub paused_note: Option<String>,
    pub deleted: bool,
    pub created_by: Option<String>,
    pub created_at: Option<DateTime<Utc>>,
    pub note: Option<String>,
}

stored! {
    read struct HeadColumns of JobHead {
        job: String,
        revision: Option<i32>,
        paused: Option<bool>,
        paused_by: Option<String>,
        paused_at: Option<CqlTimestamp>,
        paused_note: Option<String>,
        deleted: Option<bool>,
        created_by: Option<String>,
        created_at: Option<CqlTimestamp>,
        note: Option<String>,
    }
}

impl Store {
    /// Returns each job's newest revision, by name. Reads all partitions.
    pub async fn job_heads(&self) -> Result<Vec<JobHead>, StoreError> {
        let mut heads = self
            .stored::<HeadColumns>("FROM jobs PER PARTITION LIMIT 1", ())
            .await?;
        heads.sort_by(|a, b| a.job.cmp(&b.job));
        Ok(heads)
    }

    /// Returns a job's newest revisions, newest first.
    pub async fn job_revisions(&self, job: &str) -> Result<Vec<JobHead>, StoreError> {
        self.stored::<HeadColumns>("FROM jobs WHERE job = ? LIMIT ?", (job, REVISIONS))
            .await
    }
}
