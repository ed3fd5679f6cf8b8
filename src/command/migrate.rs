//! `helenus migrate`.

use crate::{failure::Failure, output::Answer};

/// Arguments of `migrate`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Makes or upgrades the schema.
pub fn run(_: Args) -> Result<Answer, Failure> {
    Ok(Answer::default())
}
