//! Jobs: compiles what users wrote against models and tables. Control answers their rows.

mod expect;
mod golden_files;
mod indexing;
mod manifest_file;
mod order;
mod outlook;
mod planned;
mod prepare;
mod ready;
mod resolve;
mod tamper;
mod versions;

pub use expect::{
    DIFFERS as EXPECT_DIFFERS, check_planned_rows, check_rows, read_rows as read_expected_rows,
};
pub use golden_files::check_files;
pub use indexing::waits_for_runs;
pub use manifest_file::read_manifest;
pub use order::{check_order, due as order_due, note_answered, pointing, prove_order};
pub use outlook::{Outlook, PlannedVersion};
pub use planned::prepare_planned;
pub use prepare::{PreparedJob, needs_table, prepare, read_ready};
pub use ready::{NotReady, ReadyRevision, ready_revision, refused, stored_manifest, unknown};
pub use resolve::{Checked, PENDING, belongs_to, check, check_planned};
pub use tamper::{is_altered, tampered};
pub(crate) use versions::unknown_alias;
