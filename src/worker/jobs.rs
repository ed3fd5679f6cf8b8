//! Jobs: what people wrote, checked against models and tables and answered in `job_status`; and
//! the same brought together anew when a run is planned.

mod answer;
mod expect;
mod prepare;
mod resolve;
mod tamper;

pub use answer::{run_once, serve};
pub use expect::check_rows;
pub use prepare::{PreparedJob, prepare, prepare_planned, prepare_pointing, refused, unknown};
pub(in crate::worker) use resolve::unknown_alias;
pub use resolve::{Checked, PENDING, check};
