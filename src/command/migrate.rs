//! `helenus migrate`.

use serde_json::json;

use super::Context;
use crate::{
    domain::problem::Problem,
    failure::Failure,
    output::{self, Answer},
    process,
    store::admin::{
        migrate::{self, Choice},
        settings::Serial,
    },
};

/// Create or upgrade the schema in helenus's keyspace
///
/// Creates the keyspace if it is missing and applies the numbered files that are not applied yet,
/// one process at a time. It is safe to run it again, in several processes at once, and after a
/// crash. It refuses a database that a newer helenus has migrated.
///
/// Examples:
///
///     helenus migrate
///     helenus migrate --replication "{'class': 'NetworkTopologyStrategy', 'dc1': 3}"
///     helenus migrate --serial local --control-dc dc1
///
/// JSON result: {"keyspace", "created_keyspace", "schema_version", "applied": [file …],
///   "lease_seconds", "serial_consistency", "control_datacenter", "replication": {…}}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Replication of a new keyspace, as a CQL map
    /// [default: {'class': 'SimpleStrategy', 'replication_factor': 1}, for one node]
    #[arg(long, value_name = "MAP")]
    replication: Option<String>,
    /// Seconds without a heartbeat after which other workers take over a worker's splits; cannot be
    /// changed later [default: 15]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3600))]
    lease_seconds: Option<u32>,
    /// Replicas that conditional writes ask: of all data centres, or of one; cannot be changed later
    #[arg(long, value_enum, value_name = "WHERE")]
    serial: Option<SerialChoice>,
    /// With `--serial local`: the data centre of all workers
    #[arg(long, value_name = "DC")]
    control_dc: Option<String>,
}

/// `--serial`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SerialChoice {
    /// A quorum of all data centres
    All,
    /// A quorum of the control data centre
    Local,
}

/// Creates or upgrades the schema.
///
/// # Errors
/// As [`migrate::migrate`].
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let serial = match (args.serial, args.control_dc) {
        (None | Some(SerialChoice::All), Some(_)) => {
            return Err(Failure::input(Problem::new(
                "usage",
                "--control-dc needs --serial local",
            )));
        }
        (Some(SerialChoice::Local), None) => {
            return Err(Failure::input(
                Problem::new("usage", "--serial local needs --control-dc")
                    .help("name the data centre of all workers: --control-dc DC"),
            ));
        }
        (Some(SerialChoice::Local), Some(datacenter)) => Some(Serial::Local(datacenter)),
        (Some(SerialChoice::All), None) => Some(Serial::Everywhere),
        (None, None) => None,
    };
    let choice = Choice {
        replication: args.replication.clone(),
        lease_seconds: args.lease_seconds,
        serial,
    };
    let migrated = migrate::migrate(&context.config, &choice, |holder| {
        let holder = holder
            .process
            .as_deref()
            .map_or_else(|| "another process".to_owned(), process::readable);
        output::tell(&format!(
            "waiting for {holder}, which is changing the schema"
        ));
    })
    .await?;
    let keyspace = &context.config.keyspace;
    let settings = &migrated.settings;
    let text = match migrated.applied.as_slice() {
        [] => format!(
            "keyspace `{keyspace}` already has schema {}",
            settings.schema_version
        ),
        applied => format!(
            "keyspace `{keyspace}` has schema {}: applied {}",
            settings.schema_version,
            applied.join(", ")
        ),
    };
    let control = match &settings.serial {
        Serial::Everywhere => None,
        Serial::Local(datacenter) => Some(datacenter),
    };
    let mut answer = Answer::new(
        json!({
            "keyspace": keyspace,
            "created_keyspace": migrated.created_keyspace,
            "schema_version": settings.schema_version,
            "applied": migrated.applied,
            "lease_seconds": settings.lease.as_secs(),
            "serial_consistency": settings.serial.as_str(),
            "control_datacenter": control,
            "replication": migrated.replication,
        }),
        text,
    );
    if migrated.created_keyspace
        && migrated
            .replication
            .get("replication_factor")
            .is_some_and(|factor| factor == "1")
    {
        answer = answer.warn(format!(
            "keyspace `{keyspace}` has one replica: losing its node loses models and predictions (ALTER KEYSPACE {keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', '<data centre>': 3}}, then repair)"
        ));
    }
    if let (false, Some(replication)) = (migrated.created_keyspace, &args.replication) {
        answer = answer.warn(format!(
            "keyspace `{keyspace}` already exists: --replication {replication} was not applied (use ALTER KEYSPACE)"
        ));
    }
    Ok(answer)
}
