//! Ticks: missed ones, time zones, deadlines.

use super::*;

#[test]
fn missed_ticks_are_made_up_for_as_the_row_says() {
    let garden = Garden::new("trigger_missed");
    for (job, columns, values) in [
        ("once", "every", "'10m'"),
        ("none", "every, missed", "'10m', 'skip'"),
        ("each", "every, missed, missed_limit", "'10m', 'all', 3"),
    ] {
        garden.job(job);
        garden.trigger(job, "t", columns, values);
    }
    garden.round(&mut Scheduler::default(), at("2027-03-01T00:05:00Z"));
    // The scheduler is gone for an hour; another one comes.
    let mut scheduler = Scheduler::default();
    for second in 0..6 {
        garden.round(
            &mut scheduler,
            at("2027-03-01T01:05:00Z") + TimeDelta::seconds(second * 20),
        );
        garden.finish("each");
    }
    assert_eq!(garden.dues("once"), [at("2027-03-01T01:00:00Z")]);
    assert_eq!(
        garden.status("once", "t").last_reason.as_deref(),
        Some("also covers 5 ticks before it")
    );
    assert!(garden.dues("none").is_empty());
    assert_eq!(
        garden.outcome("none", "t"),
        (
            "skipped".into(),
            "6 ticks passed while no scheduler ran".into()
        )
    );
    let by_trigger: Vec<_> = garden
        .runs("each")
        .into_iter()
        .filter(|run| run.trigger == "t")
        .map(|run| run.due_at.format("%H:%M").to_string())
        .collect();
    assert_eq!(by_trigger, ["01:00", "00:50", "00:40"]);
    for job in ["once", "none", "each"] {
        assert_eq!(
            garden.status(job, "t").next_due,
            Some(at("2027-03-01T01:10:00Z")),
            "{job}"
        );
    }
}

#[test]
fn a_cron_in_a_zone_fires_once_on_the_days_whose_clocks_change() {
    let garden = Garden::new("trigger_zone");
    garden.job("iris");
    garden.trigger(
        "iris",
        "nightly",
        "cron, time_zone",
        "'30 2 * * *', 'Europe/Rome'",
    );
    // On 2027-03-28 there is no 02:30, on 2027-10-31 there are two.
    let days = [
        ("2027-03-27T12:00:00Z", "2027-03-28T01:00:00Z"),
        ("2027-10-30T12:00:00Z", "2027-10-31T00:30:00Z"),
    ];
    let mut expected = Vec::new();
    for (noon, due) in days {
        // Begin anew: what passed in between is of no interest.
        for word in ["true", "false"] {
            garden.sandbox.cql(&format!("UPDATE {{helenus}}.triggers SET paused = {word} WHERE job = 'iris' AND name = 'nightly'"));
            garden.round(&mut Scheduler::default(), at(noon));
        }
        let mut scheduler = Scheduler::default();
        for half_hours in 0..48 {
            garden.round(
                &mut scheduler,
                at(noon) + TimeDelta::minutes(30 * half_hours),
            );
        }
        expected.push(at(due));
        assert_eq!(garden.dues("iris"), expected);
        garden.finish("iris");
    }
}

#[test]
fn a_run_past_its_deadline_is_late_and_a_paused_job_runs_not_at_all() {
    let garden = Garden::new("trigger_late");
    garden.job("iris");
    garden.trigger(
        "iris",
        "t",
        "every, deadline, priority, max_rows_per_s",
        "'10m', '5m', 7, 100000",
    );
    let mut scheduler = Scheduler::default();
    garden.round(&mut scheduler, at("2026-03-01T00:05:00Z"));
    garden.round(&mut scheduler, at("2026-03-01T00:10:00Z"));
    garden.finish("iris");
    let run = garden.runs("iris").remove(0);
    assert_eq!(run.deadline, Some(at("2026-03-01T00:15:00Z")));
    assert_eq!(
        (run.state, run.late, run.priority),
        (RunState::Succeeded, true, 7)
    );
    garden.sandbox.helenus(&["job", "pause", "iris"]).ok();
    garden.round(&mut scheduler, at("2026-03-01T00:20:00Z"));
    assert_eq!(
        garden.outcome("iris", "t"),
        ("skipped".into(), "the job is paused".into())
    );
    garden.sandbox.helenus(&["job", "resume", "iris"]).ok();
    // A job that can't run refuses, and the trigger goes on.
    garden.sandbox.cql("DROP TABLE {data}.flowers");
    garden.round(&mut scheduler, at("2026-03-01T00:30:00Z"));
    let (outcome, reason) = garden.outcome("iris", "t");
    assert_eq!(outcome, "refused", "{reason}");
    assert_eq!(
        garden.status("iris", "t").next_due,
        Some(at("2026-03-01T00:40:00Z"))
    );
    assert_eq!(garden.runs("iris").len(), 1);
}
