//! The commands' words.

use clap::{Parser, Subcommand};

use crate::{command, config, output::Format};

/// Trained models in Apache Cassandra score the rows that live there.
///
/// Everything is a row: each command writes what any CQL client could write, and reads back what
/// the worker answered.
#[derive(Debug, Parser)]
#[command(name = "helenus", version, propagate_version = true)]
pub struct Cli {
    /// How to reach Cassandra and ONNX Runtime.
    #[command(flatten)]
    pub connection: config::Flags,
    /// `json` prints exactly one object on stdout.
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub output: Format,
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Command {
    /// Make or upgrade the schema in helenus's keyspace.
    Migrate(command::migrate::Args),
}
