//! Jobs, models and runs as results: what commands print as JSON and HTTP routes answer.

mod found;
mod jobs;
mod models;
mod runs;

pub use found::{FoundModel, FoundOutput};
pub use jobs::{CurrentHeld, JobDetail, JobSummary, job, jobs};
pub use models::{
    AdmissionDetail, Headline, ModelSummary, ModelVersions, RegisteredDetail, VersionDetail,
    VersionSummary, model, models, no_version, version,
};
pub use runs::{RunDetail, no_run};
