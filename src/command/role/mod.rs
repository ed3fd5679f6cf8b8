//! `helenus role …`.

pub mod create;
pub mod show;

use clap::{Subcommand, ValueEnum};

use super::Context;
use crate::{
    domain::{
        access::{self, Grant, Kind, Reach},
        job::manifest::TableName,
        problem::Problem,
    },
    failure::Failure,
    output::Answer,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Role,
}

/// The subcommands. Their help is where their arguments are: a doc comment here would hide it.
#[derive(Debug, Subcommand)]
enum Role {
    Create(create::Args),
    Show(show::Args),
}

/// Runs the subcommand.
///
/// # Errors
/// Those of the subcommand.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    match args.command {
        Role::Create(args) => create::run(args, context).await,
        Role::Show(args) => show::run(args, context),
    }
}

/// Kinds of roles, as `helenus role` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindArg {
    /// Reads predictions and helenus's own tables
    Analyst,
    /// Registers model versions
    Registrar,
    /// Defines jobs
    JobAuthor,
    /// Promotes, rolls back, retires
    Promoter,
    /// Requests and cancels runs, manages triggers and retrainings, acknowledges alarms
    Scheduler,
    /// Answers requests and writes predictions
    Worker,
    /// Trains models again; grant its login a registrar's role, too
    Trainer,
    /// Scores the messages of Kafka topics, and writes them into source tables
    Stream,
    /// Permits jobs to write into keyspaces other than their source's
    Administrator,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Analyst => Self::Analyst,
            KindArg::Registrar => Self::Registrar,
            KindArg::JobAuthor => Self::JobAuthor,
            KindArg::Promoter => Self::Promoter,
            KindArg::Scheduler => Self::Scheduler,
            KindArg::Worker => Self::Worker,
            KindArg::Trainer => Self::Trainer,
            KindArg::Stream => Self::Stream,
            KindArg::Administrator => Self::Administrator,
        }
    }
}

/// Grants beyond helenus's own tables.
#[derive(Debug, clap::Args)]
struct ReachArgs {
    /// A keyspace whose tables an analyst, a job author, a worker, a trainer or a stream reads (can be
    /// repeated)
    #[arg(long = "data-keyspace", value_name = "KEYSPACE")]
    data_keyspaces: Vec<String>,
    /// A source table that a stream writes (can be repeated)
    #[arg(long = "source-table", value_name = "KEYSPACE.TABLE")]
    source_tables: Vec<String>,
    /// A prediction table that an analyst reads or a worker writes (can be repeated)
    #[arg(long = "prediction-table", value_name = "KEYSPACE.TABLE")]
    prediction_tables: Vec<String>,
    /// Permit a worker to create prediction tables in the data keyspaces, and to write to those
    #[arg(long)]
    ddl: bool,
}

/// Returns the grants of a kind with these options.
fn grants(kind: Kind, reach: &ReachArgs, context: &Context) -> Result<Vec<Grant>, Failure> {
    let table = |option: &str, text: &String| {
        let (keyspace, table) = text.split_once('.').ok_or_else(|| {
            Failure::input(
                Problem::new("usage", format!("invalid table `{text}`"))
                    .at(option.to_owned())
                    .help("use KEYSPACE.TABLE with the exact names, without quotes"),
            )
        })?;
        Ok::<_, Failure>(TableName {
            keyspace: keyspace.to_owned(),
            table: table.to_owned(),
        })
    };
    let reach = Reach {
        data_keyspaces: reach.data_keyspaces.clone(),
        prediction_tables: reach
            .prediction_tables
            .iter()
            .map(|text| table("--prediction-table", text))
            .collect::<Result<_, _>>()?,
        source_tables: reach
            .source_tables
            .iter()
            .map(|text| table("--source-table", text))
            .collect::<Result<_, _>>()?,
        ddl: reach.ddl,
    };
    access::grants(kind, &context.config.keyspace, &reach).map_err(Failure::input)
}
