//! Decides whether an experiment may start.

use chrono::{DateTime, Utc};

use crate::{
    control::jobs,
    domain::{
        evidence::experiment::allocation::Allocation,
        experiment::{Experiment, ExperimentRow, ExperimentState},
        job::manifest::VersionWish,
        model::alias::CHAMPION,
        problem::Problem,
    },
    engine::jobs::PreparedJob,
    failure::{Exit, Failure},
    inspect,
    store::Store,
};

/// Whether it may start.
pub(super) enum Starting {
    /// With these arms.
    Yes(Allocation),
    /// It has this state, for this reason.
    No(ExperimentState, String),
}

/// Decides about a revision that has not started. `running`: what the job's experiments assign now.
pub(super) async fn start(
    store: &Store,
    row: &ExperimentRow,
    running: Option<&Allocation>,
    now: DateTime<Utc>,
) -> Result<Starting, Failure> {
    let refused = |problems: &[Problem]| {
        let lines: Vec<_> = problems.iter().map(Problem::line).collect();
        Ok(Starting::No(ExperimentState::Refused, lines.join("; ")))
    };
    if row.stopped == Some(true) {
        return Ok(Starting::No(ExperimentState::Stopped, String::new()));
    }
    let experiment = match Experiment::read(row) {
        Ok(experiment) => experiment,
        Err(problems) => return refused(&problems),
    };
    if experiment.ends_at <= now {
        let problem = Problem::new("experiment.over", "its planned end is past");
        return refused(&[problem
            .at("ends_at")
            .help("plan a later end, in a new revision")]);
    }
    if let Some(start) = experiment.starts_at.filter(|start| *start > now) {
        let reason = format!("it starts at {}", start.format("%Y-%m-%dT%H:%M:%SZ"));
        return Ok(Starting::No(ExperimentState::Waiting, reason));
    }
    if let Some(other) = running.filter(|running| running.experiment != experiment.name) {
        let reason = format!(
            "experiment `{}` of this job is running; it must end first",
            other.experiment
        );
        return Ok(Starting::No(ExperimentState::Waiting, reason));
    }
    let fits = async {
        let prepared = jobs::prepare(store, &experiment.job, None).await?;
        let allocation = allocation(store, &experiment, &prepared).await?;
        Box::pin(inspect::experiment::check(store, &experiment, &allocation)).await?;
        Ok::<_, Failure>(allocation)
    };
    match Box::pin(fits).await {
        Ok(allocation) => Ok(Starting::Yes(allocation)),
        Err(failure) if failure.is("job.unanswered") => {
            Ok(Starting::No(ExperimentState::Waiting, failure.to_string()))
        }
        Err(failure) if matches!(failure.exit, Exit::Input | Exit::NotFound) => {
            refused(&failure.problems)
        }
        Err(failure) => Err(failure),
    }
}

/// Resolves the arms' versions; each must be one that the job scores and serves.
async fn allocation(
    store: &Store,
    experiment: &Experiment,
    prepared: &PreparedJob,
) -> Result<Allocation, Failure> {
    let model = &prepared.manifest.model;
    let job = &experiment.job;
    let mut problems = Vec::new();
    if !prepared.aliases.contains_key(CHAMPION) {
        let message = format!("job `{job}` does not score the champion");
        problems.push(
            Problem::new("experiment.no_champion", message)
                .at("arms")
                .help("the champion serves the rows of no arm: add \"champion\" to the job's versions"),
        );
    }
    let shadows = prepared.manifest.shadows(&prepared.aliases);
    let scored: Vec<i32> = prepared
        .job
        .versions
        .iter()
        .map(|it| it.ready.version)
        .collect();
    let mut versions = Vec::new();
    for arm in &experiment.arms {
        let number = match &arm.version {
            VersionWish::Number(number) => Some(*number),
            VersionWish::Alias(alias) => store.alias(model, alias).await?,
        };
        let wrong = match number {
            None => format!("no version of model `{model}` is `{}`", arm.version),
            Some(number) if shadows.contains(&number) => {
                format!("version {number} is a shadow of job `{job}`, which is never served")
            }
            Some(number) if !scored.contains(&number) => {
                format!("job `{job}` does not score version {number}")
            }
            Some(number) => {
                versions.push(number);
                continue;
            }
        };
        let message = format!("arm `{}`: {wrong}", arm.name);
        let problem = Problem::new("experiment.not_scored", message).at("arms");
        problems.push(problem.help("name it in `versions` of the job's manifest"));
    }
    match problems.is_empty() {
        true => Ok(experiment.allocation(model, &versions)),
        false => Err(Failure::inputs(problems)),
    }
}
