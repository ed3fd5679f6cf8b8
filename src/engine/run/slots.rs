//! Shares the splits that one process scores at the same time among its runs.
//!
//! Runs of a higher priority go first: while one of them could take a split, lower ones take none.
//! Runs of the same priority share evenly. A run that holds no split may take one over the limit,
//! so that a small run starts at once beside a large one. Splits are never taken from the large
//! run; they are only not replaced.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, futures::Notified};
use uuid::Uuid;

/// The split slots of a process, shared by all its runs.
#[derive(Debug)]
pub struct Slots {
    room: usize,
    seats: Mutex<HashMap<Uuid, Share>>,
    freed: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Share {
    priority: i32,
    held: usize,
    wants: bool,
}

/// One run's share of the slots. Dropping it returns everything.
#[derive(Debug)]
pub struct Seat {
    slots: Arc<Slots>,
    run_id: Uuid,
}

impl Slots {
    /// Returns slots for `room` splits at a time.
    pub fn new(room: usize) -> Arc<Self> {
        Arc::new(Self {
            room: room.max(1),
            seats: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// Registers a run.
    pub fn seat(self: &Arc<Self>, run_id: Uuid, priority: i32) -> Seat {
        let share = Share {
            priority,
            held: 0,
            wants: true,
        };
        self.lock().insert(run_id, share);
        Seat {
            slots: Arc::clone(self),
            run_id,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Share>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Records how many splits the run holds in this process, and whether it could take another.
    pub fn tell(&self, held: usize, wants: bool) {
        let mut seats = self.slots.lock();
        let Some(share) = seats.get_mut(&self.run_id) else {
            return;
        };
        let eased = held < share.held || (share.wants && !wants);
        (share.held, share.wants) = (held, wants);
        drop(seats);
        if eased {
            self.slots.freed.notify_waiters();
        }
    }

    /// Returns whether the run may take one more split.
    pub fn may_take(&self) -> bool {
        let seats = self.slots.lock();
        let Some(mine) = seats.get(&self.run_id) else {
            return false;
        };
        let others = || seats.iter().filter(|(run_id, _)| **run_id != self.run_id);
        if others().any(|(_, other)| other.wants && other.priority > mine.priority) {
            return false;
        }
        let rivals = others()
            .filter(|(_, other)| other.wants && other.priority == mine.priority)
            .count();
        let taken: usize = seats.values().map(|share| share.held).sum();
        mine.held == 0
            || (mine.held < self.slots.room.div_ceil(rivals + 1) && taken < self.slots.room)
    }

    /// Completes when another run may have made room.
    pub fn freed(&self) -> Notified<'_> {
        self.slots.freed.notified()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.slots.lock().remove(&self.run_id);
        self.slots.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::{Seat, Slots};
    use uuid::Uuid;

    fn fill(seat: &Seat, mut held: usize) -> usize {
        while seat.may_take() {
            held += 1;
            seat.tell(held, true);
        }
        held
    }

    #[test]
    fn a_run_alone_has_all_the_room() {
        let slots = Slots::new(8);
        let seat = slots.seat(Uuid::new_v4(), 0);
        assert_eq!(fill(&seat, 0), 8);
    }

    #[test]
    fn a_second_run_starts_at_once_and_then_gets_half() {
        let slots = Slots::new(8);
        let large = slots.seat(Uuid::new_v4(), 0);
        assert_eq!(fill(&large, 0), 8);
        let small = slots.seat(Uuid::new_v4(), 0);
        assert_eq!(fill(&small, 0), 1, "one over the limit");
        large.tell(6, true);
        assert!(!large.may_take(), "its half is 4");
        assert_eq!(fill(&small, 1), 2);
        large.tell(4, true);
        assert_eq!(fill(&small, 2), 4);
        drop(small);
        assert_eq!(fill(&large, 4), 8);
    }

    #[test]
    fn a_lower_priority_waits_until_a_higher_one_wants_nothing() {
        let slots = Slots::new(4);
        let urgent = slots.seat(Uuid::new_v4(), 5);
        let usual = slots.seat(Uuid::new_v4(), 0);
        assert!(!usual.may_take());
        assert_eq!(fill(&urgent, 0), 4);
        urgent.tell(2, false);
        assert_eq!(fill(&usual, 0), 2);
    }
}
