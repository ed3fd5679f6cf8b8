//! Identifies a pass, and begins and ends it in `passes`.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::Scope;
use crate::{
    codec::ring::{self, TokenRange},
    domain::problem::Problem,
    failure::Failure,
    process,
    store::{
        Store,
        driver::error::StoreErrorKind,
        evidence::passes::{PassPlan, PassRow, Rows},
    },
};

/// Maximum number of splits, which bounds the parts that may have to be read again.
pub const MOST_SPLITS: u64 = 256;
/// Minimum number of splits; with fewer, readers would be idle at the end.
const LEAST_SPLITS: u64 = 16;
/// Source partitions per split that are worth storing a part.
const SPLIT_PARTITIONS: u64 = 5_000;
/// Version of the encoding of parts: a process does not resume a pass whose parts are encoded
/// differently.
const PART_FORMAT: u32 = 2;
/// Newest runs that are checked for whether predictions may have changed since a pass began.
const RUNS: i32 = 20;

/// A pass that is ready to be walked.
#[derive(Debug, Clone)]
pub struct Begun {
    /// Its row of `passes`.
    pub row: PassRow,
    /// Whether an earlier pass is resumed.
    pub resumed: bool,
    /// Whether parts are stored. Without the permission to write them they are not, and nothing
    /// survives a crash.
    pub kept: bool,
}

impl Begun {
    /// Returns its id, which also encodes when it began.
    pub fn id(&self) -> Uuid {
        self.row.pass_id
    }

    /// Returns when it began: its results may be that old.
    pub fn at(&self) -> DateTime<Utc> {
        self.row.begun_at
    }
}

/// Begins a pass, or finds the one in progress with the same kind, scope and `options`, if no run
/// has begun or ended since.
/// `settings` decides what is fixed for all its parts; it is polled only when the pass is new.
///
/// # Errors
/// Cassandra's errors, and those of `settings`.
pub async fn begin(
    store: &Store,
    scope: &Scope,
    kind: &str,
    options: &Value,
    settings: impl Future<Output = Result<Vec<u8>, Failure>> + Send,
) -> Result<Begun, Failure> {
    let job = &scope.job.job;
    let what = identity(store, scope, kind, options).await?;
    if let Some(row) = store.pass(job, what).await? {
        return Ok(Begun {
            row,
            resumed: true,
            kept: true,
        });
    }
    let row = PassRow {
        job: job.clone(),
        what,
        pass_id: process::timeuuid(),
        plan: PassPlan {
            splits: splits(store, scope).await?,
            settings: settings.await?,
        },
        begun_at: Utc::now(),
    };
    match store.begin_pass(&row, process::identity()).await {
        Err(error) if error.kind == StoreErrorKind::Denied => {
            return Ok(Begun {
                row,
                resumed: false,
                kept: false,
            });
        }
        outcome => outcome?,
    }
    // Another process may have been first, or the outcome may be unknown: the row shows which.
    let own = row.pass_id;
    let stands = store.pass(job, what).await?.ok_or_else(|| {
        let message = format!("the pass over job `{job}` did not begin");
        Failure::system(Problem::new("pass.lost", message).help("ask again"))
    })?;
    Ok(Begun {
        resumed: stands.pass_id != own,
        row: stands,
        kept: true,
    })
}

/// Removes the stored parts, once the result is stored. `large`: as in [`super::Found::large`].
///
/// # Errors
/// Cassandra's errors; what remains expires with its TTL.
pub async fn end(store: &Store, begun: &Begun, large: &[Rows]) -> Result<(), Failure> {
    match begun.kept {
        true => Ok(store.end_pass(&begun.row, large).await?),
        false => Ok(()),
    }
}

async fn identity(
    store: &Store,
    scope: &Scope,
    kind: &str,
    options: &Value,
) -> Result<[u8; 16], Failure> {
    let job = &scope.job;
    let runs = store.newest_runs(&job.job, RUNS).await?;
    let runs: Vec<_> = runs
        .iter()
        .map(|run| json!([run.run_id, run.state.map(|state| state.as_str())]))
        .collect();
    let versions: Vec<_> = scope
        .versions
        .iter()
        .map(|number| {
            let versions = job.versions.iter();
            let mut own = versions.filter(|version| version.ready.version == *number);
            let prefix = own.next().map(|version| hex::encode(version.hash_prefix));
            json!([number, prefix])
        })
        .collect();
    let labels = scope.labels.as_ref().map(|labels| {
        let time = labels.time.as_ref().map(|time| &time.name);
        json!([labels.table.id, labels.column.name, time])
    });
    let text = json!({
        "helenus": env!("CARGO_PKG_VERSION"),
        "format": PART_FORMAT,
        "kind": kind,
        "revision": scope.revision,
        "fingerprint": hex::encode(job.fingerprint),
        "source": [job.source.id, job.source_version],
        "versions": versions,
        "segment": scope.segment.as_ref().map(|segment| &segment.column.name),
        "labels": labels,
        "runs": runs,
        "options": options,
    });
    Ok(xxh3_128(text.to_string().as_bytes()).to_be_bytes())
}

/// Returns the splits of the whole ring. Reads go to any replica, so splits need not respect
/// replica sets.
async fn splits(store: &Store, scope: &Scope) -> Result<Vec<TokenRange>, Failure> {
    let source = &scope.job.source;
    let partitions = store
        .estimated_partitions(&source.keyspace, &source.table)
        .await?
        .unwrap_or(0);
    let count = (partitions / SPLIT_PARTITIONS).clamp(LEAST_SPLITS, MOST_SPLITS);
    Ok(ring::split(TokenRange::WHOLE, &[], count as usize))
}
