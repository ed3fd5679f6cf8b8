//! Compares two versions: one pass, mergeable, bounded in size.

pub mod columns;
pub mod difference;
pub mod joint;
pub mod most;
pub mod pair;
