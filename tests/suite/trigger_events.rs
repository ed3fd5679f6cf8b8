//! Triggers without a clock: after other jobs, on promotion, on pending rows and hints.

use chrono::{TimeDelta, Utc};
use helenus::{
    control::scheduler::{Scheduler, estimate},
    domain::{
        run::{Part, RunState},
        trigger::TriggerState,
    },
    engine::jobs,
};

use crate::support::{
    block_on,
    garden::{Garden, ROWS},
    model::insert_json,
};

/// Runs of each job, and whether all succeeded.
fn runs(garden: &Garden, jobs: &[&str]) -> Vec<usize> {
    let count = |job: &&str| {
        let runs = garden.runs(job);
        assert!(
            runs.iter().all(|run| run.state == RunState::Succeeded),
            "{runs:#?}"
        );
        runs.len()
    };
    jobs.iter().map(count).collect()
}

#[test]
fn in_a_diamond_of_jobs_each_runs_once_a_generation_and_a_cycle_is_refused() {
    let garden = Garden::new("trigger_diamond");
    garden.job("root");
    for (job, source, after) in [
        ("left", "root", "root"),
        ("right", "root", "root"),
        ("tip", "left", "left, right"),
    ] {
        garden.dependent(job, source);
        garden
            .sandbox
            .helenus(&["trigger", "add", job, "chained", "--after-job", after])
            .ok();
    }
    // What closes a cycle is refused with its path; the others go on.
    let refused = garden
        .sandbox
        .json(&["trigger", "add", "root", "round", "--after-job", "tip"])
        .code(2);
    assert_eq!(refused.error()["code"], "trigger.cycle");
    let message = refused.error()["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("root → left → tip → root")
            || message.contains("root → right → tip → root"),
        "{message}"
    );
    let all = ["root", "left", "right", "tip"];
    for generation in 1..=2 {
        garden.sandbox.cql(&format!(
            "UPDATE {{data}}.flowers SET petal_length = {generation}.5 WHERE id = 42"
        ));
        garden.finish("root");
        // Both arms follow, then the tip, then nobody.
        assert_eq!(garden.worker()["fired"], 2);
        assert_eq!(garden.worker()["fired"], 1);
        assert_eq!(garden.worker()["fired"], 0);
        assert_eq!(runs(&garden, &all), [generation; 4]);
    }
    let tip = garden.runs("tip").remove(0);
    let counted = (tip.counts.source_rows, tip.counts.scored[&1]);
    assert_eq!(
        counted,
        (ROWS, 1),
        "the changed row came through all of them"
    );
    assert_eq!(
        tip.source,
        format!("{}.left_predictions", garden.sandbox.data)
    );
    // One arm alone is no generation.
    garden.finish("left");
    assert_eq!(garden.worker()["fired"], 0);
    for job in ["left", "right", "tip"] {
        assert_eq!(garden.status(job, "chained").state, TriggerState::Ready);
    }
}

/// Runs over keys may be many, and are ordered by when they were due: a run over the whole source is
/// found behind any number of them.
#[test]
fn a_run_over_the_whole_source_is_not_hidden_by_many_over_keys() {
    let garden = Garden::new("trigger_hidden");
    garden.job("root");
    garden.dependent("left", "root");
    let words = ["trigger", "add", "left", "chained", "--after-job", "root"];
    garden.sandbox.helenus(&words).ok();
    assert_eq!(garden.worker()["fired"], 0);
    garden.finish("root");
    for id in 0..25 {
        garden.sandbox.cql(&format!(
            "INSERT INTO {{helenus}}.runs (job, run_id, state, scope, keys, versions, due_at, started_at, finished_at) VALUES ('root', now(), 'succeeded', 'keys', [{{'id': '{id}'}}], {{1}}, toTimestamp(now()), toTimestamp(now()), toTimestamp(now()))"
        ));
    }
    assert_eq!(garden.worker()["fired"], 1);
    assert_eq!(garden.worker()["fired"], 0);
    assert_eq!(runs(&garden, &["left"]), [1]);
    let store = &garden.store;
    let ended = block_on(store.whole_runs("root")).unwrap();
    assert_eq!(ended.len(), 1);
    let started = block_on(store.last_whole_start("root")).unwrap();
    assert!(started.is_some_and(|started| started < ended[0].finished_at));
}

/// Only the newest ends are kept.
#[test]
fn a_job_keeps_the_ends_of_fifty_runs_over_the_whole_source() {
    let garden = Garden::new("trigger_ends");
    garden.job("root");
    garden.finish("root");
    for _ in 0..55 {
        garden.sandbox.cql("UPDATE {helenus}.runs SET whole_ended = whole_ended + {now(): '2020-01-01'} WHERE job = 'root'");
    }
    garden.finish("root");
    let ended = block_on(garden.store.whole_runs("root")).unwrap();
    assert_eq!(ended.len(), 50);
    let last = garden.runs("root").remove(0);
    assert!(ended.iter().any(|run| run.run_id == last.run_id));
}

#[test]
fn an_alarm_fires_once_when_two_runs_have_shown_it() {
    let garden = Garden::new("trigger_alarm");
    garden.job("iris");
    let sandbox = &garden.sandbox;
    garden.finish("iris");
    let drifted = |second: u32, feature: &str| {
        let run = format!("minTimeuuid('2031-01-01 00:00:{second:02}+0000')");
        sandbox.cql(&format!("INSERT INTO {{helenus}}.runs (job, run_id, trigger, versions, state, finished_at, scored) VALUES ('iris', {run}, 'nightly', {{1}}, 'succeeded', '2031-01-01 00:00:{second:02}+0000', {{1: 500}})"));
        sandbox.cql(&format!("INSERT INTO {{helenus}}.drift (job, run_id, version, feature, against, segment, verdict, psi, n, m) VALUES ('iris', {run}, 1, '{feature}', 'reference', '', 'drifted', 0.31, 500, 500)"));
    };
    let unknown = ["trigger", "add", "iris", "odd", "--on-alarm", "drfit"];
    let refused = sandbox.json(&unknown).code(2);
    assert_eq!(refused.error()["code"], "trigger.on_alarm");
    let words = ["trigger", "add", "iris", "shifted", "--on-alarm", "drift"];
    let added = sandbox.json(&words).ok().result();
    assert_eq!(added["fires"], "on alarm drift");
    let other = ["trigger", "add", "iris", "late", "--on-alarm", "run_late"];
    sandbox.helenus(&other).ok();
    assert_eq!(garden.worker()["fired"], 0);
    // Seen in one run, it may be chance. A round of triggers may come before the round of alarms.
    drifted(1, "petal_length");
    for _ in 0..3 {
        assert_eq!(garden.worker()["fired"], 0);
    }
    drifted(2, "petal_length");
    let fired = |rounds: u32| {
        (0..rounds)
            .map(|_| garden.worker()["fired"].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(fired(3), 1);
    let status = garden.status("iris", "shifted");
    let reason = status.last_reason.unwrap();
    assert!(
        reason.starts_with("alarm ") && reason.contains("drift"),
        "{reason}"
    );
    assert_eq!(garden.status("iris", "late").last_run, None);
    // A trigger that comes later does not follow what is open already; nor does one that is resumed.
    sandbox
        .helenus(&[
            "trigger",
            "add",
            "iris",
            "again",
            "--on-alarm",
            "drift/version 1",
        ])
        .ok();
    sandbox
        .helenus(&["trigger", "pause", "iris", "shifted"])
        .ok();
    assert_eq!(fired(1), 0);
    sandbox
        .helenus(&["trigger", "resume", "iris", "shifted"])
        .ok();
    assert_eq!(fired(2), 0);
}

#[test]
fn a_moved_alias_fires_once() {
    let garden = Garden::new("trigger_promotion");
    garden.job("iris");
    let sandbox = &garden.sandbox;
    sandbox
        .helenus(&[
            "trigger",
            "add",
            "iris",
            "moved",
            "--on-promotion",
            "challenger",
        ])
        .ok();
    assert_eq!(garden.worker()["fired"], 0);
    sandbox
        .helenus(&[
            "model",
            "promote",
            "kmeans",
            "1",
            "--alias",
            "challenger",
            "--why",
            "try",
        ])
        .ok();
    assert_eq!(garden.worker()["fired"], 1);
    assert_eq!(garden.worker()["fired"], 0);
    let run = garden.runs("iris").remove(0);
    let change = block_on(garden.store.alias_history("kmeans", "challenger", 1))
        .unwrap()
        .remove(0);
    let ticks = helenus::domain::run::run_id::time_100ns(change.changed_at).unwrap();
    assert_eq!(run.due_at.timestamp_millis() as u64, ticks / 10_000);
    assert_eq!(
        (run.state, run.trigger.as_str()),
        (RunState::Succeeded, "moved")
    );
}

#[test]
fn pending_rows_fire_when_they_are_many_or_wait_for_long() {
    let garden = Garden::new("trigger_pending");
    garden.job("iris");
    garden.trigger("iris", "fresh", "pending_rows, oldest_wait", "10, '10m'");
    let mut scheduler = Scheduler::default();
    let start = Utc::now();
    let mut round = |seconds| {
        garden
            .round(&mut scheduler, start + TimeDelta::seconds(seconds))
            .len()
    };
    let pending = || {
        let estimate = garden.status("iris", "fresh").estimate.unwrap();
        assert!(estimate.exact, "{estimate:?}");
        (estimate.rows, estimate.pending)
    };
    assert_eq!(round(0), 1);
    assert_eq!(pending(), (ROWS, ROWS));
    garden.finish("iris");
    let change = |ids: std::ops::Range<i32>, value: f64| {
        for id in ids {
            garden.sandbox.cql(&format!(
                "UPDATE {{data}}.flowers SET petal_length = {value} WHERE id = {id}"
            ));
        }
    };
    change(1..10, 9.5);
    // Too few, and not for long.
    assert_eq!(round(60), 0);
    assert_eq!(pending(), (ROWS, 9));
    assert_eq!(round(120), 0);
    change(10..11, 9.5);
    // An estimate is made every 30 s at most.
    assert_eq!(round(125), 0);
    assert_eq!(round(160), 1);
    garden.finish("iris");
    assert_eq!(round(200), 0);
    assert_eq!(pending(), (ROWS, 0));
    // One row, which waits for ten minutes from the estimate on that saw it first.
    change(1..2, 8.5);
    assert_eq!(round(240), 0);
    assert_eq!(pending(), (ROWS, 1));
    assert_eq!(round(800), 0);
    assert_eq!(round(840), 1);
    assert_eq!(
        garden.outcome("iris", "fresh").1,
        "rows have been pending for 10m"
    );
    garden.finish("iris");
    assert_eq!(round(880), 0);
    assert_eq!(pending(), (ROWS, 0));
}

#[test]
fn hints_make_it_fast_and_what_is_no_key_does_no_harm() {
    let garden = Garden::new("trigger_hints");
    garden.job("iris");
    garden.finish("iris");
    garden.trigger("iris", "hinted", "pending_rows, use_hints", "3, true");
    let mut scheduler = Scheduler::default();
    let start = Utc::now();
    assert_eq!(garden.round(&mut scheduler, start).len(), 0);
    let hint = |key: &str| {
        garden.sandbox.cql(&format!("INSERT INTO {{helenus}}.changed_keys (job, day, at, key) VALUES ('iris', toDate(now()), now(), {key})"));
    };
    for id in [7, 8, 8] {
        garden.sandbox.cql(&format!(
            "UPDATE {{data}}.flowers SET petal_length = 9.5 WHERE id = {id}"
        ));
        hint(&format!("{{'id': '{id}'}}"));
    }
    hint("null");
    assert_eq!(
        garden
            .round(&mut scheduler, start + TimeDelta::seconds(3))
            .len(),
        0,
        "two keys are hinted at"
    );
    hint("{'number': 'nine'}");
    let fired = garden.round(&mut scheduler, start + TimeDelta::seconds(6));
    assert_eq!(fired.len(), 1);
    let run = garden.runs("iris").remove(0);
    let Part::Keys(keys) = &run.scope.part else {
        panic!("{run:?}")
    };
    assert_eq!(keys.len(), 2);
    // Those hints are used up.
    garden.worker();
    let run = garden.runs("iris").remove(0);
    assert_eq!((run.state, run.counts.scored[&1]), (RunState::Succeeded, 2));
    assert_eq!(
        garden
            .round(&mut scheduler, start + TimeDelta::seconds(12))
            .len(),
        0
    );
    // A row that nobody hinted at is found by the estimate.
    for id in 1..4 {
        garden.sandbox.cql(&format!(
            "UPDATE {{data}}.flowers SET petal_width = 9.5 WHERE id = {id}"
        ));
    }
    assert_eq!(
        garden
            .round(&mut scheduler, start + TimeDelta::seconds(300))
            .len(),
        1
    );
    assert_eq!(garden.runs("iris")[0].scope.part, Part::Whole);
}

#[test]
fn a_sampled_estimate_is_near_the_truth() {
    const MANY: u64 = 6_000;
    const PENDING: u64 = 1_800;
    let garden = Garden::new("trigger_sample");
    let table = format!("\"{}\".flowers", garden.sandbox.data);
    let row = |id: u64, length: f64| {
        format!(
            "{{\"id\": {id}, \"sepal_length\": {length}, \"sepal_width\": 3.5, \"petal_length\": 1.4, \"petal_width\": 0.2}}"
        )
    };
    insert_json(
        &table,
        &(1..=MANY).map(|id| row(id, 5.0)).collect::<Vec<_>>(),
    );
    garden.job("iris");
    assert_eq!(garden.finish("iris").counts.scored[&1], MANY);
    insert_json(
        &table,
        &(1..=PENDING).map(|id| row(id, 6.0)).collect::<Vec<_>>(),
    );
    block_on(async {
        let job = jobs::prepare(&garden.store, "iris", None)
            .await
            .unwrap()
            .job;
        let mut held = 0;
        for _ in 0..20 {
            let estimate = estimate::estimate(&garden.store, &job, Some(MANY), Utc::now())
                .await
                .unwrap();
            assert!(
                !estimate.exact && (1_900..2_200).contains(&estimate.sampled),
                "{estimate:?}"
            );
            // Five standard deviations of this sample.
            assert!(
                estimate.pending.abs_diff(PENDING) < PENDING / 4,
                "{estimate:?}"
            );
            assert!(estimate.rows.abs_diff(MANY) < MANY / 5, "{estimate:?}");
            held += u32::from((estimate.low..=estimate.high).contains(&PENDING));
        }
        // 19 are expected; 14 or fewer happen once in some 3,000 times.
        assert!(held > 14, "{held} of 20 intervals hold the truth");
        let estimate = estimate::estimate(&garden.store, &job, Some(10), Utc::now())
            .await
            .unwrap();
        assert!(!estimate.exact, "what grew since is sampled: {estimate:?}");
    });
}
