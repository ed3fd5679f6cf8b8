//! Two versions held against each other: one pass, mergeable, bounded.

pub mod columns;
pub mod difference;
pub mod joint;
pub mod most;
pub mod pair;
