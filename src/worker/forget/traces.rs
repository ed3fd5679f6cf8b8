//! Every place where an entity may stand, looked at and, with a timestamp, emptied.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate, Utc};

use super::{
    Forgotten,
    place::{Place, has_the_key_of},
};
use crate::{
    domain::{
        entity::Entity,
        problem::Problem,
        run::{Run, RunState},
        run_id,
    },
    failure::Failure,
    store::{
        Store,
        error::{StoreError, StoreErrorKind},
        forget::{RequestTexts, RunTexts},
        raw::cells_of,
        run_requests::RunRequest,
        scan::token_of,
    },
};

/// Days that requests and answers live (their TTL), and one more on either side.
const REQUEST_DAYS: u64 = 31;
/// Days that hints live.
const HINT_DAYS: u64 = 8;
/// Processes that were frozen for longer than this are not reckoned with.
const RECENT_US: i64 = 24 * 3_600_000_000;
/// Runs looked at at a time.
const AT_A_TIME: usize = 8;

/// Looks at all tables and counts, in `forgotten`, the rows that hold one of the entities; with the
/// timestamp of a run that holds all versions, erases them.
pub async fn pass(
    store: &Store,
    place: &Place,
    entities: &[Entity],
    timestamp: Option<i64>,
    forgotten: &mut Forgotten,
) -> Result<(), Failure> {
    let pass = Pass {
        store,
        place,
        entities,
        timestamp,
    };
    pass.predictions(forgotten).await?;
    pass.runs(forgotten).await?;
    pass.statuses(forgotten).await?;
    let today = Utc::now().date_naive();
    for day in days(today, REQUEST_DAYS) {
        let requests = pass.requests(day, forgotten).await?;
        pass.answers(day, &requests, forgotten).await?;
    }
    for day in days(today, HINT_DAYS) {
        pass.hints(day, forgotten).await?;
    }
    Ok(())
}

fn days(today: NaiveDate, back: u64) -> impl Iterator<Item = NaiveDate> {
    let last = today + Days::new(1);
    (0..=back + 1).map(move |days| last - Days::new(days))
}

struct Pass<'a> {
    store: &'a Store,
    place: &'a Place,
    entities: &'a [Entity],
    timestamp: Option<i64>,
}

impl Pass<'_> {
    async fn predictions(&self, forgotten: &mut Forgotten) -> Result<(), Failure> {
        for (name, schema) in &self.place.targets {
            for entity in self.entities {
                if !has_the_key_of(schema, entity) {
                    continue;
                }
                let versions = self.store.versions_of(name, entity).await?;
                note(forgotten, &name.to_string(), versions.len());
                forgotten.versions.extend(versions);
                if let Some(timestamp) = self.timestamp {
                    // Nothing may stand yet, and a late writer be about to send it.
                    self.store.delete_entity(name, entity, timestamp).await?;
                }
            }
        }
        Ok(())
    }

    async fn runs(&self, forgotten: &mut Forgotten) -> Result<(), Failure> {
        let runs = self.store.run_texts(&self.place.job).await?;
        let ended: Vec<&RunTexts> = runs
            .iter()
            .filter(|run| {
                let state: Result<RunState, _> = run.state.parse();
                state.is_ok_and(RunState::is_terminal)
            })
            .collect();
        let mut found = Vec::with_capacity(ended.len());
        for some in ended.chunks(AT_A_TIME) {
            let looks: Vec<_> = some.iter().map(|run| self.run(run)).collect();
            found.extend(futures::future::try_join_all(looks).await?);
        }
        for found in found {
            note(forgotten, "runs", found.runs);
            note(forgotten, "splits", found.splits);
            note(forgotten, "rejected_rows", found.rejected);
        }
        Ok(())
    }

    async fn run(&self, run: &RunTexts) -> Result<Found, Failure> {
        let (store, job) = (self.store, &self.place.job);
        let mut found = Found::default();
        let mut texts = run.clone();
        for entity in self.entities {
            found.runs += usize::from(take_from_run(entity, &mut texts));
            let joined = entity.joined();
            for version in &run.versions {
                let listed = store
                    .is_listed_rejected(job, run.run_id, *version, &joined)
                    .await?;
                found.rejected += usize::from(listed);
                if let (Some(timestamp), true) = (self.timestamp, listed || is_recent(run)) {
                    store
                        .unlist_rejected(job, run.run_id, *version, &joined, timestamp)
                        .await?;
                }
            }
        }
        if found.runs > 0 && self.timestamp.is_some() {
            store.blank_run(job, &texts).await?;
        }
        found.splits = self.splits(run).await?;
        Ok(found)
    }

    /// Samples hold keys, and an entity is in the sample of no split but its own.
    async fn splits(&self, run: &RunTexts) -> Result<usize, Failure> {
        if run.splits == 0 {
            return Ok(0);
        }
        let (store, job) = (self.store, &self.place.job);
        let Some(row) = store.run(job, run.run_id).await? else {
            return Ok(0);
        };
        let mut found = 0;
        for entity in self.entities {
            let Some(split) = split_of(&row, entity)? else {
                continue;
            };
            let Some(mut texts) = store.split_texts(job, run.run_id, split).await? else {
                continue;
            };
            let sampled = texts.sample.len();
            texts
                .sample
                .retain(|row| !entity.has_cells(cells_of(&row.key)));
            let error = texts.error.as_ref();
            let scrubbed = error.and_then(|error| entity.scrubbed(error));
            let holds = texts.sample.len() < sampled || scrubbed.is_some();
            found += usize::from(holds);
            let may_finish_late = texts.state == "claimed";
            if self.timestamp.is_some() && (holds || may_finish_late) {
                texts.error = scrubbed.or(texts.error);
                store.blank_split(job, run.run_id, split, &texts).await?;
            }
        }
        Ok(found)
    }

    async fn statuses(&self, forgotten: &mut Forgotten) -> Result<(), Failure> {
        for status in &self.place.statuses {
            let (mut problems, mut warnings) = (status.problems.clone(), status.warnings.clone());
            let mut holds = false;
            for entity in self.entities {
                holds |= scrub_all(entity, &mut problems) | scrub_all(entity, &mut warnings);
            }
            if !holds {
                continue;
            }
            let standing = self.store.job_statuses(&self.place.job).await?;
            if !standing.contains(status) {
                continue;
            }
            note(forgotten, "job_status", 1);
            if self.timestamp.is_some() {
                let was = (status.problems.as_slice(), status.warnings.as_slice());
                self.store
                    .blank_status(
                        &self.place.job,
                        status.revision,
                        was,
                        (&problems, &warnings),
                    )
                    .await?;
            }
        }
        Ok(())
    }

    /// Gives the requests of the job that name an entity, or did.
    async fn requests(
        &self,
        day: NaiveDate,
        forgotten: &mut Forgotten,
    ) -> Result<Vec<RequestTexts>, Failure> {
        let mut requests = self.store.request_texts(day).await?;
        requests.retain(|request| request.job.as_ref() == Some(&self.place.job));
        for request in &requests {
            let mut texts = request.clone();
            let mut holds = false;
            for entity in self.entities {
                let keys = texts.keys.as_deref();
                let blanked = keys.and_then(|keys| entity.blanked(keys));
                let about_it = blanked.is_some();
                holds |= about_it;
                texts.keys = blanked.or(texts.keys);
                for text in [&mut texts.note, &mut texts.dedupe_key] {
                    holds |= scrub(entity, about_it, text);
                }
            }
            if !holds {
                continue;
            }
            note(forgotten, "run_requests", 1);
            if self.timestamp.is_some() {
                let written = self.store.blank_request(day, &texts).await;
                or_left(written, "run_requests", forgotten)?;
            }
        }
        Ok(requests)
    }

    async fn answers(
        &self,
        day: NaiveDate,
        requests: &[RequestTexts],
        forgotten: &mut Forgotten,
    ) -> Result<(), Failure> {
        if requests.is_empty() {
            return Ok(());
        }
        for answer in self.store.answer_texts(day).await? {
            let Some(request) = requests.iter().find(|request| request.id == answer.0) else {
                continue;
            };
            let about_it = self.entities.iter().any(|entity| {
                let keys = request.keys.as_deref().unwrap_or_default();
                keys.iter().any(|key| entity.is(key))
            });
            let mut reason = Some(answer.1.clone());
            let mut holds = false;
            for entity in self.entities {
                holds |= scrub(entity, about_it, &mut reason);
            }
            if let (true, Some(reason)) = (holds, reason) {
                note(forgotten, "answers", 1);
                if self.timestamp.is_some() {
                    self.store.blank_answer(day, &answer, &reason).await?;
                }
            }
        }
        Ok(())
    }

    async fn hints(&self, day: NaiveDate, forgotten: &mut Forgotten) -> Result<(), Failure> {
        let job = &self.place.job;
        for (at, key, written_at) in self.store.hints(job, day).await? {
            if !self.entities.iter().any(|entity| entity.is(&key)) {
                continue;
            }
            note(forgotten, "changed_keys", 1);
            if self.timestamp.is_some() {
                let deleted = self.store.delete_hint(job, day, at, written_at).await;
                or_left(deleted, "changed_keys", forgotten)?;
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Found {
    runs: usize,
    splits: usize,
    rejected: usize,
}

fn note(forgotten: &mut Forgotten, table: &str, rows: usize) {
    if rows > 0 {
        *forgotten.found.entry(table.to_owned()).or_default() += rows as u64;
    }
}

/// People's tables need a grant that the worker has for nothing else.
fn or_left(
    written: Result<(), StoreError>,
    table: &str,
    forgotten: &mut Forgotten,
) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind == StoreErrorKind::Denied => {
            let left = format!(
                "{table} still names the entity: this login may not write there; it is people's table, written by roles of kind scheduler"
            );
            if !forgotten.left.contains(&left) {
                forgotten.left.push(left);
            }
            Ok(())
        }
        written => Ok(written?),
    }
}

fn scrub(entity: &Entity, about_it: bool, text: &mut Option<String>) -> bool {
    let scrubbed = text.as_ref().and_then(|text| match about_it {
        true => entity.without(text),
        false => entity.scrubbed(text),
    });
    let changed = scrubbed.is_some();
    *text = scrubbed.or(text.take());
    changed
}

fn scrub_all(entity: &Entity, texts: &mut [String]) -> bool {
    let mut changed = false;
    for text in texts {
        if let Some(scrubbed) = entity.scrubbed(text) {
            *text = scrubbed;
            changed = true;
        }
    }
    changed
}

fn take_from_run(entity: &Entity, run: &mut RunTexts) -> bool {
    let keys = run.keys.as_deref();
    let blanked = keys.and_then(|keys| entity.blanked(keys));
    let about_it = blanked.is_some();
    run.keys = blanked.or(run.keys.take());
    let mut holds = about_it;
    for text in [&mut run.reason, &mut run.note] {
        holds |= scrub(entity, about_it, text);
    }
    for warning in run.warnings.iter_mut().flatten() {
        let mut text = Some(std::mem::take(warning));
        holds |= scrub(entity, about_it, &mut text);
        *warning = text.unwrap_or_default();
    }
    holds
}

/// Whether a process that worked on it may still be about to list a row: then the delete must
/// stand before that.
fn is_recent(run: &RunTexts) -> bool {
    let now = Utc::now().timestamp_micros();
    run_id::time_100ns(run.run_id).is_some_and(|at| now - (at / 10) as i64 <= RECENT_US)
}

/// The split in which the entity lies.
fn split_of(run: &Run, entity: &Entity) -> Result<Option<i32>, Failure> {
    let key = entity
        .partition_key()
        .map_err(|error| Failure::input(Problem::new("keys.too_long", error.to_string())))?;
    let token = token_of(&key);
    let splits = run.plan.as_ref().map(|plan| plan.splits.as_slice());
    let at = splits
        .unwrap_or_default()
        .iter()
        .position(|range| range.is_none_or(|range| range.contains(token)));
    Ok(at.map(|at| at as i32))
}

/// Takes the keys from a request that was refused.
pub async fn blank_own_keys(
    store: &Store,
    request: &RunRequest,
    keys: usize,
) -> Result<(), Failure> {
    let requests = store.request_texts(request.day).await?;
    let Some(own) = requests.into_iter().find(|own| own.id == request.id) else {
        return Ok(());
    };
    let blank = RequestTexts {
        keys: (keys > 0).then(|| vec![BTreeMap::new(); keys]),
        note: None,
        ..own
    };
    match store.blank_request(request.day, &blank).await {
        // Then the answer stands beside it, and an administrator can see both.
        Err(error) if error.kind == StoreErrorKind::Denied => Ok(()),
        written => Ok(written?),
    }
}
