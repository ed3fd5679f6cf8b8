//! Checks what an apply would write: admission, mappings and expected rows, and the DDL. Writes
//! nothing.

use std::collections::BTreeMap;

use crate::{
    config::Config,
    domain::{
        folder::{
            DesiredJob, DesiredState, DesiredVersion,
            steps::{FolderStep, FolderWrite, StepAction, StepKind},
        },
        job::manifest::{TableName, VersionWish},
        model::{Admitted, ReadyVersion, tolerance::Tolerance},
        problem::Problem,
    },
    engine::{
        artifacts,
        jobs::{self, Outlook, PlannedVersion},
        models::ModelFiles,
        reference,
    },
    failure::Failure,
    scorer::{
        admit::Request,
        child::{self, Limits},
        runtime,
    },
    store::Store,
};

/// The code of what a login is not permitted to do.
const DENIED: &str = "cassandra.denied";

/// A step, and what its checks found.
#[derive(Debug)]
pub struct CheckedStep {
    pub step: FolderStep,
    /// Statements that the job needs.
    pub ddl: Vec<String>,
    pub warnings: Vec<String>,
    /// Why an apply must not write it.
    pub problems: Vec<Problem>,
}

impl From<FolderStep> for CheckedStep {
    fn from(step: FolderStep) -> Self {
        Self {
            step,
            ddl: Vec::new(),
            warnings: Vec::new(),
            problems: Vec::new(),
        }
    }
}

/// Checks all steps.
///
/// # Errors
/// Errors of Cassandra and of this machine; what is wrong with a step is stored with it.
pub async fn check(
    store: &Store,
    desired: &DesiredState,
    steps: Vec<FolderStep>,
) -> Result<Vec<CheckedStep>, Failure> {
    let mut steps: Vec<CheckedStep> = steps.into_iter().map(CheckedStep::from).collect();
    let mut planned = Planned::default();
    for checked in &mut steps {
        match &checked.step.write {
            FolderWrite::Version { at, number } => {
                let version = &desired.versions[*at];
                planned.admit(store, version, *number, checked).await?;
            }
            FolderWrite::Alias { at, to, from } => {
                let alias = &desired.aliases[*at];
                let moves = Move {
                    alias: alias.alias.clone(),
                    to: *to,
                    is_new: from.is_none(),
                };
                planned
                    .moves
                    .entry(alias.model.clone())
                    .or_default()
                    .push(moves);
            }
            _ => {}
        }
    }
    for job in &desired.jobs {
        let of_job = |checked: &&mut CheckedStep| {
            checked.step.kind == StepKind::Job && checked.step.name == job.manifest.job
        };
        let Some(checked) = steps.iter_mut().find(of_job) else {
            continue;
        };
        planned.check_job(store, desired, job, checked).await?;
    }
    Ok(steps)
}

/// A move of an alias of a model.
struct Move {
    alias: String,
    to: i32,
    is_new: bool,
}

/// What the steps before a job will have written.
#[derive(Default)]
struct Planned {
    versions: Vec<PlannedVersion>,
    /// By model.
    moves: BTreeMap<String, Vec<Move>>,
    /// Models with a version that could not be examined here.
    unknown: Vec<String>,
}

impl Planned {
    /// Examines a version that is new, or that no worker has decided about, as admission will.
    async fn admit(
        &mut self,
        store: &Store,
        version: &DesiredVersion,
        number: i32,
        checked: &mut CheckedStep,
    ) -> Result<(), Failure> {
        let Some(file) = &version.file else {
            self.unknown.push(version.model.clone());
            return Ok(());
        };
        if let Some(path) = &version.reference
            && let Err(failure) = reference::read(path, file, &version.facts.feature_names)
        {
            checked.problems.extend(failure.problems);
        }
        let config = store.config().clone();
        let examined = version.clone();
        let verdict = tokio::task::spawn_blocking(move || examine(&config, &examined)).await;
        let verdict = verdict
            .map_err(|error| Failure::system(Problem::new("system.threads", error.to_string())))?;
        match verdict {
            Ok(Ok(admitted)) => {
                let artifacts = artifacts::load_files(&version.artifacts).await;
                let artifacts = artifacts.map_err(Failure::input)?;
                checked.warnings.extend(admitted.warnings.iter().cloned());
                self.versions.push(PlannedVersion {
                    ready: ReadyVersion {
                        model: version.model.clone(),
                        version: number,
                        admitted,
                    },
                    file: file.clone(),
                    artifacts,
                });
            }
            Ok(Err(problems)) => {
                self.unknown.push(version.model.clone());
                let place = |problem: Problem| match &problem.place {
                    Some(place) => {
                        let place = format!("{}: {place}", version.place);
                        problem.at(place)
                    }
                    None => problem.at(version.place.clone()),
                };
                checked.problems.extend(problems.into_iter().map(place));
            }
            Err(problem) => {
                self.unknown.push(version.model.clone());
                checked.warnings.push(format!(
                    "not_admitted_here: {}; a worker admits the version when it is applied",
                    problem.line()
                ));
            }
        }
        Ok(())
    }

    async fn check_job(
        &self,
        store: &Store,
        desired: &DesiredState,
        job: &DesiredJob,
        checked: &mut CheckedStep,
    ) -> Result<(), Failure> {
        let manifest = &job.manifest;
        let named = |moved: &&Move| {
            let wishes = manifest.versions.iter().chain(&manifest.shadow);
            let mut aliases = wishes.filter_map(|wish| match wish {
                VersionWish::Alias(alias) => Some(alias),
                VersionWish::Number(_) => None,
            });
            aliases.any(|alias| *alias == moved.alias)
        };
        let moves = self.moves.get(&manifest.model);
        let moves: Vec<&Move> = moves.into_iter().flatten().filter(named).collect();
        let is_write = checked.step.action.is_write();
        if !is_write && moves.is_empty() || checked.step.action == StepAction::Remove {
            return Ok(());
        }
        if self.unknown.contains(&manifest.model) {
            checked.warnings.push(format!(
                "not_checked: a version of model `{}` was not examined here",
                manifest.model
            ));
            return Ok(());
        }
        if is_made_here(store, desired, &manifest.source).await? {
            checked.warnings.push(format!(
                "not_checked: {} does not exist yet; the job is checked when it is applied",
                manifest.source
            ));
            return Ok(());
        }
        let pointing = |wanted: &dyn Fn(&Move) -> bool| -> BTreeMap<String, i32> {
            let moves = moves.iter().filter(|moved| wanted(moved));
            moves.map(|moved| (moved.alias.clone(), moved.to)).collect()
        };
        // Once when the job is written, and once more when its aliases have moved.
        let (before, after) = (pointing(&|moved| moved.is_new), pointing(&|_| true));
        let mut rounds = Vec::new();
        if is_write {
            rounds.push(before.clone());
        }
        if !is_write || after != before {
            rounds.push(after);
        }
        for pointing in rounds {
            self.check_round(store, job, pointing, checked).await?;
            if !checked.problems.is_empty() {
                break;
            }
        }
        Ok(())
    }

    async fn check_round(
        &self,
        store: &Store,
        job: &DesiredJob,
        pointing: BTreeMap<String, i32>,
        checked: &mut CheckedStep,
    ) -> Result<(), Failure> {
        let moves: Vec<String> = pointing
            .iter()
            .map(|(alias, to)| format!("`{alias}` = {to}"))
            .collect();
        let outlook = Outlook {
            pointing,
            versions: self.versions.clone(),
        };
        let manifest = &job.manifest;
        let mut add = |problems: Vec<Problem>| {
            let place = |problem: Problem| {
                let within = problem.place.as_deref().unwrap_or("versions");
                let when = match moves.as_slice() {
                    [] => String::new(),
                    moves => format!(" (with {})", moves.join(", ")),
                };
                let place = format!("{}: {within}{when}", job.place);
                problem.at(place)
            };
            checked.problems.extend(problems.into_iter().map(place));
        };
        let fits = match jobs::check_planned(store, manifest, &outlook).await? {
            Ok(fits) => fits,
            Err(problems) => {
                add(problems);
                return Ok(());
            }
        };
        let files: ModelFiles = self
            .versions
            .iter()
            .map(|planned| (planned.ready.admitted.sha256, planned.file.clone()))
            .collect();
        let about = (&fits.aliases, &fits.job);
        match jobs::check_planned_rows(store, manifest, about, &files).await {
            Ok(Ok(())) => {}
            Ok(Err(problems)) => {
                add(problems);
                return Ok(());
            }
            Err(failure) if failure.is(DENIED) => checked.warnings.push(format!(
                "not_checked: this login is not permitted to read the expected rows: {failure}"
            )),
            Err(failure) => return Err(failure),
        }
        for warning in &fits.job.warnings {
            if !checked.warnings.contains(warning) {
                checked.warnings.push(warning.clone());
            }
        }
        for statement in store.prediction_ddl(&fits.job).await? {
            if !checked.ddl.contains(&statement) {
                checked.ddl.push(statement);
            }
        }
        Ok(())
    }
}

/// Whether a table does not exist, and a job of the folder will make it.
async fn is_made_here(
    store: &Store,
    desired: &DesiredState,
    table: &TableName,
) -> Result<bool, Failure> {
    let mut jobs = desired.jobs.iter();
    Ok(jobs.any(|job| job.manifest.target() == *table) && store.table(table).await?.is_none())
}

/// Examines a version's file in a process with limits, as admission does.
///
/// # Errors
/// The outer error says nothing about the model: the library or the process. The inner one is all of
/// the model's problems.
pub fn examine(
    config: &Config,
    version: &DesiredVersion,
) -> Result<Result<Admitted, Vec<Problem>>, Problem> {
    let Some(file) = &version.file else {
        return Err(Problem::new("folder.no_file", "its file is not here"));
    };
    // The process has another working directory.
    let file = std::path::absolute(file).map_err(|error| {
        Problem::new("model.unreadable", format!("cannot be read: {error}"))
            .at(file.display().to_string())
    })?;
    let facts = &version.facts;
    let usual = Tolerance::default();
    let mut request = Request::new(file, runtime::locate(config.onnxruntime.as_deref()));
    request.feature_names.clone_from(&facts.feature_names);
    request.class_names.clone_from(&facts.class_names);
    request.widths.clone_from(&facts.widths);
    request.golden.clone_from(&version.golden);
    request.tolerance = Tolerance {
        rtol: facts.rtol.unwrap_or(usual.rtol),
        atol: facts.atol.unwrap_or(usual.atol),
    };
    request.accepts = facts.accepts.iter().cloned().collect();
    request.artifacts = artifacts::to_admit(&version.artifacts)?;
    request.max_size = (config.max_model_mib as u64) << 20;
    let limits = Limits {
        time: config.admission_timeout,
        memory: (config.admission_memory_mib as u64) << 20,
        ..Limits::default()
    };
    Ok(child::run(&request, &limits)?.verdict())
}
