//! Triggers, experiments and gates: rows that an apply writes as a whole.

use serde::Serialize;
use serde_json::Value;

use super::{FolderStep, FolderWrite, Prune, StepAction, StepKind};
use crate::domain::{
    experiment::{ExperimentRow, ExperimentState},
    folder::{
        DesiredState,
        difference::lines,
        state::{ActualState, commit_of, spoken_author},
    },
    gate::GateRow,
    problem::Problem,
    trigger::TriggerRow,
};

fn json(row: &impl Serialize) -> Value {
    serde_json::to_value(row).unwrap_or_default()
}

/// Tells that people wrote the row that is replaced.
fn drift(author: Option<&str>) -> Vec<String> {
    match commit_of(author) {
        Some(_) => Vec::new(),
        None => vec![format!("drift: {} wrote it", spoken_author(author))],
    }
}

/// Says what happens to a row that the folder does not have.
fn undeclared(
    kind: StepKind,
    name: String,
    author: Option<&str>,
    prune: &Prune,
    write: FolderWrite,
) -> FolderStep {
    match prune.judge(author) {
        Ok(()) => FolderStep::new(kind, name, StepAction::Remove)
            .detail("not in the folder")
            .write(write),
        Err(why) => FolderStep::new(kind, name, StepAction::Leave)
            .detail(format!("not in the folder; {why}")),
    }
}

fn knows_job(desired: &DesiredState, actual: &ActualState, job: &str) -> bool {
    let mut declared = desired.jobs.iter();
    declared.any(|declared| declared.manifest.job == job)
        || actual.jobs.get(job).is_some_and(|job| !job.deleted)
}

fn unknown_job(place: String, job: &str) -> Problem {
    let message = format!("neither the folder nor Cassandra has a job `{job}`");
    Problem::new("folder.unknown_job", message)
        .at(place)
        .help("add its manifest to jobs/, or correct the name")
}

pub(super) fn triggers(
    desired: &DesiredState,
    actual: &ActualState,
    prune: &Prune,
    steps: &mut Vec<FolderStep>,
    problems: &mut Vec<Problem>,
) {
    let kind = StepKind::Trigger;
    for wanted in &desired.triggers {
        let name = format!("{}/{}", wanted.job, wanted.name);
        if !knows_job(desired, actual, &wanted.job) {
            let place = format!("triggers.toml: {}.{}", wanted.job, wanted.name);
            problems.push(unknown_job(place, &wanted.job));
            continue;
        }
        let mut rows = actual.triggers.iter();
        let same = |row: &&TriggerRow| (&row.job, &row.name) == (&wanted.job, &wanted.name);
        let now = rows.find(same).filter(|row| row.removed != Some(true));
        let Some(now) = now else {
            let step = FolderStep::new(kind, name, StepAction::Create);
            steps.push(step.write(FolderWrite::Trigger(Box::new(wanted.clone()))));
            continue;
        };
        let row = TriggerRow {
            // People pause; an apply does not undo it.
            paused: now.paused,
            removed: now.removed,
            created_by: now.created_by.clone(),
            ..wanted.clone()
        };
        let plain = |row: &TriggerRow| TriggerRow {
            use_hints: row.use_hints.filter(|used| *used),
            ..row.clone()
        };
        if plain(now) == row {
            steps.push(FolderStep::new(kind, name, StepAction::Keep));
            continue;
        }
        let mut differences = lines(&json(&plain(now)), &json(&row));
        if now.note != row.note {
            differences.push("note: changed".to_owned());
        }
        steps.push(
            FolderStep::new(kind, name, StepAction::Change)
                .details(differences)
                .details(drift(now.created_by.as_deref()))
                .write(FolderWrite::Trigger(Box::new(row))),
        );
    }
    for row in &actual.triggers {
        let mut declared = desired.triggers.iter();
        let is_declared = declared.any(|one| (&one.job, &one.name) == (&row.job, &row.name));
        if is_declared || row.removed == Some(true) {
            continue;
        }
        let name = format!("{}/{}", row.job, row.name);
        let write = FolderWrite::RemoveTrigger(row.job.clone(), row.name.clone());
        let author = row.created_by.as_deref();
        steps.push(undeclared(kind, name, author, prune, write));
    }
}

/// Returns a gate with its defaults, as an apply writes it, without its author.
fn plain(row: &GateRow) -> GateRow {
    GateRow {
        min_improvement: row.min_improvement.or(row.least_improvement).or(Some(0.0)),
        min_labelled_rows: row.min_labelled_rows.or(row.least_labelled),
        confidence: row.confidence.or(Some(0.95)),
        full_coverage: row.full_coverage.or(Some(false)),
        auto: row.auto.or(Some(false)),
        demote: row.demote.or(Some(false)),
        removed: Some(false),
        created_by: None,
        least_improvement: None,
        least_labelled: None,
        ..row.clone()
    }
}

pub(super) fn gates(
    desired: &DesiredState,
    actual: &ActualState,
    prune: &Prune,
    steps: &mut Vec<FolderStep>,
    problems: &mut Vec<Problem>,
) {
    let kind = StepKind::Gate;
    for wanted in &desired.gates {
        let name = format!("{}/{}", wanted.model, wanted.name);
        let mut declared = desired.versions.iter();
        if !declared.any(|version| version.model == wanted.model)
            && !actual.models.contains_key(&wanted.model)
        {
            let message = format!(
                "neither the folder nor Cassandra has a model `{}`",
                wanted.model
            );
            problems.push(
                Problem::new("folder.unknown_model", message)
                    .at(format!("gates.toml: {}.{}", wanted.model, wanted.name))
                    .help("add it to models/, or correct the name"),
            );
            continue;
        }
        let mut rows = actual.gates.iter();
        let same = |row: &&GateRow| (&row.model, &row.name) == (&wanted.model, &wanted.name);
        let now = rows.find(same).filter(|row| row.removed != Some(true));
        let write = FolderWrite::Gate(Box::new(wanted.clone()));
        steps.push(match now {
            None => FolderStep::new(kind, name, StepAction::Create).write(write),
            Some(now) if plain(now) == plain(wanted) => {
                FolderStep::new(kind, name, StepAction::Keep)
            }
            Some(now) => FolderStep::new(kind, name, StepAction::Change)
                .details(lines(&json(&plain(now)), &json(&plain(wanted))))
                .details(drift(now.created_by.as_deref()))
                .write(write),
        });
    }
    for row in &actual.gates {
        let mut declared = desired.gates.iter();
        let is_declared = declared.any(|one| (&one.model, &one.name) == (&row.model, &row.name));
        if is_declared || row.removed == Some(true) {
            continue;
        }
        let name = format!("{}/{}", row.model, row.name);
        let write = FolderWrite::RemoveGate(row.model.clone(), row.name.clone());
        let author = row.created_by.as_deref();
        steps.push(undeclared(kind, name, author, prune, write));
    }
}

pub(super) fn experiments(
    desired: &DesiredState,
    actual: &ActualState,
    prune: &Prune,
    steps: &mut Vec<FolderStep>,
    problems: &mut Vec<Problem>,
) {
    let kind = StepKind::Experiment;
    for wanted in &desired.experiments {
        let name = format!("{}/{}", wanted.job, wanted.name);
        if !knows_job(desired, actual, &wanted.job) {
            let place = format!("experiments.toml: {}.{}", wanted.job, wanted.name);
            problems.push(unknown_job(place, &wanted.job));
            continue;
        }
        let mut found = actual.experiments.iter();
        let found =
            found.find(|found| (&found.row.job, &found.row.name) == (&wanted.job, &wanted.name));
        let Some(found) = found else {
            let write = FolderWrite::Experiment(Box::new(wanted.clone()));
            steps.push(FolderStep::new(kind, name, StepAction::Create).write(write));
            continue;
        };
        let now = &found.row;
        let as_now = ExperimentRow {
            revision: now.revision,
            ..wanted.clone()
        };
        if as_now.hash() == now.hash() {
            let step = match found.state {
                // Stopped by people: a change of the folder makes a new revision.
                Some(ExperimentState::Stopped) => FolderStep::new(kind, name, StepAction::Leave)
                    .detail("drift: it was stopped; a change makes a new revision"),
                Some(ExperimentState::Refused) => FolderStep::new(kind, name, StepAction::Leave)
                    .detail("it was refused; a change makes a new revision"),
                None => FolderStep::new(kind, name, StepAction::Change)
                    .detail(format!("revision {} has no answer yet", now.revision))
                    .write(FolderWrite::Experiment(Box::new(as_now))),
                _ => FolderStep::new(kind, name, StepAction::Keep),
            };
            steps.push(step);
            continue;
        }
        let undated = |row: &ExperimentRow| ExperimentRow {
            stopped: None,
            created_by: None,
            ..row.clone()
        };
        let row = ExperimentRow {
            revision: now.revision + 1,
            ..wanted.clone()
        };
        steps.push(
            FolderStep::new(kind, name, StepAction::Change)
                .detail("a new revision assigns all units anew")
                .details(lines(&json(&undated(now)), &json(&row)))
                .details(drift(now.created_by.as_deref()))
                .write(FolderWrite::Experiment(Box::new(row))),
        );
    }
    for found in &actual.experiments {
        let row = &found.row;
        let mut declared = desired.experiments.iter();
        let is_declared = declared.any(|one| (&one.job, &one.name) == (&row.job, &row.name));
        let is_over = found.state.is_some_and(ExperimentState::is_over);
        if is_declared || is_over {
            continue;
        }
        let name = format!("{}/{}", row.job, row.name);
        let write = FolderWrite::StopExperiment(row.job.clone(), row.name.clone(), row.revision);
        let author = row.created_by.as_deref();
        steps.push(undeclared(kind, name, author, prune, write));
    }
}
