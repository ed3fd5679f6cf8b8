//! Models: versions, chunks, admissions, aliases.

pub mod admissions;
pub mod alias_requests;
pub mod aliases;
pub mod chunks;
pub mod models;
