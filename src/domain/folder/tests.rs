//! Desired against actual: a table of cases.

use std::collections::BTreeMap;

use super::{
    AliasTarget, DesiredAlias, DesiredJob, DesiredState, DesiredVersion, MovedBy, VersionFacts,
    difference, files,
    state::{ActualAlias, ActualJob, ActualState, ActualVersion},
    steps::{FolderStep, Prune, StepAction, steps},
};
use crate::domain::{
    job::manifest::Manifest, model::AdmissionState, problem::Problem, trigger::TriggerRow,
};

fn facts(bytes: u8) -> VersionFacts {
    VersionFacts {
        sha256: hex::encode([bytes; 32]),
        ..VersionFacts::default()
    }
}

fn desired_version(bytes: u8) -> DesiredVersion {
    DesiredVersion {
        model: "m".to_owned(),
        place: "models/m/model.toml".to_owned(),
        facts: facts(bytes),
        file: Some("model.onnx".into()),
        ..DesiredVersion::default()
    }
}

fn registered(number: i32, bytes: u8, state: Option<AdmissionState>) -> ActualVersion {
    ActualVersion {
        number,
        facts: facts(bytes),
        state,
        reason: None,
        author: Some("git:abc".to_owned()),
        has_reference: false,
    }
}

fn ready(number: i32, bytes: u8) -> ActualVersion {
    registered(number, bytes, Some(AdmissionState::Ready))
}

fn with_versions(versions: Vec<ActualVersion>) -> ActualState {
    ActualState {
        models: BTreeMap::from([("m".to_owned(), versions)]),
        ..ActualState::default()
    }
}

fn planned(desired: &DesiredState, actual: &ActualState) -> Vec<FolderStep> {
    steps(desired, actual, &Prune::default()).unwrap()
}

fn step_list(steps: &[FolderStep]) -> Vec<(String, StepAction)> {
    let steps = steps.iter();
    steps.map(|step| (step.name.clone(), step.action)).collect()
}

fn codes(problems: Vec<Problem>) -> Vec<String> {
    problems.into_iter().map(|problem| problem.code).collect()
}

#[test]
fn the_folder_is_the_newest_version_with_its_content_or_a_new_one() {
    use StepAction::{Change, Create, Keep};
    let desired = DesiredState {
        versions: vec![desired_version(1)],
        ..DesiredState::default()
    };
    let retired = Some(AdmissionState::Retired);
    for (versions, name, action) in [
        (vec![], "m 1", Create),
        (vec![ready(1, 1)], "m 1", Keep),
        (vec![ready(1, 1), ready(2, 2)], "m 1", Keep),
        (vec![ready(1, 1), ready(2, 1)], "m 2", Keep),
        (vec![ready(1, 2)], "m 2", Create),
        (vec![registered(1, 1, None)], "m 1", Change),
        (vec![registered(1, 1, retired)], "m 2", Create),
    ] {
        let steps = planned(&desired, &with_versions(versions.clone()));
        assert_eq!(
            step_list(&steps),
            [(name.to_owned(), action)],
            "{versions:?}"
        );
    }
    let rejected = registered(1, 1, Some(AdmissionState::Rejected));
    let problems = steps(&desired, &with_versions(vec![rejected]), &Prune::default());
    assert_eq!(codes(problems.unwrap_err()), ["folder.refused"]);
    // Another name of a feature is another model, whatever its bytes.
    let mut renamed = ready(1, 1);
    renamed.facts.feature_names = vec!["a".to_owned()];
    let steps = planned(&desired, &with_versions(vec![renamed]));
    assert_eq!(steps[0].details, ["feature_names: [\"a\"] → []"]);
}

#[test]
fn bytes_that_are_not_here_must_be_registered() {
    let mut version = desired_version(1);
    version.file = None;
    let desired = DesiredState {
        versions: vec![version],
        ..DesiredState::default()
    };
    let steps_of = |versions| steps(&desired, &with_versions(versions), &Prune::default());
    assert_eq!(codes(steps_of(vec![]).unwrap_err()), ["folder.no_file"]);
    assert!(steps_of(vec![ready(1, 1)]).is_ok());
}

#[test]
fn an_alias_follows_the_folder_where_git_moves_it_and_people_elsewhere() {
    let alias = |moved_by| DesiredAlias {
        model: "m".to_owned(),
        alias: "champion".to_owned(),
        target: AliasTarget::Folder,
        moved_by,
        coverage: "when_covered".to_owned(),
    };
    let mut actual = with_versions(vec![ready(1, 1), ready(2, 2)]);
    for (at, moved_by, action) in [
        (None, MovedBy::Git, StepAction::Create),
        (None, MovedBy::People, StepAction::Create),
        (Some(2), MovedBy::Git, StepAction::Keep),
        (Some(1), MovedBy::Git, StepAction::Change),
        (Some(1), MovedBy::People, StepAction::Leave),
    ] {
        let desired = DesiredState {
            versions: vec![desired_version(2)],
            aliases: vec![alias(moved_by)],
            ..DesiredState::default()
        };
        actual.aliases = at
            .map(|version| {
                let author = Some("ada".to_owned());
                let alias = ActualAlias { version, author };
                (
                    "m".to_owned(),
                    BTreeMap::from([("champion".to_owned(), alias)]),
                )
            })
            .into_iter()
            .collect();
        let steps = planned(&desired, &actual);
        let step = steps.iter().find(|step| step.name == "m/champion").unwrap();
        assert_eq!(step.action, action, "{at:?} {moved_by:?}");
        if action == StepAction::Change {
            assert_eq!(
                step.details,
                ["version: 1 → 2", "drift: `ada` moved it to version 1"]
            );
        }
    }
}

fn job(name: &str, source: &str) -> DesiredJob {
    let text =
        format!("job = '{name}'\nmodel = 'm'\nversions = [1]\n[source]\ntable = '{source}'\n");
    DesiredJob {
        place: format!("jobs/{name}.toml"),
        manifest: Manifest::parse(&text).unwrap(),
        text,
    }
}

#[test]
fn a_job_comes_after_those_whose_predictions_it_reads() {
    let desired = DesiredState {
        jobs: vec![
            job("a_second", "k.b_first_predictions"),
            job("b_first", "k.rows"),
            job("c_third", "k.a_second_predictions"),
        ],
        ..DesiredState::default()
    };
    let steps = planned(&desired, &ActualState::default());
    let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["b_first", "a_second", "c_third"]);
    // A circle is left to the check of the jobs.
    let desired = DesiredState {
        jobs: vec![job("a", "k.b_predictions"), job("b", "k.a_predictions")],
        ..DesiredState::default()
    };
    assert_eq!(planned(&desired, &ActualState::default()).len(), 2);
}

#[test]
fn a_job_is_kept_while_its_manifest_is_the_same_and_ready() {
    let desired = DesiredState {
        jobs: vec![job("a", "k.rows")],
        ..DesiredState::default()
    };
    let same = desired.jobs[0].text.clone();
    let other = same.replace("[1]", "[2]");
    for (manifest, deleted, state, action, detail) in [
        (&same, false, Some("ready"), StepAction::Keep, ""),
        (
            &same,
            false,
            None,
            StepAction::Change,
            "revision 4 has no answer yet",
        ),
        (
            &same,
            false,
            Some("invalid"),
            StepAction::Change,
            "revision 4 is invalid",
        ),
        (
            &same,
            true,
            Some("ready"),
            StepAction::Change,
            "it was deleted",
        ),
        (
            &other,
            false,
            Some("ready"),
            StepAction::Change,
            "versions: [2] → [1]",
        ),
    ] {
        let now = ActualJob {
            revision: 4,
            manifest: manifest.clone(),
            author: None,
            deleted,
            state,
        };
        let actual = ActualState {
            jobs: BTreeMap::from([("a".to_owned(), now)]),
            ..ActualState::default()
        };
        let steps = planned(&desired, &actual);
        assert_eq!(steps[0].action, action, "{detail}");
        assert_eq!(steps[0].details.first().map_or("", String::as_str), detail);
    }
}

#[test]
fn only_what_this_repository_made_is_pruned() {
    let row = |name: &str, author: Option<&str>| TriggerRow {
        job: "j".to_owned(),
        name: name.to_owned(),
        every: Some("1h".to_owned()),
        created_by: author.map(str::to_owned),
        ..TriggerRow::default()
    };
    let actual = ActualState {
        triggers: vec![
            row("by_hand", Some("ada")),
            row("nameless", None),
            row("ours", Some("git:abc")),
            row("theirs", Some("git:def")),
        ],
        ..ActualState::default()
    };
    let mut prune = Prune {
        is_wanted: false,
        commits: ["abc".to_owned()].into(),
    };
    let removed = |prune: &Prune| {
        let steps = steps(&DesiredState::default(), &actual, prune).unwrap();
        assert_eq!(steps.len(), 4);
        let steps = steps.into_iter();
        let removed = steps.filter(|step| step.action == StepAction::Remove);
        removed.map(|step| step.name).collect::<Vec<_>>()
    };
    assert_eq!(removed(&prune), [""; 0]);
    prune.is_wanted = true;
    assert_eq!(removed(&prune), ["j/ours"]);
}

#[test]
fn all_mistakes_of_a_file_are_told_with_their_places() {
    let problems = files::model("sha256 = 'x'\nrtol = -1.0\n[tags]\n'git.commit' = 'x'\n");
    let problems = problems.unwrap_err();
    let places: Vec<&str> = problems
        .iter()
        .filter_map(|one| one.place.as_deref())
        .collect();
    assert_eq!(places, ["sha256", "rtol", "tags"]);
    let problem = files::model("file = 'a'\nfeature = 'b'\n")
        .unwrap_err()
        .remove(0);
    assert!(
        problem.message.contains("unknown field `feature`"),
        "{problem}"
    );
    assert_eq!(problem.place.as_deref(), Some("line 2, column 1"));
    let problems = files::aliases(
        "[m.champion]\nversion = 0\nmoved_by = 'cron'\n[m.previous]\nversion = 1\nmoved_by = 'git'\n",
    );
    assert_eq!(problems.unwrap_err().len(), 3);
    let problems = files::experiments(
        "[j.e]\narms = {a = 1, b = 2}\nmetric = 'mean'\nlabels = 'a.b.c'\nends = '14d'\n",
    );
    let problem = problems.unwrap_err().remove(0);
    assert_eq!(problem.place.as_deref(), Some("j.e.ends"));
    let problems =
        files::roles("[r]\nkind = 'king'\n[s]\nkind = 'promoter'\ndata_keyspaces = ['k']\n");
    assert_eq!(problems.unwrap_err().len(), 2);
    assert!(files::gates("[m.g]\nmetric = 'roc_auc'\n").is_err());
}

#[test]
fn differences_name_the_leaf_and_leave_long_values_out() {
    let long = "x".repeat(100);
    let old = format!("a = 1\n[rules]\nttl = '1s'\n[expect]\nrows = '{long}'\n");
    let new = format!("a = 1\n[features]\nb = 'c'\n[expect]\nrows = '{long}y'\n");
    let lines = difference::lines(&difference::of_toml(&old), &difference::of_toml(&new));
    assert_eq!(
        lines,
        [
            "expect.rows: changed",
            "rules.ttl: \"1s\" → none",
            "features.b: none → \"c\""
        ]
    );
}
