//! `trainings`: what trainers do about requests, under a lease with a fencing number.

use std::collections::BTreeMap;

use chrono::Utc;
use scylla::{
    DeserializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use crate::{
    domain::retraining::state::{RetrainingRequest, Training, TrainingState},
    process,
    store::{
        Store,
        driver::{columns::Cell, conditional::or_read_back, error::StoreError},
    },
};

const SELECT: &str = "SELECT state, step, owner, epoch, beat, process, reason, log, version, rows, held_out_rows, data_sha256, command_sha256, metrics, started_at, finished_at FROM trainings WHERE model = ? AND name = ? AND request = ?";
const CREATE: &str = "INSERT INTO trainings (model, name, request, state, owner, epoch, beat, process, started_at) VALUES (?, ?, ?, 'training', ?, 1, 0, ?, ?) IF NOT EXISTS";
const CLAIM: &str = "UPDATE trainings SET owner = ?, epoch = ?, beat = 0, process = ? WHERE model = ? AND name = ? AND request = ? IF state = 'training' AND owner = ? AND epoch = ? AND beat = ?";
const BEAT: &str = "UPDATE trainings SET beat = ?, step = ? WHERE model = ? AND name = ? AND request = ? IF owner = ? AND epoch = ?";
const RESERVE: &str = "UPDATE trainings SET version = ? WHERE model = ? AND name = ? AND request = ? IF owner = ? AND epoch = ? AND version = ?";
const RELEASE: &str = "UPDATE trainings SET owner = null, step = null WHERE model = ? AND name = ? AND request = ? IF owner = ? AND epoch = ?";
const FINISH: &str = "UPDATE trainings SET state = ?, step = null, owner = null, reason = ?, log = ?, rows = ?, held_out_rows = ?, data_sha256 = ?, command_sha256 = ?, metrics = ?, finished_at = ? WHERE model = ? AND name = ? AND request = ? IF owner = ? AND epoch = ?";

#[derive(DeserializeRow)]
struct TrainingColumns {
    state: Option<String>,
    step: Option<String>,
    owner: Option<Uuid>,
    epoch: Option<i32>,
    beat: Option<i64>,
    process: Option<String>,
    reason: Option<String>,
    log: Option<String>,
    version: Option<i32>,
    rows: Option<i64>,
    held_out_rows: Option<i64>,
    data_sha256: Option<Vec<u8>>,
    command_sha256: Option<Vec<u8>>,
    metrics: Option<BTreeMap<String, f64>>,
    started_at: Option<CqlTimestamp>,
    finished_at: Option<CqlTimestamp>,
}

impl From<TrainingColumns> for Training {
    fn from(row: TrainingColumns) -> Self {
        let state = row.state.as_deref().and_then(TrainingState::parse);
        Self {
            state: state.unwrap_or_default(),
            step: row.step,
            owner: row.owner,
            epoch: row.epoch.unwrap_or_default(),
            beat: row.beat.unwrap_or_default(),
            process: row.process,
            reason: row.reason,
            log: row.log,
            version: row.version,
            rows: row.rows,
            held_out_rows: row.held_out_rows,
            data_sha256: row.data_sha256,
            command_sha256: row.command_sha256,
            metrics: row.metrics.unwrap_or_default(),
            started_at: row.started_at.cell(),
            finished_at: row.finished_at.cell(),
        }
    }
}

/// The claim of a training: what each of its owner's writes is conditional on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingClaim {
    pub model: String,
    pub name: String,
    pub request: Uuid,
    pub owner: Uuid,
    pub epoch: i32,
}

impl Store {
    /// Returns what trainers did about a request, after every decided conditional write.
    pub async fn training(
        &self,
        model: &str,
        name: &str,
        request: Uuid,
    ) -> Result<Option<Training>, StoreError> {
        let key = (model, name, CqlTimeuuid::from(request));
        let row: Option<TrainingColumns> = self.serial_row(SELECT, key).await?;
        Ok(row.map(Training::from))
    }

    /// Claims a training that has no owner (`before` is `None`), or whose owner is known to be gone.
    /// Returns `None` if another trainer was first.
    ///
    /// # Errors
    /// As [`Store::apply`], except for an unknown outcome, which is read back here.
    pub async fn claim_training(
        &self,
        request: &RetrainingRequest,
        before: Option<&Training>,
    ) -> Result<Option<TrainingClaim>, StoreError> {
        let claim = TrainingClaim {
            model: request.model.clone(),
            name: request.name.clone(),
            request: request.id,
            owner: Uuid::new_v4(),
            epoch: before.map_or(1, |before| before.epoch + 1),
        };
        let id = CqlTimeuuid::from(request.id);
        let (model, name) = (&claim.model, &claim.name);
        let process = process::identity();
        let outcome = match before {
            None => {
                let values = (model, name, id, claim.owner, process, Utc::now());
                self.apply(CREATE, values).await
            }
            Some(before) => {
                let values = (
                    claim.owner,
                    claim.epoch,
                    process,
                    model,
                    name,
                    id,
                    before.owner,
                    before.epoch,
                    before.beat,
                );
                self.apply(CLAIM, values).await
            }
        };
        let granted = or_read_back(outcome, self.still_claimed(&claim)).await?;
        Ok(granted.then_some(claim))
    }

    async fn still_claimed(&self, claim: &TrainingClaim) -> Result<Option<bool>, StoreError> {
        let row = self
            .training(&claim.model, &claim.name, claim.request)
            .await?;
        Ok(Some(row.is_some_and(|row| {
            row.owner == Some(claim.owner) && row.epoch == claim.epoch
        })))
    }

    /// Raises the beat of a claim, and says what its owner does. Returns `false` if the claim is
    /// lost.
    ///
    /// # Errors
    /// As [`Store::renew`].
    pub async fn beat_training(
        &self,
        claim: &TrainingClaim,
        beat: i64,
        step: &str,
    ) -> Result<bool, StoreError> {
        let id = CqlTimeuuid::from(claim.request);
        let values = (
            beat,
            step,
            &claim.model,
            &claim.name,
            id,
            claim.owner,
            claim.epoch,
        );
        self.renew(BEAT, values).await
    }

    /// Reserves a number for the version of a training instead of `before`. Returns `false` if the
    /// claim is lost, or another number is reserved.
    pub async fn reserve_version(
        &self,
        claim: &TrainingClaim,
        before: Option<i32>,
        version: i32,
    ) -> Result<bool, StoreError> {
        let values = (
            version,
            &claim.model,
            &claim.name,
            CqlTimeuuid::from(claim.request),
            claim.owner,
            claim.epoch,
            before,
        );
        let read_back = self.reads_back(claim, move |row| row.version == Some(version));
        self.apply_or_read_back(RESERVE, values, read_back).await
    }

    /// Ends a training as `ended` has it. Returns `false` if the claim is lost.
    pub async fn finish_training(
        &self,
        claim: &TrainingClaim,
        ended: &Training,
    ) -> Result<bool, StoreError> {
        let values = (
            ended.state.as_str(),
            &ended.reason,
            &ended.log,
            ended.rows,
            ended.held_out_rows,
            &ended.data_sha256,
            &ended.command_sha256,
            &ended.metrics,
            Utc::now(),
            &claim.model,
            &claim.name,
            CqlTimeuuid::from(claim.request),
            claim.owner,
            claim.epoch,
        );
        let state = ended.state;
        let epoch = claim.epoch;
        let read_back = self.reads_back(claim, move |row| row.state == state && row.epoch == epoch);
        self.apply_or_read_back(FINISH, values, read_back).await
    }

    /// Gives a claim back: another trainer can start over at once.
    pub async fn release_training(&self, claim: &TrainingClaim) -> Result<(), StoreError> {
        let id = CqlTimeuuid::from(claim.request);
        let values = (&claim.model, &claim.name, id, claim.owner, claim.epoch);
        self.apply_ignoring_unknown(RELEASE, values).await
    }

    async fn reads_back(
        &self,
        claim: &TrainingClaim,
        is_written: impl Fn(&Training) -> bool,
    ) -> Result<Option<bool>, StoreError> {
        let row = self
            .training(&claim.model, &claim.name, claim.request)
            .await?;
        Ok(Some(row.is_some_and(|row| is_written(&row))))
    }
}
