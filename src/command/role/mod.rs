//! `helenus role …`.

pub mod create;
pub mod show;

use clap::{Subcommand, ValueEnum};

use super::Context;
use crate::{
    domain::{
        access::{self, Grant, Kind, Reach},
        manifest::TableName,
        problem::Problem,
    },
    failure::Failure,
    output::Answer,
};

/// Arguments of `role`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Role,
}

/// What to do with roles. Each is described where its arguments are.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
enum Role {
    Create(create::Args),
    Show(show::Args),
}

impl Args {
    /// The command's words, as the JSON object names them.
    pub fn name(&self) -> &'static str {
        match &self.command {
            Role::Create(_) => "role create",
            Role::Show(_) => "role show",
        }
    }
}

/// Runs one of them.
///
/// # Errors
/// As the command has them.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    match args.command {
        Role::Create(args) => create::run(args, context).await,
        Role::Show(args) => show::run(args, context),
    }
}

/// `KIND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindArg {
    /// Reads predictions and everything that helenus says about them
    Analyst,
    /// Registers versions of models
    Registrar,
    /// Defines jobs
    JobAuthor,
    /// Promotes, rolls back, retires
    Promoter,
    /// Asks for runs, cancels them, keeps triggers
    Scheduler,
    /// Answers everybody and writes predictions
    Worker,
    /// Allows jobs to write into other keyspaces than their source's
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
            KindArg::Administrator => Self::Administrator,
        }
    }
}

/// What is granted beyond helenus's own tables.
#[derive(Debug, clap::Args)]
struct ReachArgs {
    /// A keyspace whose tables an analyst, a job author or a worker reads (may be repeated)
    #[arg(long = "data-keyspace", value_name = "KEYSPACE")]
    data_keyspaces: Vec<String>,
    /// A prediction table that an analyst reads or a worker writes (may be repeated)
    #[arg(long = "prediction-table", value_name = "KEYSPACE.TABLE")]
    prediction_tables: Vec<String>,
    /// Let a worker make prediction tables in the data keyspaces; those that it makes it may write
    #[arg(long)]
    ddl: bool,
}

/// The grants of a kind with that reach.
fn grants(kind: Kind, reach: &ReachArgs, context: &Context) -> Result<Vec<Grant>, Failure> {
    let table = |text: &String| {
        let (keyspace, table) = text.split_once('.').ok_or_else(|| {
            Failure::input(
                Problem::new("usage", format!("`{text}` is no table"))
                    .at("--prediction-table")
                    .help("KEYSPACE.TABLE, by their exact names, without quotes"),
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
            .map(table)
            .collect::<Result<_, _>>()?,
        ddl: reach.ddl,
    };
    access::grants(kind, &context.config.keyspace, &reach).map_err(Failure::input)
}
