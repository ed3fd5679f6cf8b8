//! Compares what a folder declares with what Cassandra has.

mod rows;
mod versions;

use std::collections::BTreeSet;

use super::{
    DesiredState, MovedBy,
    difference::{lines, of_toml},
    state::{ActualJob, ActualState, commit_of, spoken_author},
};
use crate::domain::{
    experiment::ExperimentRow, gate::GateRow, job::manifest::TableName, problem::Problem,
    trigger::TriggerRow,
};

/// The kind of thing that a step is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepKind {
    Role,
    Version,
    Alias,
    Job,
    Trigger,
    Experiment,
    Gate,
}

impl StepKind {
    /// Returns the spelling in plans.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Version => "version",
            Self::Alias => "alias",
            Self::Job => "job",
            Self::Trigger => "trigger",
            Self::Experiment => "experiment",
            Self::Gate => "gate",
        }
    }
}

/// What an apply does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepAction {
    Create,
    Change,
    Remove,
    /// Nothing: it is as the folder says.
    Keep,
    /// Nothing: it differs from the folder or is not in it, and is left to people.
    Leave,
}

impl StepAction {
    /// Returns the spelling in plans.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Remove => "remove",
            Self::Keep => "keep",
            Self::Leave => "leave",
        }
    }

    /// Returns whether an apply writes something.
    pub fn is_write(self) -> bool {
        matches!(self, Self::Create | Self::Change | Self::Remove)
    }
}

/// What an apply writes for a step. Numbers are indices into the desired state.
#[derive(Debug, Clone, PartialEq)]
pub enum FolderWrite {
    Nothing,
    Role(usize),
    /// Registers it as this version unless it exists, and completes what belongs to it.
    Version {
        at: usize,
        number: i32,
    },
    Alias {
        at: usize,
        to: i32,
        /// Where it points now.
        from: Option<i32>,
    },
    Job(usize),
    Trigger(Box<TriggerRow>),
    Experiment(Box<ExperimentRow>),
    Gate(Box<GateRow>),
    DeleteJob(String),
    RemoveTrigger(String, String),
    RemoveGate(String, String),
    StopExperiment(String, String, i32),
}

/// One thing, and what an apply does about it.
#[derive(Debug, Clone, PartialEq)]
pub struct FolderStep {
    pub kind: StepKind,
    /// `tumour 3`, `tumour/champion`, `tumour/nightly`.
    pub name: String,
    pub action: StepAction,
    /// What differs and why, one line each.
    pub details: Vec<String>,
    pub write: FolderWrite,
}

impl FolderStep {
    fn new(kind: StepKind, name: impl Into<String>, action: StepAction) -> Self {
        Self {
            kind,
            name: name.into(),
            action,
            details: Vec::new(),
            write: FolderWrite::Nothing,
        }
    }

    fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    fn details(mut self, lines: Vec<String>) -> Self {
        self.details.extend(lines);
        self
    }

    fn write(mut self, write: FolderWrite) -> Self {
        self.write = write;
        self
    }
}

/// What is removed because the folder does not have it.
#[derive(Debug, Clone, Default)]
pub struct Prune {
    /// Whether anything is.
    pub is_wanted: bool,
    /// Commits of this repository: what others wrote is kept.
    pub commits: BTreeSet<String>,
}

impl Prune {
    /// Returns whether something by this author is removed, and otherwise why not.
    fn judge(&self, author: Option<&str>) -> Result<(), String> {
        match commit_of(author) {
            None => Err(format!("made by {}", spoken_author(author))),
            Some(_) if !self.is_wanted => Err(format!(
                "made by {}; --prune removes it",
                spoken_author(author)
            )),
            Some(commit) if !self.commits.contains(commit) => Err(format!(
                "made by {}, which this repository does not have",
                spoken_author(author)
            )),
            Some(_) => Ok(()),
        }
    }
}

/// All steps, in the order in which an apply takes them: each after those that it depends on.
///
/// # Errors
/// What the folder names and neither it nor Cassandra has.
pub fn steps(
    desired: &DesiredState,
    actual: &ActualState,
    prune: &Prune,
) -> Result<Vec<FolderStep>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut steps = roles(desired, actual);
    let planned = versions::plan(desired, actual, &mut problems);
    steps.extend(planned.steps.iter().cloned());
    // An alias that is new has no readers yet, and jobs may name it. One that moves comes last: the
    // jobs that read it must have scored its new version.
    let (new, moved): (Vec<_>, Vec<_>) = aliases(desired, actual, &planned, &mut problems)
        .into_iter()
        .partition(|step| step.action == StepAction::Create);
    steps.extend(new);
    steps.extend(jobs(desired, actual, prune));
    rows::triggers(desired, actual, prune, &mut steps, &mut problems);
    rows::experiments(desired, actual, prune, &mut steps, &mut problems);
    rows::gates(desired, actual, prune, &mut steps, &mut problems);
    steps.extend(moved);
    // What goes, after all that may still refer to it.
    let (gone, mut steps): (Vec<_>, Vec<_>) = steps
        .into_iter()
        .partition(|step| step.action == StepAction::Remove);
    steps.extend(gone.into_iter().rev());
    match problems.is_empty() {
        true => Ok(steps),
        false => Err(problems),
    }
}

fn roles(desired: &DesiredState, actual: &ActualState) -> Vec<FolderStep> {
    let roles = desired.roles.iter().enumerate();
    let step = |(at, role): (usize, &super::DesiredRole)| {
        let name = role.name.clone();
        match actual.roles.get(&role.name).cloned().flatten() {
            None => FolderStep::new(StepKind::Role, name, StepAction::Create)
                .detail(format!("kind {}", role.kind.as_str()))
                .write(FolderWrite::Role(at)),
            // The caller removes what is granted: what is left is missing.
            Some(missing) if missing.is_empty() => {
                FolderStep::new(StepKind::Role, name, StepAction::Keep)
            }
            Some(missing) => FolderStep::new(StepKind::Role, name, StepAction::Change)
                .details(missing.iter().map(|one| format!("grant {one}")).collect())
                .write(FolderWrite::Role(at)),
        }
    };
    roles.map(step).collect()
}

fn aliases(
    desired: &DesiredState,
    actual: &ActualState,
    planned: &versions::PlannedVersions,
    problems: &mut Vec<Problem>,
) -> Vec<FolderStep> {
    let mut steps = Vec::new();
    for (at, wanted) in desired.aliases.iter().enumerate() {
        let place = format!("aliases.toml: {}.{}.version", wanted.model, wanted.alias);
        let to = match planned.resolve(actual, &wanted.model, wanted.target) {
            Ok(to) => to,
            Err(problem) => {
                problems.push(problem.at(place));
                continue;
            }
        };
        let name = format!("{}/{}", wanted.model, wanted.alias);
        let pointing = actual.aliases.get(&wanted.model);
        let Some(now) = pointing.and_then(|aliases| aliases.get(&wanted.alias)) else {
            steps.push(
                FolderStep::new(StepKind::Alias, name, StepAction::Create)
                    .detail(format!("version: none → {to}"))
                    .write(FolderWrite::Alias { at, to, from: None }),
            );
            continue;
        };
        if now.version == to {
            steps.push(FolderStep::new(StepKind::Alias, name, StepAction::Keep));
            continue;
        }
        let (from, author) = (now.version, now.author.as_deref());
        let by_hand = commit_of(author).is_none();
        let drift = format!("{} moved it to version {from}", spoken_author(author));
        let step = match wanted.moved_by {
            MovedBy::Git => FolderStep::new(StepKind::Alias, name, StepAction::Change)
                .detail(format!("version: {from} → {to}"))
                .details(
                    by_hand
                        .then(|| format!("drift: {drift}"))
                        .into_iter()
                        .collect(),
                )
                .write(FolderWrite::Alias {
                    at,
                    to,
                    from: Some(from),
                }),
            MovedBy::People => FolderStep::new(StepKind::Alias, name, StepAction::Leave).detail(
                format!("people move it: it points at {from}, the folder names {to} ({drift})"),
            ),
        };
        steps.push(step);
    }
    steps
}

fn jobs(desired: &DesiredState, actual: &ActualState, prune: &Prune) -> Vec<FolderStep> {
    let mut steps = Vec::new();
    for at in in_order(desired) {
        let job = &desired.jobs[at];
        let name = job.manifest.job.clone();
        let step = match actual.jobs.get(&name) {
            None => FolderStep::new(StepKind::Job, name, StepAction::Create),
            Some(now) => change(now, &job.text, name),
        };
        let write = match step.action.is_write() {
            true => FolderWrite::Job(at),
            false => FolderWrite::Nothing,
        };
        steps.push(step.write(write));
    }
    let declared: BTreeSet<&str> = desired
        .jobs
        .iter()
        .map(|job| job.manifest.job.as_str())
        .collect();
    for (name, job) in &actual.jobs {
        if declared.contains(name.as_str()) || job.deleted {
            continue;
        }
        steps.push(match prune.judge(job.author.as_deref()) {
            Ok(()) => FolderStep::new(StepKind::Job, name, StepAction::Remove)
                .detail("not in the folder; its predictions are kept")
                .write(FolderWrite::DeleteJob(name.clone())),
            Err(why) => FolderStep::new(StepKind::Job, name, StepAction::Leave)
                .detail(format!("not in the folder; {why}")),
        });
    }
    steps
}

fn change(now: &ActualJob, text: &str, name: String) -> FolderStep {
    let changed = FolderStep::new(StepKind::Job, name.clone(), StepAction::Change);
    if now.deleted {
        return changed.detail("it was deleted");
    }
    if now.manifest != text {
        let differences = lines(&of_toml(&now.manifest), &of_toml(text));
        let differences = match differences.is_empty() {
            true => vec!["comments or spaces of the manifest".to_owned()],
            false => differences,
        };
        let author = now.author.as_deref();
        let by_hand = commit_of(author).is_none();
        return changed.details(differences).details(
            by_hand
                .then(|| {
                    let author = spoken_author(author);
                    format!("drift: {author} made revision {}", now.revision)
                })
                .into_iter()
                .collect(),
        );
    }
    match now.state {
        Some("ready") => FolderStep::new(StepKind::Job, name, StepAction::Keep),
        Some(state) => changed.detail(format!("revision {} is {state}", now.revision)),
        None => changed.detail(format!("revision {} has no answer yet", now.revision)),
    }
}

/// Returns the indices of jobs, those that write a table before those that read it.
fn in_order(desired: &DesiredState) -> Vec<usize> {
    let target = |at: usize| -> TableName { desired.jobs[at].manifest.target() };
    let mut order = Vec::new();
    let mut left: Vec<usize> = (0..desired.jobs.len()).collect();
    while !left.is_empty() {
        let is_free = |at: &usize| {
            let source = &desired.jobs[*at].manifest.source;
            !left
                .iter()
                .any(|other| other != at && target(*other) == *source)
        };
        let free: Vec<usize> = left.iter().copied().filter(is_free).collect();
        if free.is_empty() {
            // A circle: whichever comes first is refused when it is checked.
            order.append(&mut left);
        }
        left.retain(|at| !free.contains(at));
        order.extend(free);
    }
    order
}
