//! Reads for the console's pages: each is one statement, however many partitions it is about.
//!
//! Rows that people write may lack any column but their key. Whole plans and manifests are left
//! out: a page shows hundreds of rows.

pub mod jobs;
pub mod lists;
pub mod models;
pub mod requests;
pub mod runs;
