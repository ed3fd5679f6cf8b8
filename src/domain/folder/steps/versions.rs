//! The versions of models.

use std::collections::BTreeMap;

use super::{FolderStep, FolderWrite, StepAction, StepKind};
use crate::domain::{
    folder::{
        AliasTarget, DesiredState, DesiredVersion, VersionFacts,
        difference::lines,
        state::{ActualState, ActualVersion, commit_of, spoken_author},
    },
    model::AdmissionState,
    problem::Problem,
};

/// The steps of the versions, and the numbers that they have or get.
pub(super) struct PlannedVersions {
    pub steps: Vec<FolderStep>,
    /// Model → the version that the folder stands for.
    folder: BTreeMap<String, i32>,
    /// Model → the highest number once the steps were taken.
    last: BTreeMap<String, i32>,
}

impl PlannedVersions {
    /// Returns the number of the version that an alias is to point at.
    pub fn resolve(
        &self,
        actual: &ActualState,
        model: &str,
        target: AliasTarget,
    ) -> Result<i32, Problem> {
        let number = match target {
            AliasTarget::Folder => {
                return self.folder.get(model).copied().ok_or_else(|| {
                    let message = format!("the folder has no model `{model}`");
                    Problem::new("folder.unknown_model", message)
                        .help(format!("add models/{model}/model.toml, or name a version"))
                });
            }
            AliasTarget::Number(number) => number,
        };
        let registered = actual.models.get(model).into_iter().flatten();
        let known = registered.map(|version| version.number).max();
        let last = self.last.get(model).copied().max(known).unwrap_or(0);
        match number <= last {
            true => Ok(number),
            false => Err(Problem::new(
                "folder.unknown_version",
                format!("model `{model}` has no version {number}"),
            )
            .help(format!("its last version is {last}"))),
        }
    }
}

/// Decides about the folder's versions.
pub(super) fn plan(
    desired: &DesiredState,
    actual: &ActualState,
    problems: &mut Vec<Problem>,
) -> PlannedVersions {
    let mut planned = PlannedVersions {
        steps: Vec::new(),
        folder: BTreeMap::new(),
        last: BTreeMap::new(),
    };
    for (at, version) in desired.versions.iter().enumerate() {
        let model = version.model.as_str();
        let registered = actual.models.get(model).map_or(&[][..], Vec::as_slice);
        let newest = registered.last();
        let newest_number = newest.map_or(0, |newest| newest.number);
        let last = planned
            .last
            .entry(model.to_owned())
            .or_insert(newest_number);
        let found = match version.number {
            Some(number) => registered.iter().find(|other| other.number == number),
            None => registered.iter().rev().find(|other| is_it(version, other)),
        };
        let number = match (found, version.number) {
            (Some(found), _) => found.number,
            (None, Some(number)) if number != *last + 1 => {
                let message = format!("version {number} of model `{model}` is out of order");
                let help = format!(
                    "its next version is {}: versions count 1, 2, 3 …",
                    *last + 1
                );
                problems.push(
                    Problem::new("folder.version_number", message)
                        .at(version.place.clone())
                        .help(help),
                );
                continue;
            }
            (None, _) => *last + 1,
        };
        *last = number.max(*last);
        planned.folder.insert(model.to_owned(), number);
        let name = format!("{model} {number}");
        planned.steps.push(match found {
            Some(found) if !is_it(version, found) => {
                let differences = differences(&found.facts, &version.facts);
                problems.push(
                    Problem::new(
                        "folder.version_differs",
                        format!(
                            "version {number} of model `{model}` is registered with other content"
                        ),
                    )
                    .at(version.place.clone())
                    .help(format!(
                        "make a new folder for it: versions never change ({})",
                        differences.join("; ")
                    )),
                );
                continue;
            }
            Some(found) => existing(at, version, found, name, problems),
            None => {
                if version.file.is_none() {
                    let message = format!("version {number} of model `{model}` has no file here");
                    problems.push(
                        Problem::new("folder.no_file", message)
                            .at(version.place.clone())
                            .help("get the file that `path` names, with this sha256"),
                    );
                }
                let step = FolderStep::new(StepKind::Version, name, StepAction::Create)
                    .write(FolderWrite::Version { at, number });
                match newest {
                    None => step.detail(format!("sha256 {}", short(&version.facts.sha256))),
                    Some(newest) => step
                        .details(differences(&newest.facts, &version.facts))
                        .details(drift(newest)),
                }
            }
        });
    }
    planned
}

/// Whether a registered version is the folder's and still of use.
fn is_it(version: &DesiredVersion, registered: &ActualVersion) -> bool {
    use AdmissionState::{Retired, Tampered};
    let is_usable = !matches!(registered.state, Some(Retired | Tampered));
    let is_meant = version.number == Some(registered.number);
    (is_usable || is_meant) && version.facts.are_of(&registered.facts)
}

fn existing(
    at: usize,
    version: &DesiredVersion,
    found: &ActualVersion,
    name: String,
    problems: &mut Vec<Problem>,
) -> FolderStep {
    let step = |action| FolderStep::new(StepKind::Version, name.clone(), action);
    let number = found.number;
    let completes = FolderWrite::Version { at, number };
    match found.state {
        Some(AdmissionState::Rejected | AdmissionState::Tampered) => {
            let state = found.state.map(|state| state.to_string());
            let state = state.unwrap_or_default();
            let reason = found.reason.as_deref().unwrap_or_default();
            problems.push(
                Problem::new("folder.refused", format!("version {name} is {state}"))
                    .at(version.place.clone())
                    .help(format!("change the model: {reason}")),
            );
            step(StepAction::Keep)
        }
        Some(AdmissionState::Ready)
            if version.reference.is_some() && version.file.is_some() && !found.has_reference =>
        {
            step(StepAction::Change)
                .detail("its reference is missing")
                .write(completes)
        }
        Some(AdmissionState::Ready | AdmissionState::Retired) => step(StepAction::Keep),
        Some(AdmissionState::Admitting) | None => step(StepAction::Change)
            .detail("it waits for admission")
            .write(completes),
    }
}

/// Tells that people registered the version that the folder's follows.
fn drift(newest: &ActualVersion) -> Vec<String> {
    let author = newest.author.as_deref();
    match commit_of(author) {
        Some(_) => Vec::new(),
        None => vec![format!(
            "drift: {} registered version {}",
            spoken_author(author),
            newest.number
        )],
    }
}

fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

fn differences(old: &VersionFacts, new: &VersionFacts) -> Vec<String> {
    let json = |facts: &VersionFacts| {
        let mut facts = facts.clone();
        facts.sha256 = short(&facts.sha256).to_owned();
        for sha in facts.artifacts.values_mut() {
            *sha = short(sha).to_owned();
        }
        for sha in [&mut facts.golden_sha256, &mut facts.reference_sha256] {
            *sha = sha.as_deref().map(|sha| short(sha).to_owned());
        }
        serde_json::to_value(facts).unwrap_or_default()
    };
    lines(&json(old), &json(new))
}
