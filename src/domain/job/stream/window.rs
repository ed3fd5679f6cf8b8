//! Whether a stream rejects too many of its messages.

use std::{collections::VecDeque, time::Duration};

use crate::domain::job::MaxRejected;

/// Rejected messages of a window below which no share is too large: one bad message of one is not
/// a broken stream.
const MIN_REJECTED: u64 = 20;
/// Parts of a window.
const PARTS: u32 = 20;

/// Counts the messages of the last while.
#[derive(Debug)]
pub struct RejectionWindow {
    window: Duration,
    max_rejected: MaxRejected,
    /// When each part began, with its messages and how many of them were rejected.
    parts: VecDeque<(Duration, u64, u64)>,
}

impl RejectionWindow {
    /// Returns an empty window.
    pub fn new(window: Duration, max_rejected: MaxRejected) -> Self {
        Self {
            window,
            max_rejected,
            parts: VecDeque::new(),
        }
    }

    /// Adds messages; `now` never falls.
    pub fn add(&mut self, now: Duration, received: u64, rejected: u64) {
        while self
            .parts
            .front()
            .is_some_and(|(began, ..)| *began + self.window <= now)
        {
            self.parts.pop_front();
        }
        match self.parts.back_mut() {
            Some((began, all, bad)) if now < *began + self.window / PARTS => {
                *all += received;
                *bad += rejected;
            }
            _ => self.parts.push_back((now, received, rejected)),
        }
    }

    /// Returns the messages in the window, and how many were rejected, if these are too many.
    pub fn exceeded(&self) -> Option<(u64, u64)> {
        let received = self.parts.iter().map(|(_, received, _)| received).sum();
        let rejected = self.parts.iter().map(|(.., rejected)| rejected).sum();
        let allowed = match self.max_rejected {
            MaxRejected::Count(count) => count,
            share => share.max_rows(received).max(MIN_REJECTED),
        };
        (rejected > allowed).then_some((received, rejected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::percent::Percent;

    #[test]
    fn only_the_last_while_counts() {
        let second = Duration::from_secs(1);
        let mut window = RejectionWindow::new(60 * second, MaxRejected::Share(Percent::TEN));
        window.add(second, 20, 20);
        assert_eq!(window.exceeded(), None);
        window.add(2 * second, 1, 1);
        assert_eq!(window.exceeded(), Some((21, 21)));
        window.add(3 * second, 300, 0);
        assert_eq!(window.exceeded(), None);
        window.add(60 * second, 80, 11);
        assert_eq!(window.exceeded(), None, "32 of 401");
        // A part leaves as a whole, and its 300 good messages with it.
        window.add(61 * second, 0, 10);
        assert_eq!(window.exceeded(), Some((80, 21)));
        window.add(200 * second, 0, 0);
        assert_eq!(window.exceeded(), None);
    }

    #[test]
    fn a_count_is_taken_as_it_is() {
        let mut window = RejectionWindow::new(Duration::from_secs(60), MaxRejected::Count(0));
        window.add(Duration::ZERO, 5, 0);
        assert_eq!(window.exceeded(), None);
        window.add(Duration::ZERO, 1, 1);
        assert_eq!(window.exceeded(), Some((6, 1)));
    }
}
