//! `helenus role show`.

use serde_json::json;

use super::{Context, KindArg, ReachArgs};
use crate::{
    domain::access::{Grant, Kind, Resource},
    failure::Failure,
    output::{self, Answer},
};

/// Show the permissions of a kind of role
///
/// Every kind reads helenus's own keyspace, and one kind writes each of its tables. Does not connect
/// to Cassandra.
///
/// Examples:
///
///     helenus role show promoter
///     helenus role show worker --data-keyspace clinic --ddl
///
/// JSON result: {"kind", "grants": [{"permission", "resource"} …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Kind of work
    #[arg(value_enum)]
    kind: KindArg,
    #[command(flatten)]
    reach: ReachArgs,
}

/// Lists the grants.
///
/// # Errors
/// Exit 2: an option that this kind does not have.
pub fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let kind = Kind::from(args.kind);
    let grants = super::grants(kind, &args.reach, context)?;
    let listed = grants
        .iter()
        .map(|grant| json!({"permission": grant.permission.as_str(), "resource": resource(grant)}));
    let result = json!({"kind": kind.as_str(), "grants": listed.collect::<Vec<_>>()});
    let rows = grants
        .iter()
        .map(|grant| [grant.permission.as_str().to_owned(), resource(grant)]);
    Ok(Answer::new(
        result,
        output::table(["PERMISSION", "ON"], rows.collect::<Vec<_>>()),
    ))
}

fn resource(grant: &Grant) -> String {
    match &grant.resource {
        Resource::Keyspace(keyspace) => format!("keyspace {keyspace}"),
        Resource::Table(table) => format!("table {table}"),
    }
}
