//! `helenus apply`, killed at every step: the next apply does what is left, and nothing twice.

use crate::support::{cli::Running, repository::Repository};

#[test]
fn an_apply_that_is_killed_anywhere_is_finished_by_the_next_one() {
    // Between the steps, within the first one, and before the answer of a job and of a promotion.
    let places = (1..=5)
        .flat_map(|at| {
            [
                format!("before_apply_step={at}"),
                format!("after_apply_step={at}"),
            ]
        })
        .map(|place| {
            let (name, at) = place.split_once('=').unwrap();
            format!("{name}=kill:{at}")
        })
        .chain(
            [
                "before_version_row",
                "after_version_row",
                "during_admission",
            ]
            .map(|name| format!("{name}=kill")),
        );
    for (at, place) in places.enumerate() {
        let repository = Repository::whole(&format!("apply_killed_{at}"));
        let mut command = repository.command("apply", &[]);
        command.env("HELENUS_FAILPOINTS", &place);
        let killed = Running::start(command).finish();
        assert_eq!(killed.code, None, "{place} was not met: {killed:#?}");
        // Another commit meanwhile: what is there is kept, whoever applied it.
        repository.commit();
        repository.apply(&[]).ok();
        let again = repository.apply(&[]).ok().result();
        assert_eq!(again["changed"], 0, "{place}");
        let sandbox = &repository.sandbox;
        let count = |table: &str| {
            let row = sandbox.row(&format!("SELECT count(*) AS n FROM {{helenus}}.{table}"));
            row["n"].as_bigint().unwrap()
        };
        for table in [
            "model_versions",
            "jobs",
            "triggers",
            "gates",
            "model_aliases",
        ] {
            assert_eq!(count(table), 1, "{place}: {table}");
        }
        sandbox.helenus(&["score", "visits"]).ok();
    }
}
