//! Leases on names: one holder, taken over only when it is silent or gone.

use std::time::{Duration, Instant};

use helenus::store::{
    admin::leases::{Asked, Watches},
    driver::error::StoreErrorKind,
};

use crate::support::{Sandbox, block_on};

#[test]
fn one_holds_it_and_the_next_gets_it_when_it_is_given_back() {
    let sandbox = Sandbox::shared("lease");
    let name = sandbox.name("lease");
    block_on(async {
        let store = sandbox.store().await;
        let Asked::Granted(first) = store
            .ask_lease(&name, &mut Watches::default())
            .await
            .unwrap()
        else {
            panic!("nobody held it");
        };
        let Asked::Held(row) = store
            .ask_lease(&name, &mut Watches::default())
            .await
            .unwrap()
        else {
            panic!("two hold it");
        };
        assert_eq!((row.epoch, row.attempts), (1, 1));
        first.check().unwrap();
        first.release().await.unwrap();
        let Asked::Granted(second) = store
            .ask_lease(&name, &mut Watches::default())
            .await
            .unwrap()
        else {
            panic!("it was given back");
        };
        assert_eq!(
            (second.epoch(), second.attempts()),
            (2, 1),
            "a clean release clears attempts"
        );
        second.release().await.unwrap();
    });
}

#[test]
fn a_silent_lease_is_taken_over_after_the_lease_time_and_a_beating_one_is_not() {
    let sandbox = Sandbox::migrated_with("silent", &["--lease-seconds", "2"]);
    // Nobody that could be proven to be gone: another machine's process.
    sandbox.cql("INSERT INTO {helenus}.leases (name, owner, epoch, beat, process, attempts) VALUES ('work', uuid(), 3, 7, 'elsewhere/boot/1/2/3', 1) IF NOT EXISTS");
    block_on(async {
        let store = sandbox.store().await;
        let before = Instant::now();
        let lease = store
            .wait_lease("work", Duration::from_secs(20), |_| {})
            .await
            .unwrap();
        let waited = before.elapsed();
        assert!(
            waited >= Duration::from_secs(2),
            "taken over after {waited:?}"
        );
        assert_eq!((lease.epoch(), lease.attempts()), (4, 2));
        // It beats on its own: for three lease times nobody else gets it.
        let refused = store
            .wait_lease("work", Duration::from_secs(6), |_| {})
            .await
            .unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::Held);
        lease.check().unwrap();
    });
}

#[test]
fn who_lost_it_is_told_before_the_next_step() {
    let sandbox = Sandbox::migrated_with("lost", &["--lease-seconds", "2"]);
    block_on(async {
        let store = sandbox.store().await;
        let lease = store
            .wait_lease("work", Duration::from_secs(1), |_| {})
            .await
            .unwrap();
        // Somebody else took it over, as after a long pause of ours.
        sandbox
            .store()
            .await
            .apply(
                "UPDATE leases SET owner = uuid(), epoch = 2 WHERE name = 'work' IF epoch = 1",
                (),
            )
            .await
            .unwrap();
        let until = Instant::now() + Duration::from_secs(5);
        while lease.is_ours() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(lease.check().is_err());
        lease.release().await.unwrap();
        let row = store.lease("work").await.unwrap();
        assert_eq!(row.epoch, 2);
        assert!(row.owner.is_some(), "what is not ours is not released");
    });
}
