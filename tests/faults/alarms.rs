//! Alarms when the worker that leads dies: nothing is opened twice, and no message is lost.

use crate::{
    stage::Stage,
    support::{cli::Running, receiver::Receiver},
};

const ROWS: i32 = 20;

#[test]
fn wherever_the_leader_dies_each_message_arrives_and_each_alarm_is_one() {
    let mut sent_twice = 0;
    for (place, dies_at_end) in [
        ("after_alarm_opened", false),
        ("before_alarm_sent", false),
        ("after_alarm_sent", false),
        ("before_alarm_closed", true),
    ] {
        let stage = Stage::with_rules(&format!("alarm_{place}"), ROWS, "max_rejected = 0");
        let mut receiver = Receiver::down(&stage.sandbox);
        receiver.mode("ok");
        let worker = |failpoints: &str| {
            let mut command = stage.command(&["worker", "--once"]);
            command.envs(receiver.settings());
            // The failpoints are met by the webhook only.
            command.env("HELENUS_ALARMS_LOG", "false");
            command.env("HELENUS_FAILPOINTS", failpoints);
            Running::start(command).finish()
        };
        stage
            .sandbox
            .cql("INSERT INTO {data}.visits (id) VALUES (1000)");
        stage.score().code(1);
        let kill = format!("{place}=kill");
        if !dies_at_end {
            assert_eq!(worker(&kill).code, None, "{place} was not met");
        }
        let arrived = |types: &[&str]| {
            // An attempt that crashed is repeated when its time is over.
            for _ in 0..20 {
                worker("").ok();
                if receiver.accepted() == types {
                    return;
                }
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
            panic!("{place}: {:#?}", receiver.received());
        };
        arrived(&["alarm.opened"]);
        stage.set([(1000, 1.0)].into_iter());
        stage.score().ok();
        if dies_at_end {
            assert_eq!(worker(&kill).code, None, "{place} was not met");
        }
        arrived(&["alarm.opened", "alarm.closed"]);
        let alarms = stage
            .sandbox
            .rows("SELECT id, closed_at FROM {helenus}.alarms");
        assert_eq!(alarms.len(), 1, "{place}");
        assert!(alarms[0].contains_key("closed_at"), "{place}");
        sent_twice += receiver.received().len() - 2;
    }
    // At least once: what crashed between sending and noting it was sent again.
    assert!(sent_twice >= 1);
}
