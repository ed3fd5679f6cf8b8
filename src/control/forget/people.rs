//! Erases entities from requests, hints and queued firings, and from the answers to them.

use std::collections::BTreeMap;

use chrono::{NaiveDate, Utc};

use super::{
    ForgetTarget, Forgotten,
    place::Place,
    traces::{Pass, note, scrub, scrub_all},
};
use crate::{
    domain::job::entity::Entity,
    failpoint,
    failure::Failure,
    store::{
        Store,
        driver::error::{StoreError, StoreErrorKind},
        predictions::forget_requests::RequestTexts,
        runs::run_requests::RunRequest,
    },
};

impl Pass<'_> {
    /// Erases entities from the rows of `trigger_status`. A firing that is decided and waits for
    /// its run holds the keys of its hints: its run would bring them back.
    pub(super) async fn triggers(&self, forgotten: &mut Forgotten) -> Result<(), Failure> {
        let mut statuses = self.store.trigger_statuses().await?;
        statuses.retain(|status| status.job == self.place.job);
        for mut status in statuses {
            let mut holds = false;
            for entity in self.entities {
                let keys = status.queued_keys.as_deref();
                let blanked = keys.and_then(|keys| entity.blanked(keys));
                let about_it = blanked.is_some();
                holds |= about_it;
                status.queued_keys = blanked.or(status.queued_keys);
                holds |= scrub(entity, about_it, &mut status.last_reason);
                holds |= scrub_all(entity, &mut status.problems);
            }
            if !holds {
                continue;
            }
            note(forgotten, "trigger_status", 1);
            if self.timestamp.is_some() {
                // The write has no effect if a scheduler changed the row first; the next pass
                // erases what it left.
                self.store.write_trigger_status(&status, Utc::now()).await?;
                failpoint::hit("after_forget_trigger");
            }
        }
        Ok(())
    }

    /// Erases the entities from the job's requests and returns those requests. The request that
    /// asks for this is left until everything else is done ([`blank_own`]).
    pub(super) async fn requests(
        &self,
        day: NaiveDate,
        forgotten: &mut Forgotten,
    ) -> Result<Vec<RequestTexts>, Failure> {
        let mut requests = self.store.request_texts(day).await?;
        requests.retain(|request| {
            request.job.as_ref() == Some(&self.place.job) && Some(request.id) != self.place.asked_by
        });
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
                failpoint::hit("after_forget_request");
            }
        }
        Ok(requests)
    }

    pub(super) async fn answers(
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
                    failpoint::hit("after_forget_answer");
                }
            }
        }
        Ok(())
    }

    pub(super) async fn hints(
        &self,
        day: NaiveDate,
        forgotten: &mut Forgotten,
    ) -> Result<(), Failure> {
        let job = &self.place.job;
        for (at, key, written_at) in self.store.hints(job, day).await? {
            if !self.entities.iter().any(|entity| entity.is(&key)) {
                continue;
            }
            note(forgotten, "changed_keys", 1);
            if self.timestamp.is_some() {
                let deleted = self.store.delete_hint(job, day, at, written_at).await;
                or_left(deleted, "changed_keys", forgotten)?;
                failpoint::hit("after_forget_hint");
            }
        }
        Ok(())
    }
}

/// Turns a denied write into a note in `forgotten.left`. The worker needs MODIFY on user-written
/// tables for nothing else.
fn or_left(
    written: Result<(), StoreError>,
    table: &str,
    forgotten: &mut Forgotten,
) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind == StoreErrorKind::Denied => {
            let left = format!(
                "{table} still names the entity, and this login is not permitted to write there; roles of kind scheduler write this table"
            );
            if !forgotten.left.contains(&left) {
                forgotten.left.push(left);
            }
            Ok(())
        }
        written => Ok(written?),
    }
}

/// Erases the keys from a request that asked to forget, and what else names them in it. This is the
/// last step, when everything else is erased or the request is refused. Returns what it could not
/// do.
///
/// # Errors
/// Errors of Cassandra.
pub async fn blank_own(store: &Store, request: &RunRequest) -> Result<Option<String>, Failure> {
    let requests = store.request_texts(request.day).await?;
    let Some(own) = requests.into_iter().find(|own| own.id == request.id) else {
        return Ok(None);
    };
    let keys = own.keys.clone().unwrap_or_default();
    if keys.iter().all(BTreeMap::is_empty) {
        // The request never had keys, or they were erased before.
        return Ok(None);
    }
    let entities = match &request.job {
        Some(job) => entities_of(store, job, &keys).await?,
        None => Vec::new(),
    };
    let mut blank = own.clone();
    blank.keys = own.keys.as_ref().map(|_| vec![BTreeMap::new(); keys.len()]);
    for text in [&mut blank.note, &mut blank.dedupe_key] {
        match entities.is_empty() {
            // Invalid keys may still identify a person.
            true => *text = None,
            false => entities.iter().for_each(|entity| {
                scrub(entity, true, text);
            }),
        }
    }
    let mut unreached = Forgotten::default();
    if blank != own {
        let written = store.blank_request(request.day, &blank).await;
        or_left(written, "run_requests", &mut unreached)?;
        failpoint::hit("after_forget_own");
    }
    Ok(unreached.left.pop())
}

async fn entities_of(
    store: &Store,
    job: &str,
    keys: &[BTreeMap<String, String>],
) -> Result<Vec<Entity>, Failure> {
    let place = Place::read(store, job, None).await;
    match place.and_then(|place| place.entities(&ForgetTarget::Keys(keys.to_vec()))) {
        Err(failure) if failure.is_retryable() => Err(failure),
        entities => Ok(entities.unwrap_or_default()),
    }
}
