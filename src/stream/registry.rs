//! The schema registry: schemas by number, each asked for once.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use serde::Deserialize;

use super::decode::{Schemas, avro::WriterSchema};
use crate::{
    config::Kafka,
    domain::problem::Problem,
    http::client::{Authorities, get},
};

const ACCEPT: &str = "application/vnd.schemaregistry.v1+json, application/json";
/// Most bytes of the answer of the registry.
const MAX_SCHEMA: usize = 1 << 20;
/// Time limit of one request.
const TIME: Duration = Duration::from_secs(10);
/// A schema that the registry does not know may have been registered at another node just now.
const UNKNOWN: Duration = Duration::from_secs(5);

/// A schema registry with the schemas that it answered.
#[derive(Debug)]
pub struct Registry {
    url: Option<String>,
    ca: Option<PathBuf>,
    known: HashMap<u32, Result<WriterSchema, Problem>>,
    /// When the registry first answered that it does not know a schema.
    unknown: HashMap<u32, Instant>,
}

/// Why schemas are not there yet.
#[derive(Debug)]
pub struct RegistryAway(pub String);

#[derive(Deserialize)]
struct Registered {
    schema: String,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Vec<serde_json::Value>,
}

impl Registry {
    /// Returns a registry that was not asked yet.
    pub fn new(kafka: &Kafka) -> Self {
        Self {
            url: kafka.schema_registry.clone(),
            ca: kafka.schema_registry_ca.clone(),
            known: HashMap::new(),
            unknown: HashMap::new(),
        }
    }

    /// Gets the schemas that are not known yet.
    ///
    /// # Errors
    /// The registry does not answer, or does not know a schema; ask again.
    pub async fn fetch(&mut self, ids: &BTreeSet<u32>) -> Result<(), RegistryAway> {
        for id in ids {
            if !self.known.contains_key(id) {
                self.fetch_one(*id).await.map_err(RegistryAway)?;
            }
        }
        Ok(())
    }

    async fn fetch_one(&mut self, id: u32) -> Result<(), String> {
        let Some(registry) = &self.url else {
            return Err("`kafka.schema_registry` is not set".to_owned());
        };
        let url = format!("{registry}/schemas/ids/{id}");
        let authorities = Authorities {
            file: self.ca.as_deref(),
            setting: "kafka.schema_registry_ca",
        };
        let headers = [("accept", ACCEPT.to_owned())];
        let mut body = Vec::new();
        let mut collect = |bytes: &[u8]| {
            body.extend_from_slice(bytes);
            match body.len() <= MAX_SCHEMA {
                true => Ok(()),
                false => Err("the answer is longer than a megabyte".to_owned()),
            }
        };
        let got = get(&url, &headers, authorities, &mut collect);
        let answer = tokio::time::timeout(TIME, got).await;
        let away = |why: String| format!("the schema registry at {registry}: {why}");
        let status = answer
            .map_err(|_| away(format!("no answer within {} s", TIME.as_secs())))?
            .map_err(away)?;
        match status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                let since = *self.unknown.entry(id).or_insert_with(Instant::now);
                if since.elapsed() < UNKNOWN {
                    return Err(away(format!("it does not know schema {id}")));
                }
                let message = format!("the schema registry does not know schema {id}");
                let problem = Problem::new("message.unknown_schema", message);
                // Asked again for the next message with it: it may be registered by then.
                self.known.insert(id, Err(problem));
                return Ok(());
            }
            status => return Err(away(format!("it answered {status}"))),
        }
        let answer: Registered = serde_json::from_slice(&body)
            .map_err(|error| away(format!("its answer is not valid: {error}")))?;
        self.unknown.remove(&id);
        self.known.insert(id, parse(id, &answer));
        Ok(())
    }

    /// Forgets what the registry did not know, after a batch.
    pub fn forget_unknown(&mut self) {
        let unknown = &self.unknown;
        self.known.retain(|id, _| !unknown.contains_key(id));
        // Its messages have waited once; the next ones do not wait again.
        self.unknown
            .retain(|_, since| since.elapsed() < 60 * UNKNOWN);
    }
}

fn parse(id: u32, answer: &Registered) -> Result<WriterSchema, Problem> {
    let unsupported = |what: String| Err(Problem::new("message.schema", what));
    match answer.kind.as_deref() {
        None | Some("AVRO") => {}
        Some(kind) => return unsupported(format!("schema {id} is {kind}, not Avro")),
    }
    if !answer.references.is_empty() {
        return unsupported(format!(
            "schema {id} refers to other schemas, which is not supported"
        ));
    }
    WriterSchema::parse(&answer.schema)
        .or_else(|error| unsupported(format!("schema {id} is not valid: {error}")))
}

impl Schemas for Registry {
    fn schema(&self, id: u32) -> Result<&WriterSchema, Problem> {
        match self.known.get(&id) {
            Some(Ok(schema)) => Ok(schema),
            Some(Err(problem)) => Err(problem.clone()),
            None => Err(Problem::new(
                "message.schema",
                format!("schema {id} was not read"),
            )),
        }
    }
}
