//! One training: rows, command, artifacts, version.

use std::path::Path;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{MAX_CLAIMS, artifacts::Artifacts, claim::HeldClaim, register};
use crate::{
    config::TrainerCommand,
    domain::{
        printable::printable_lines,
        problem::Problem,
        retraining::{
            held_out::TAG,
            state::{REQUEST_TAG, RetrainingRequest, Training, TrainingState},
        },
    },
    failpoint,
    failure::Failure,
    inspect::training::{self, TrainingData},
    program::{Ended, Program, tail},
    store::Store,
};

/// Bytes of the command's output that the row keeps.
const LOG_BYTES: usize = 4_096;

/// Trains, registers the version, and records how it ended.
///
/// # Errors
/// What another attempt may not meet: Cassandra, this machine, a lost claim.
pub async fn train(
    store: &Store,
    request: &RetrainingRequest,
    held: &HeldClaim,
    command: &TrainerCommand,
) -> Result<Training, Failure> {
    failpoint::hit("after_training_claimed");
    let mut ended = Training::default();
    match attempt(store, request, held, command, &mut ended).await {
        Ok(version) => {
            ended.state = TrainingState::Trained;
            ended.version = Some(version);
        }
        Err(failure) if failure.is_retryable() => return Err(failure),
        Err(failure) => {
            let lines: Vec<_> = failure.problems.iter().map(Problem::line).collect();
            ended.state = TrainingState::Failed;
            ended.reason = Some(lines.join("; "));
        }
    }
    match store.finish_training(held.claim(), &ended).await? {
        true => Ok(ended),
        false => Err(lost()),
    }
}

/// The failure of a trainer that was too slow.
pub(super) fn lost() -> Failure {
    let message = "the claim was lost";
    Failure::system(Problem::new("training.lost", message))
}

async fn attempt(
    store: &Store,
    request: &RetrainingRequest,
    held: &HeldClaim,
    command: &TrainerCommand,
    ended: &mut Training,
) -> Result<i32, Failure> {
    // An earlier attempt may have got as far as the version.
    if let Some(version) = register::registered(store, request).await? {
        return Ok(version);
    }
    if held.claim().epoch > MAX_CLAIMS {
        let message = format!("{MAX_CLAIMS} attempts crashed or were interrupted");
        return Err(Failure::no(Problem::new("training.crashes", message)));
    }
    let place = directory(command).map_err(|error| broken(&error))?;
    let (input, output) = (place.path().join("input"), place.path().join("output"));
    for directory in [&input, &output] {
        std::fs::create_dir(directory).map_err(|error| broken(&error))?;
    }
    held.set_step("reads rows");
    let now = request.asked_at.unwrap_or_else(Utc::now);
    let data = Box::pin(training::write(store, &request.spec, now, &input)).await?;
    ended.rows = i64::try_from(data.rows).ok();
    ended.held_out_rows = i64::try_from(data.held_out_rows).ok();
    ended.data_sha256 = Some(data.sha256.clone());
    let command_sha256 = fingerprint(&command.command).map_err(|error| broken(&error))?;
    ended.command_sha256 = Some(command_sha256.clone());
    failpoint::hit("after_training_data");
    held.set_step("runs the command");
    let log = place.path().join("log");
    let ran = run(command, place.path(), &log).await;
    ended.log = Some(printable_lines(&tail(&log, LOG_BYTES)).into_owned());
    ran?;
    failpoint::hit("after_training_command");
    held.set_step("registers the version");
    let limit = (store.config().max_model_mib as u64) << 20;
    let artifacts = Artifacts::read(&output, limit).map_err(Failure::no)?;
    ended.metrics.clone_from(&artifacts.metrics);
    let mut tags = vec![
        (REQUEST_TAG, request.id.to_string()),
        (TAG, request.spec.held_out().to_tag()),
        ("helenus.data_sha256", hex::encode(&data.sha256)),
        ("helenus.command_sha256", hex::encode(&command_sha256)),
    ];
    tags.extend(window(&data));
    register::register(store, request, held, artifacts, tags).await
}

fn window(data: &TrainingData) -> Option<(&'static str, String)> {
    let text = |at: DateTime<Utc>| at.format("%FT%TZ").to_string();
    let (from, to) = data.window?;
    Some(("helenus.window", format!("{}/{}", text(from), text(to))))
}

fn directory(command: &TrainerCommand) -> std::io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("helenus-training-");
    match &command.directory {
        Some(directory) => builder.tempdir_in(directory),
        None => builder.tempdir(),
    }
}

async fn run(command: &TrainerCommand, place: &Path, log: &Path) -> Result<(), Failure> {
    let program = Program {
        words: command.command.clone(),
        environment: vec![
            ("HELENUS_INPUT".to_owned(), place.join("input").into()),
            ("HELENUS_OUTPUT".to_owned(), place.join("output").into()),
        ],
        directory: Some(place.to_owned()),
        log: Some(log.to_owned()),
        max_memory: Some(command.memory_mib << 20),
        time_limit: command.time_limit,
        ..Program::default()
    };
    let failed = |message: String| Failure::no(Problem::new("training.command", message));
    match program.run().await {
        Ok(Ended::Exited(status)) if status.success() => Ok(()),
        Ok(Ended::Exited(status)) => Err(failed(format!(
            "the command ended with {status}, with {} MiB of memory permitted",
            command.memory_mib
        ))),
        Ok(Ended::TimedOut) => Err(failed(format!(
            "the command did not end within {} s",
            command.time_limit.as_secs_f64()
        ))),
        Err(error) => Err(failed(format!("the command could not be started: {error}"))),
    }
}

/// Returns the sha256 over the words of a command, and over the files that they name.
fn fingerprint(words: &[String]) -> std::io::Result<Vec<u8>> {
    let mut hash = Sha256::new();
    for word in words {
        hash.update((word.len() as u64).to_le_bytes());
        hash.update(word.as_bytes());
        let path = Path::new(word);
        if path.is_file() {
            hash.update(std::fs::read(path)?);
        }
    }
    Ok(hash.finalize().to_vec())
}

fn broken(error: &std::io::Error) -> Failure {
    let message = format!("a directory or a file of this machine: {error}");
    Failure::system(Problem::new("training.directory", message))
}
