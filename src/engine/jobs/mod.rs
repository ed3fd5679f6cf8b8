//! Jobs: checks what users wrote against models and tables, and answers in `job_status`; does the
//! same again when a run is planned.

mod answer;
mod expect;
mod golden_files;
mod indexing;
mod manifest_file;
mod order;
mod prepare;
mod resolve;
mod tamper;
mod versions;

pub use answer::{run_once, serve};
pub use expect::{DIFFERS as EXPECT_DIFFERS, check_planned_rows, check_rows};
pub use golden_files::check_files;
pub use manifest_file::read_manifest;
pub use order::{check_order, due as order_due, pointing, prove_order};
pub use prepare::{
    PreparedJob, prepare, prepare_planned, prepare_pointing, read_ready, ready_revision, refused,
    unknown,
};
pub use resolve::{Checked, Outlook, PENDING, PlannedVersion, check, check_planned};
pub(crate) use versions::unknown_alias;
