//! Which role writes which table, and the grants that follow from it.

use super::{problem::Problem, spelling::spelled};
use crate::domain::job::manifest::TableName;

/// Purpose of a login. Each role has one kind; a login may be granted several roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Reads predictions and everything that helenus reports about them.
    Analyst,
    /// Registers versions of models.
    Registrar,
    /// Defines jobs.
    JobAuthor,
    /// Moves aliases and retires versions.
    Promoter,
    /// Requests runs: by request, by trigger, or by reporting changed keys. Acknowledges alarms,
    /// and says when models are trained again.
    Scheduler,
    /// Answers all requests and writes predictions.
    Worker,
    /// Trains models again. It registers them, too, so that its login needs the role of a registrar.
    Trainer,
    /// Scores the messages of Kafka topics, and writes them into source tables.
    Stream,
    /// Permits jobs to write to keyspaces other than their source's.
    Administrator,
}

spelled! {
    Kind {
        Analyst => "analyst",
        Registrar => "registrar",
        JobAuthor => "job-author",
        Promoter => "promoter",
        Scheduler => "scheduler",
        Worker => "worker",
        Trainer => "trainer",
        Stream => "stream",
        Administrator => "administrator",
    }
}

/// All tables of helenus with the kind that writes each; `None`: only `helenus migrate` writes it.
pub const TABLES: [(&str, Option<Kind>); 51] = [
    ("model_chunks", Some(Kind::Registrar)),
    ("model_versions", Some(Kind::Registrar)),
    ("jobs", Some(Kind::JobAuthor)),
    ("alias_requests", Some(Kind::Promoter)),
    ("run_requests", Some(Kind::Scheduler)),
    ("triggers", Some(Kind::Scheduler)),
    ("changed_keys", Some(Kind::Scheduler)),
    ("job_targets", Some(Kind::Administrator)),
    ("admissions", Some(Kind::Worker)),
    ("model_aliases", Some(Kind::Worker)),
    ("names", Some(Kind::Worker)),
    ("job_status", Some(Kind::Worker)),
    ("prediction_tables", Some(Kind::Worker)),
    ("answers", Some(Kind::Worker)),
    ("open_runs", Some(Kind::Worker)),
    ("runs", Some(Kind::Worker)),
    ("splits", Some(Kind::Worker)),
    ("rejected_rows", Some(Kind::Worker)),
    ("leases", Some(Kind::Worker)),
    ("workers", Some(Kind::Worker)),
    ("signals", Some(Kind::Worker)),
    ("trigger_status", Some(Kind::Worker)),
    ("passes", Some(Kind::Worker)),
    ("pass_parts", Some(Kind::Worker)),
    ("evaluations", Some(Kind::Worker)),
    ("comparisons", Some(Kind::Worker)),
    ("gates", Some(Kind::Promoter)),
    ("gate_verdicts", Some(Kind::Worker)),
    ("gate_moves", Some(Kind::Worker)),
    ("current_tables", Some(Kind::Worker)),
    ("experiments", Some(Kind::Promoter)),
    ("experiment_status", Some(Kind::Worker)),
    ("experiment_results", Some(Kind::Worker)),
    ("alarms", Some(Kind::Worker)),
    ("alarm_acks", Some(Kind::Scheduler)),
    ("alarm_deliveries", Some(Kind::Worker)),
    ("retrainings", Some(Kind::Scheduler)),
    ("retraining_requests", Some(Kind::Worker)),
    ("trainings", Some(Kind::Trainer)),
    ("trainers", Some(Kind::Trainer)),
    ("model_references", Some(Kind::Registrar)),
    ("drift_baselines", Some(Kind::JobAuthor)),
    ("drift_profiles", Some(Kind::Worker)),
    ("drift", Some(Kind::Worker)),
    ("streams", Some(Kind::Stream)),
    ("stream_positions", Some(Kind::Stream)),
    ("stream_days", Some(Kind::Stream)),
    ("stream_events", Some(Kind::Stream)),
    ("stream_acks", Some(Kind::Scheduler)),
    ("settings", None),
    ("schema_migrations", None),
];

/// Tables that a kind writes beside the one that has them: leases by their conditions, and hints as
/// any application.
pub const SHARED: [(&str, Kind); 2] = [("leases", Kind::Stream), ("changed_keys", Kind::Stream)];

/// Cassandra permissions that helenus grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    Select,
    /// Insert, update, delete, truncate.
    Modify,
    /// Create tables and types.
    Create,
}

impl Permission {
    /// Returns the CQL spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Modify => "MODIFY",
            Self::Create => "CREATE",
        }
    }
}

/// The object of a permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// A keyspace with all its present and future tables.
    Keyspace(String),
    Table(TableName),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub permission: Permission,
    pub resource: Resource,
}

/// The access of a role beyond helenus's own tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Keyspaces whose tables it reads.
    pub data_keyspaces: Vec<String>,
    /// Source tables that a stream writes.
    pub source_tables: Vec<TableName>,
    /// Prediction tables that an analyst reads or a worker writes.
    pub prediction_tables: Vec<TableName>,
    /// Whether a worker may create tables in the data keyspaces. Cassandra lets a role that creates
    /// a table write to it.
    pub ddl: bool,
}

/// Returns the grants of a kind; `keyspace` is helenus's own.
///
/// # Errors
/// An access that this kind does not have.
pub fn grants(kind: Kind, keyspace: &str, reach: &Reach) -> Result<Vec<Grant>, Problem> {
    check(kind, reach)?;
    let select = |resource| Grant {
        permission: Permission::Select,
        resource,
    };
    let mut grants = vec![select(Resource::Keyspace(keyspace.to_owned()))];
    let written = TABLES.iter().filter(|(_, writer)| *writer == Some(kind));
    let written = written.map(|(table, _)| table);
    let shared = SHARED.iter().filter(|(_, writer)| *writer == kind);
    let written = written.chain(shared.map(|(table, _)| table));
    grants.extend(written.map(|table| Grant {
        permission: Permission::Modify,
        resource: Resource::Table(TableName {
            keyspace: keyspace.to_owned(),
            table: (*table).to_owned(),
        }),
    }));
    for table in &reach.source_tables {
        grants.push(select(Resource::Table(table.clone())));
        grants.push(Grant {
            permission: Permission::Modify,
            resource: Resource::Table(table.clone()),
        });
    }
    for data in &reach.data_keyspaces {
        grants.push(select(Resource::Keyspace(data.clone())));
        if reach.ddl {
            grants.push(Grant {
                permission: Permission::Create,
                resource: Resource::Keyspace(data.clone()),
            });
        }
    }
    for table in &reach.prediction_tables {
        grants.push(select(Resource::Table(table.clone())));
        if kind == Kind::Worker {
            grants.push(Grant {
                permission: Permission::Modify,
                resource: Resource::Table(table.clone()),
            });
        }
    }
    Ok(grants)
}

fn check(kind: Kind, reach: &Reach) -> Result<(), Problem> {
    let reads = matches!(
        kind,
        Kind::Analyst | Kind::JobAuthor | Kind::Worker | Kind::Trainer | Kind::Stream
    );
    let odd = |option: &str, help: &str| {
        let message = format!("{option} does not apply to kind `{}`", kind.as_str());
        Problem::new("role.reach", message)
            .at(option.to_owned())
            .help(help)
    };
    if !reads && !reach.data_keyspaces.is_empty() {
        let help = "use it with kind analyst, job-author, worker, trainer or stream";
        return Err(odd("--data-keyspace", help));
    }
    if kind != Kind::Stream && !reach.source_tables.is_empty() {
        return Err(odd("--source-table", "use it with kind stream"));
    }
    let predictions = matches!(kind, Kind::Analyst | Kind::Worker);
    if !predictions && !reach.prediction_tables.is_empty() {
        let help = "use it with kind analyst (to read) or worker (to write)";
        return Err(odd("--prediction-table", help));
    }
    if reach.ddl && kind != Kind::Worker {
        return Err(odd(
            "--ddl",
            "use it with kind worker: only workers create prediction tables",
        ));
    }
    if reach.ddl && reach.data_keyspaces.is_empty() {
        return Err(Problem::new("role.reach", "--ddl requires a keyspace")
            .at("--ddl")
            .help("name a keyspace in which the worker may create tables: --data-keyspace"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modified(kind: Kind) -> Vec<String> {
        let grants = grants(kind, "h", &Reach::default()).unwrap();
        grants
            .into_iter()
            .filter(|grant| grant.permission != Permission::Select)
            .map(|grant| format!("{:?}", grant.resource))
            .collect()
    }

    #[test]
    fn no_two_kinds_write_one_table() {
        let is_shared = |table: &String| {
            SHARED
                .iter()
                .any(|(shared, _)| table.contains(&format!("\"{shared}\"")))
        };
        let all: Vec<String> = Kind::ALL
            .into_iter()
            .flat_map(modified)
            .filter(|table| !is_shared(table))
            .collect();
        let mut once = all.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), all.len());
        assert!(modified(Kind::Analyst).is_empty());
    }

    #[test]
    fn a_reach_that_a_kind_does_not_have_is_a_mistake() {
        let reach = Reach {
            data_keyspaces: vec!["d".to_owned()],
            ..Reach::default()
        };
        for kind in Kind::ALL {
            let reads = matches!(
                kind,
                Kind::Analyst | Kind::JobAuthor | Kind::Worker | Kind::Trainer | Kind::Stream
            );
            assert_eq!(grants(kind, "h", &reach).is_ok(), reads, "{kind:?}");
        }
        let nowhere = Reach {
            ddl: true,
            ..Reach::default()
        };
        assert!(grants(Kind::Worker, "h", &nowhere).is_err());
    }
}
