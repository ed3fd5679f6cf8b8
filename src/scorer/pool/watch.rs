//! The watchdog thread, which enforces the time limits of all others.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use super::{ScoreError, Shared, hunt, lock, slot::Slot};

/// Time after a stop until a thread is abandoned.
const GRACE: Duration = Duration::from_secs(10);
/// Time after a stop until a thread is replaced.
const REPLACE: Duration = Duration::from_millis(300);
const WATCH: Duration = Duration::from_millis(50);

/// Runs until every thread has ended.
pub(super) fn watch(shared: &Arc<Shared>) {
    loop {
        let slots = lock(&shared.slots).clone();
        let (mut alive, mut lost) = (0, 0);
        for slot in &slots {
            match oversee(shared, slot) {
                Seen::Alive => alive += 1,
                Seen::Lost => lost += 1,
                Seen::Ended => {}
            }
        }
        if alive == 0 && lock(&shared.slots).len() == slots.len() {
            if lost > 0 {
                // Queued requests would wait for ever. No live thread holds this lock.
                let mut queue = lock(&shared.queue);
                queue.close();
                while queue.try_recv().is_ok() {}
            }
            return;
        }
        thread::sleep(WATCH);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Alive,
    Lost,
    Ended,
}

fn oversee(shared: &Arc<Shared>, slot: &Mutex<Slot>) -> Seen {
    let mut now = lock(slot);
    let (next, seen) = match std::mem::take(&mut *now) {
        Slot::Running(call) if call.is_over() => {
            call.stop.stop();
            let since = Instant::now();
            let overdue = Slot::Overdue {
                since,
                call,
                is_replaced: false,
            };
            (overdue, Seen::Alive)
        }
        Slot::Overdue { since, call, .. } if since.elapsed() > GRACE => {
            tracing::error!(
                rows = call.rows,
                "a run continues {} s after it was stopped; its thread is abandoned",
                GRACE.as_secs()
            );
            let (rows, is_hunt) = (call.rows, call.is_hunt);
            // There is no receiver if the run was given up meanwhile.
            let _ = call.reply.send(Err(ScoreError::Unstoppable { rows }));
            if is_hunt {
                let mut hunts = lock(&shared.hunts);
                hunts.is_running = !hunts.waiting.is_empty();
                if hunts.is_running {
                    drop(hunts);
                    hunt::start(shared);
                }
            }
            (Slot::Lost, Seen::Lost)
        }
        Slot::Overdue {
            since,
            call,
            is_replaced: false,
        } if since.elapsed() > REPLACE && !call.is_hunt => {
            let is_replaced = shared.replace();
            let overdue = Slot::Overdue {
                since,
                call,
                is_replaced,
            };
            (overdue, Seen::Alive)
        }
        Slot::Ended => (Slot::Ended, Seen::Ended),
        Slot::Lost => (Slot::Lost, Seen::Lost),
        slot => (slot, Seen::Alive),
    };
    *now = next;
    seen
}
