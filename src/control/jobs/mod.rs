//! Jobs: answers their rows in `job_status`, and prepares a job only once its row is answered.

mod answer;
mod prepare;

pub use answer::{answer, run_once};
pub use prepare::{prepare, prepare_pointing};
