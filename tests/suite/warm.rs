//! How long models stay loaded after their runs. Needs no Cassandra.

use std::{sync::Arc, time::Duration};

use helenus::{
    domain::model::Admitted,
    engine::warm::Warm,
    scorer::{image::Image, pool::Pool, runtime},
};
use tokio::time::Instant;

use crate::{
    admission::{admitted, library, shipped},
    support::block_on,
};

/// A small model, admitted, and pools of it.
struct Shelf {
    warm: Warm,
    admitted: Admitted,
    image: Image,
}

impl Shelf {
    fn new() -> Self {
        let request = shipped("breast_cancer_lr");
        let admitted = admitted(&request);
        let image = Image::open(&request.model, &admitted).expect("the admitted bytes");
        Self {
            warm: Warm::default(),
            admitted,
            image,
        }
    }

    /// The same model, admitted with other words.
    fn version(&self, word: &str) -> Vec<Admitted> {
        let mut version = self.admitted.clone();
        version.warnings = vec![word.to_owned()];
        vec![version]
    }

    fn keep(&self, versions: Vec<Admitted>) -> Arc<Pool> {
        let runtime = runtime::load(Some(&library())).expect("ONNX Runtime: run scripts/setup");
        let version = (self.image.clone(), self.admitted.signature.clone());
        let limit = Duration::from_secs(60);
        let pool = Arc::new(Pool::start(runtime, vec![version], 1, limit).expect("a pool"));
        self.warm.keep(versions, &pool);
        pool
    }

    fn has(&self, word: &str) -> bool {
        self.warm.find(&self.version(word)).is_some()
    }

    /// Lets go of what is too much, so many minutes from now.
    fn cool(&self, minutes: u64) {
        let at = Instant::now() + Duration::from_secs(60 * minutes);
        block_on(async { self.warm.cool(at) });
    }
}

#[test]
fn the_last_four_pools_stay_and_those_at_work() {
    let shelf = Shelf::new();
    let at_work = shelf.keep(shelf.version("0"));
    for word in ["1", "2", "3", "4", "5"] {
        drop(shelf.keep(shelf.version(word)));
    }
    assert!(shelf.has("1"), "and it is the last used now");
    shelf.cool(0);
    let kept = ["0", "1", "2", "3", "4", "5"].map(|word| shelf.has(word));
    assert_eq!(kept, [true, true, false, true, true, true]);
    drop(at_work);
}

#[test]
fn what_nobody_uses_for_ten_minutes_is_let_go() {
    let shelf = Shelf::new();
    let at_work = shelf.keep(shelf.version("at work"));
    drop(shelf.keep(shelf.version("idle")));
    shelf.cool(9);
    assert!(shelf.has("idle") && shelf.has("at work"));
    shelf.cool(11);
    assert!(!shelf.has("idle"));
    drop(at_work);
    shelf.cool(20);
    assert!(shelf.has("at work"), "what counts is the end of its run");
    shelf.cool(11);
    assert!(
        !shelf.has("at work"),
        "the eleven minutes since it was found"
    );
}

#[test]
fn much_weight_is_let_go_with_its_run() {
    let shelf = Shelf::new();
    let mut heavy = shelf.version("heavy");
    heavy[0].size = 65 << 20;
    drop(shelf.keep(shelf.version("light")));
    drop(shelf.keep(heavy.clone()));
    shelf.cool(0);
    assert!(shelf.warm.find(&heavy).is_none());
    assert!(shelf.has("light"));
}

#[test]
fn other_versions_or_another_order_are_other_models() {
    let shelf = Shelf::new();
    let versions = [shelf.version("1"), shelf.version("2")].concat();
    drop(shelf.keep(versions.clone()));
    let turned: Vec<_> = versions.iter().rev().cloned().collect();
    assert!(shelf.warm.find(&versions).is_some());
    assert!(shelf.warm.find(&turned).is_none());
    assert!(shelf.warm.find(&versions[..1]).is_none());
}
