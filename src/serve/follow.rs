//! Follows aliases, revisions and admissions, so that a change is served within a second.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use uuid::Uuid;

use super::state::Serving;
use crate::store::admin::signals::EVIDENCE;

/// Interval at which the signal of moved aliases is read: one row.
const LOOK: Duration = Duration::from_millis(250);
/// Interval at which new jobs and revisions are looked for, which raise no signal.
const REVISIONS: Duration = Duration::from_secs(5);
/// Longest interval between two reads of everything.
const ALL: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Seen {
    /// `None`: not read yet.
    signal: Option<Option<Uuid>>,
    revisions: Option<Instant>,
    all: Option<Instant>,
}

/// Keeps what is served up to date for as long as the process runs.
pub async fn keep(serving: Arc<Serving>) {
    let mut seen = Seen::default();
    let mut reported = false;
    loop {
        let outcome = step(&serving, &mut seen).await;
        match outcome {
            Ok(()) => {
                if std::mem::take(&mut reported) {
                    tracing::info!("what is served is up to date again");
                }
            }
            Err(error) if !reported => {
                reported = true;
                tracing::warn!(error, "what is served may be out of date");
            }
            Err(_) => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn step(serving: &Serving, seen: &mut Seen) -> Result<(), String> {
    let signal = serving.store.signal(EVIDENCE).await;
    let signal = signal.map_err(|error| error.to_string())?;
    let is_due = |last: Option<Instant>, after| last.is_none_or(|at| at.elapsed() >= after);
    let whole = seen.signal != Some(signal) || is_due(seen.all, ALL);
    if !whole && !is_due(seen.revisions, REVISIONS) {
        serving.residents.confirmed();
        return Ok(());
    }
    let refresh = serving.residents.refresh(serving, whole).await;
    if whole {
        serving.index.refresh(serving).await;
    }
    refresh.map_err(|failure| failure.to_string())?;
    let now = Some(Instant::now());
    seen.revisions = now;
    if whole {
        (seen.signal, seen.all) = (Some(signal), now);
    }
    Ok(())
}
