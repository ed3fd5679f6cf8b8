//! Looks at the alarms that a trigger waits for.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::{
    domain::alarm::pattern::AlarmPattern,
    store::{Store, driver::error::StoreError},
};

/// Returns the cursor of a trigger that begins: alarms that it waits for and that are open already
/// do not make it fire.
pub async fn begin(store: &Store, job: &str, pattern: &AlarmPattern) -> Result<String, StoreError> {
    let new = new(store, job, pattern, &BTreeSet::new()).await?;
    Ok(to_text(&new.into_iter().map(|(id, _)| id).collect()))
}

/// Returns what the first alarm says that was opened after the cursor, and the cursor after it. An
/// alarm that is about runs counts once it was seen in two.
pub async fn opened(
    store: &Store,
    job: &str,
    pattern: &AlarmPattern,
    cursor: Option<&str>,
) -> Result<Option<(String, String)>, StoreError> {
    let mut taken: BTreeSet<Uuid> = cursor
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let new = new(store, job, pattern, &taken).await?;
    let Some((id, what)) = new.first() else {
        return Ok(None);
    };
    let why = format!("alarm {id}: {what}");
    // An alarm that was closed never opens again.
    let open = store.open_alarms_of(job).await?;
    taken.retain(|id| open.values().any(|open| open == id));
    taken.extend(new.iter().map(|(id, _)| *id));
    Ok(Some((why, to_text(&taken))))
}

/// Returns the open alarms that are meant and not taken: (id, what).
async fn new(
    store: &Store,
    job: &str,
    pattern: &AlarmPattern,
    taken: &BTreeSet<Uuid>,
) -> Result<Vec<(Uuid, String)>, StoreError> {
    let mut new = Vec::new();
    for (key, id) in store.open_alarms_of(job).await? {
        if !pattern.names(&key) || taken.contains(&id) {
            continue;
        }
        let alarm = store.alarm(job, id).await?;
        new.extend(
            alarm
                .filter(|alarm| pattern.matches(alarm))
                .map(|alarm| (id, alarm.what)),
        );
    }
    Ok(new)
}

fn to_text(ids: &BTreeSet<Uuid>) -> String {
    // Ids always serialise.
    serde_json::to_string(ids).unwrap_or_default()
}
