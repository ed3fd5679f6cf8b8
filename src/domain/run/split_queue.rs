//! The splits of a run, as one process sees them: those it may still try to claim, those that
//! others hold, and how often it failed at one.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use super::lease::{Seen, Watch};

/// A split that another process holds.
#[derive(Debug, Clone)]
pub struct HeldSplit {
    /// The process that holds it.
    pub process: String,
    seen: Seen,
    watch: Watch,
}

/// The splits of a run that are not known to be done.
#[derive(Debug, Default)]
pub struct SplitQueue {
    todo: VecDeque<i32>,
    held: HashMap<i32, HeldSplit>,
    failures: HashMap<i32, u32>,
    done: i32,
}

impl SplitQueue {
    /// Returns a queue of these splits, in this order.
    pub fn new(splits: impl IntoIterator<Item = i32>) -> Self {
        Self {
            todo: splits.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Takes the next split to try.
    pub fn take(&mut self) -> Option<i32> {
        self.todo.pop_front()
    }

    /// Puts a split back that was not tried.
    pub fn put_back(&mut self, split: i32) {
        self.todo.push_front(split);
    }

    /// Puts a split behind all others.
    pub fn put_last(&mut self, split: i32) {
        self.todo.push_back(split);
    }

    /// Returns whether there are splits to try.
    pub fn has_next(&self) -> bool {
        !self.todo.is_empty()
    }

    /// Returns whether there are none to try, and others hold none.
    pub fn is_empty(&self) -> bool {
        self.todo.is_empty() && self.held.is_empty()
    }

    /// Notes that a split is done, by whichever process.
    pub fn finish(&mut self, split: i32) {
        self.held.remove(&split);
        self.done += 1;
    }

    /// Returns how many splits are known to be done.
    pub fn done(&self) -> i32 {
        self.done
    }

    /// Puts a split at which this process failed behind all others; returns how often it did.
    pub fn fail(&mut self, split: i32) -> u32 {
        self.put_last(split);
        let failures = self.failures.entry(split).or_default();
        *failures += 1;
        *failures
    }

    /// Notes that another process holds a split, seen so at `now`. It is watched from the first time
    /// on, and anew whenever its holder has raised its beat.
    pub fn hold(&mut self, split: i32, seen: Seen, process: &str, now: Duration) {
        let held = self.held.entry(split).or_insert_with(|| HeldSplit {
            process: process.to_owned(),
            seen: seen.clone(),
            watch: Watch::new(seen.clone(), now),
        });
        held.watch.observe(seen.clone(), now);
        held.seen = seen;
        process.clone_into(&mut held.process);
    }

    /// Notes that no other process holds a split.
    pub fn release(&mut self, split: i32) {
        self.held.remove(&split);
    }

    /// Keeps only those of the held splits that still are.
    pub fn retain_held(&mut self, is_held: impl Fn(i32) -> bool) {
        self.held.retain(|split, _| is_held(*split));
    }

    /// Returns whether another process was seen to hold it.
    pub fn is_held(&self, split: i32) -> bool {
        self.held.contains_key(&split)
    }

    /// Returns the splits that others hold.
    pub fn held(&self) -> Vec<i32> {
        self.held.keys().copied().collect()
    }

    /// Returns whether the holder of a split, which is in the state `seen` now, was silent for the
    /// whole lease time.
    pub fn is_silent(&self, split: i32, seen: &Seen, lease: Duration, now: Duration) -> bool {
        self.held
            .get(&split)
            .is_some_and(|held| held.seen == *seen && held.watch.remaining(lease, now).is_zero())
    }

    /// Returns the held split that may be taken over first, and the time until then.
    pub fn soonest(&self, lease: Duration, now: Duration) -> Option<(i32, &HeldSplit, Duration)> {
        let held = self.held.iter();
        held.map(|(split, held)| (*split, held, held.watch.remaining(lease, now)))
            .min_by_key(|(_, _, remaining)| *remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn beat(beat: i64) -> Seen {
        Seen { epoch: 1, beat }
    }

    #[test]
    fn splits_are_tried_in_order_and_failed_ones_last() {
        let mut queue = SplitQueue::new([2, 0, 1]);
        assert_eq!(queue.take(), Some(2));
        assert_eq!(queue.fail(2), 1);
        assert_eq!(queue.take(), Some(0));
        queue.put_back(0);
        let order: Vec<i32> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(order, [0, 1, 2]);
        assert_eq!(queue.fail(2), 2, "each split has a count of its own");
        assert_eq!(queue.fail(1), 1);
    }

    #[test]
    fn it_is_empty_only_when_nobody_holds_a_split() {
        let mut queue = SplitQueue::new([0]);
        let split = queue.take().unwrap();
        queue.hold(split, beat(1), "a", at(0));
        assert!(!queue.has_next() && !queue.is_empty());
        queue.finish(split);
        assert!(queue.is_empty());
        assert_eq!(queue.done(), 1);
    }

    #[test]
    fn a_holder_is_silent_after_the_lease_time_without_a_beat() {
        let mut queue = SplitQueue::default();
        assert!(!queue.is_silent(0, &beat(1), LEASE, at(999)), "never seen");
        queue.hold(0, beat(1), "a", at(100));
        queue.hold(0, beat(1), "a", at(110));
        assert!(!queue.is_silent(0, &beat(1), LEASE, at(114)));
        assert!(queue.is_silent(0, &beat(1), LEASE, at(115)));
        assert!(
            !queue.is_silent(0, &beat(2), LEASE, at(115)),
            "it gave a sign of life since"
        );
        queue.hold(0, beat(2), "b", at(115));
        assert!(!queue.is_silent(0, &beat(2), LEASE, at(129)));
        let (split, held, remaining) = queue.soonest(LEASE, at(129)).unwrap();
        assert_eq!((split, held.process.as_str(), remaining), (0, "b", at(1)));
    }

    #[test]
    fn the_soonest_is_the_one_that_was_silent_longest() {
        let mut queue = SplitQueue::default();
        queue.hold(0, beat(1), "a", at(10));
        queue.hold(1, beat(1), "b", at(5));
        assert_eq!(queue.soonest(LEASE, at(12)).unwrap().0, 1);
        queue.retain_held(|split| split == 0);
        assert_eq!(queue.soonest(LEASE, at(12)).unwrap().0, 0);
        assert_eq!(queue.held(), [0]);
        queue.release(0);
        assert!(queue.soonest(LEASE, at(12)).is_none());
    }
}
