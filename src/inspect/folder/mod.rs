//! Folders of Git: reads one, compares it with Cassandra, and checks what would change.

mod actual;
mod check;
mod read;

pub use actual::{facts, read_actual};
pub use check::{CheckedStep, check, examine};
pub use read::{Folder, read};
