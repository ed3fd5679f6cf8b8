//! Lists what this worker is doing, for its row of `workers`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Status lines, each shown for as long as its [`Note`] lives.
#[derive(Debug, Default)]
pub struct Board(Mutex<BTreeMap<u64, String>>);

/// A line on the board; dropping it removes the line.
#[derive(Debug)]
pub struct Note {
    board: Arc<Board>,
    at: u64,
}

impl Board {
    /// Adds a line; it stays until the returned [`Note`] is dropped.
    pub fn note(self: &Arc<Self>, line: String) -> Note {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = lines.last_key_value().map_or(0, |(last, _)| last + 1);
        lines.insert(at, line);
        Note {
            board: Arc::clone(self),
            at,
        }
    }

    /// Returns all lines, oldest first.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.values().cloned().collect()
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let mut lines = self.board.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.remove(&self.at);
    }
}
