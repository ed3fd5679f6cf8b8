//! Looks at every place that may hold an entity and, with a timestamp, erases the entity there.

use chrono::{Days, NaiveDate, Utc};

use super::{
    Forgotten,
    place::{Place, has_the_key_of},
};
use crate::{
    domain::{
        job::entity::Entity,
        problem::Problem,
        run::{Run, RunState, run_id},
    },
    failpoint,
    failure::Failure,
    store::{
        Store,
        driver::{raw::cells_of, scan::token_of},
        predictions::forget::RunTexts,
    },
};

/// Days that requests and answers live (their TTL), and one more on either side.
const REQUEST_DAYS: u64 = 31;
/// Days that hints live.
const HINT_DAYS: u64 = 8;
/// Microseconds after which a run is not recent: processes that were frozen for longer are not
/// considered.
const RECENT_US: i64 = 24 * 3_600_000_000;
/// Runs that are checked concurrently.
const AT_A_TIME: usize = 8;

/// Checks all tables and counts, in `forgotten`, the rows that hold one of the entities. With the
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
    pass.triggers(forgotten).await?;
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

/// One look at all tables.
pub(super) struct Pass<'a> {
    pub(super) store: &'a Store,
    pub(super) place: &'a Place,
    pub(super) entities: &'a [Entity],
    pub(super) timestamp: Option<i64>,
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
                    // Also if nothing is stored yet: a late writer may be about to send it.
                    self.store.delete_entity(name, entity, timestamp).await?;
                    failpoint::hit("after_forget_prediction");
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

    async fn run(&self, run: &RunTexts) -> Result<FoundTraces, Failure> {
        let (store, job) = (self.store, &self.place.job);
        let mut found = FoundTraces::default();
        let mut texts = run.clone();
        for entity in self.entities {
            found.runs += usize::from(take_from_run(entity, &mut texts));
            for version in &run.versions {
                found.rejected += self.rejected(run, *version, entity).await?;
            }
        }
        if found.runs > 0 && self.timestamp.is_some() {
            store.blank_run(job, &texts).await?;
            failpoint::hit("after_forget_run");
        }
        found.splits = self.splits(run).await?;
        Ok(found)
    }

    async fn rejected(
        &self,
        run: &RunTexts,
        version: i32,
        entity: &Entity,
    ) -> Result<usize, Failure> {
        let (store, job) = (self.store, &self.place.job);
        let mut labels = store
            .rejected_labels(job, run.run_id, version, entity)
            .await?;
        let listed = labels.len();
        if let Some(timestamp) = self.timestamp {
            let own = entity.label();
            if is_recent(run) && !labels.contains(&own) {
                labels.push(own);
            }
            for label in &labels {
                store
                    .unlist_rejected(job, run.run_id, version, label, timestamp)
                    .await?;
                failpoint::hit("after_forget_rejected");
            }
        }
        Ok(listed)
    }

    /// Checks the run's splits. Samples hold keys, and an entity can only be in the sample of its
    /// own split.
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
                failpoint::hit("after_forget_split");
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
                failpoint::hit("after_forget_status");
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct FoundTraces {
    runs: usize,
    splits: usize,
    rejected: usize,
}

pub(super) fn note(forgotten: &mut Forgotten, table: &str, rows: usize) {
    if rows > 0 {
        *forgotten.found.entry(table.to_owned()).or_default() += rows as u64;
    }
}

pub(super) fn scrub(entity: &Entity, about_it: bool, text: &mut Option<String>) -> bool {
    let scrubbed = text.as_ref().and_then(|text| match about_it {
        true => entity.without(text),
        false => entity.scrubbed(text),
    });
    let changed = scrubbed.is_some();
    *text = scrubbed.or(text.take());
    changed
}

pub(super) fn scrub_all(entity: &Entity, texts: &mut [String]) -> bool {
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

/// Returns whether a process that worked on the run may still be about to list a row; the delete
/// must then be written in advance.
fn is_recent(run: &RunTexts) -> bool {
    let now = Utc::now().timestamp_micros();
    run_id::time_100ns(run.run_id).is_some_and(|at| now - (at / 10) as i64 <= RECENT_US)
}

/// Returns the split that contains the entity.
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
