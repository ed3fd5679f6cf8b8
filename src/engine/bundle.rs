//! A job with its models in one file: all that scoring needs, without Cassandra and credentials.
//!
//! The file is a line with the format's name, the header's sha256 in hex and its length as two more
//! lines, the header (JSON), then the bytes of each model, then those of each artifact. Whoever
//! reads it compiles the job again from the manifest, the schemas and the admissions, and refuses it
//! if that gives another job than where it was made.

use std::{
    collections::BTreeMap,
    io::{BufRead, Read, Write},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    artifacts,
    jobs::{self, PreparedJob},
};
use crate::{
    codec::schema::TableSchema,
    domain::{
        job::{
            CompiledJob,
            compile::{Asked, Existing, compile},
            manifest::{Manifest, VersionWish},
        },
        model::{
            Admitted, ReadyVersion,
            artifact::{Artifact, Artifacts, LoadedArtifact, MAX_ARTIFACT},
        },
        problem::Problem,
    },
    failure::Failure,
    scorer::image::Image,
    store::Store,
};

/// The first line of a bundle.
const FORMAT: &str = "helenus-bundle/1";
/// Largest size of a header; manifests and schemas are small.
const MAX_HEADER: u64 = 64 << 20;

/// Everything but the bytes of the models.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BundleHeader {
    /// The helenus that wrote it.
    pub helenus: String,
    pub written_at: DateTime<Utc>,
    pub job: String,
    pub revision: i32,
    pub model: String,
    /// The manifest without its expected rows: those are data.
    pub manifest: String,
    pub source: TableSchema,
    pub source_version: Option<i32>,
    /// The prediction table, if it exists.
    pub target: Option<TableSchema>,
    /// Output columns that the job has made in it.
    pub made: Option<BTreeMap<String, String>>,
    /// The manifest's aliases and where they pointed.
    pub aliases: BTreeMap<String, i32>,
    /// [`CompiledJob::fingerprint`], in hex.
    pub fingerprint: String,
    /// All versions of the job.
    pub versions: Vec<BundledVersion>,
}

/// A version of a bundle.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BundledVersion {
    pub version: i32,
    pub admitted: Admitted,
    /// Whether its bytes are in the bundle: the versions that are scored.
    pub is_scored: bool,
}

/// A bundle that was read: ready to score.
pub struct Bundle {
    pub header: BundleHeader,
    /// The job with the versions that are scored.
    pub job: CompiledJob,
    /// In the order of the job's versions.
    pub models: Vec<Image>,
}

/// Returns the header for a job as it is ready now; `wanted`: versions by number or alias, all if
/// empty.
///
/// # Errors
/// As [`jobs::read_ready`]; a version that is not the job's.
pub async fn describe(
    store: &Store,
    job: &str,
    wanted: &[String],
) -> Result<BundleHeader, Failure> {
    let prepared = jobs::read_ready(store, job).await?;
    let rows = store.job_rows(job).await?;
    let row = rows
        .iter()
        .find(|row| row.revision == Some(prepared.revision));
    let text = row
        .and_then(|row| row.manifest.as_deref())
        .unwrap_or_default();
    let scored = scored_versions(&prepared, wanted)?;
    let name = prepared.manifest.target();
    let claim = store.claim_of(&name).await?;
    Ok(BundleHeader {
        helenus: env!("CARGO_PKG_VERSION").to_owned(),
        written_at: Utc::now(),
        job: job.to_owned(),
        revision: prepared.revision,
        model: prepared.manifest.model.clone(),
        manifest: without_expected_rows(text)?,
        source: prepared.job.source.clone(),
        source_version: prepared.job.source_version,
        target: store.table(&name).await?,
        made: claim.map(|claim| claim.outputs),
        aliases: prepared.aliases.clone(),
        fingerprint: hex::encode(prepared.job.fingerprint),
        versions: prepared
            .job
            .versions
            .iter()
            .map(|version| BundledVersion {
                version: version.ready.version,
                admitted: version.ready.admitted.clone(),
                is_scored: scored.contains(&version.ready.version),
            })
            .collect(),
    })
}

fn scored_versions(prepared: &PreparedJob, wanted: &[String]) -> Result<Vec<i32>, Failure> {
    let known: Vec<i32> = prepared
        .job
        .versions
        .iter()
        .map(|version| version.ready.version)
        .collect();
    if wanted.is_empty() {
        return Ok(known);
    }
    let number = |text: &String| {
        let number = text.parse().ok();
        let number = number.or_else(|| prepared.aliases.get(text).copied());
        number
            .filter(|number| known.contains(number))
            .ok_or_else(|| {
                let message = format!("`{text}` is not a version of job `{}`", prepared.job.job);
                let known: Vec<String> = known.iter().map(ToString::to_string).collect();
                let aliases = prepared.aliases.keys().cloned();
                let known: Vec<String> = known.into_iter().chain(aliases).collect();
                Failure::input(
                    Problem::new("bundle.version", message)
                        .help(format!("the job scores {}", known.join(", "))),
                )
            })
    };
    wanted.iter().map(number).collect()
}

/// Returns a manifest without `[expect]`, whose rows are data of people.
fn without_expected_rows(text: &str) -> Result<String, Failure> {
    let broken = |error: &dyn std::fmt::Display| {
        Failure::input(Problem::new("bundle.manifest", error.to_string()))
    };
    let mut table: toml::Table = toml::from_str(text).map_err(|error| broken(&error))?;
    table.remove("expect");
    toml::to_string(&table).map_err(|error| broken(&error))
}

impl BundleHeader {
    /// Writes the bundle, with the bytes of its models and artifacts from Cassandra; returns how
    /// many bytes of these.
    ///
    /// # Errors
    /// A chunk is missing or altered; the file can't be written.
    pub async fn write(&self, store: &Store, mut out: impl Write) -> Result<u64, Failure> {
        let header = serde_json::to_vec_pretty(self).map_err(|error| unusable(&error))?;
        let sha256 = hex::encode(Sha256::digest(&header));
        let start = format!("{FORMAT}\n{sha256}\n{}\n", header.len());
        out.write_all(start.as_bytes())
            .and_then(|()| out.write_all(&header))
            .map_err(|error| unusable(&error))?;
        let mut size = 0;
        for version in self.scored() {
            let bytes = store.model_bytes(&version.admitted).await?;
            out.write_all(&bytes).map_err(|error| unusable(&error))?;
            size += bytes.len() as u64;
        }
        for artifact in self.artifacts() {
            let bytes = store.download_small(&artifact.sha256, MAX_ARTIFACT).await?;
            out.write_all(&bytes).map_err(|error| unusable(&error))?;
            size += bytes.len() as u64;
        }
        out.flush().map_err(|error| unusable(&error))?;
        Ok(size)
    }

    /// Returns the artifacts of all versions, each once, in order: the job is compiled with all of
    /// them.
    fn artifacts(&self) -> impl Iterator<Item = &Artifact> {
        let versions = self.versions.iter();
        let all = versions.flat_map(|version| version.admitted.artifacts.values());
        let by_sha: BTreeMap<_, _> = all.map(|artifact| (artifact.sha256, artifact)).collect();
        by_sha.into_values()
    }

    /// Returns the versions whose bytes are in the bundle, in order.
    pub fn scored(&self) -> impl Iterator<Item = &BundledVersion> {
        self.versions.iter().filter(|version| version.is_scored)
    }
}

impl Bundle {
    /// Reads a bundle and compiles its job.
    ///
    /// # Errors
    /// Exit 2: not a bundle, or a damaged one; this helenus compiles another job from it.
    pub fn read(mut input: impl BufRead) -> Result<Self, Failure> {
        let damaged = |error: &dyn std::fmt::Display| damaged(&error.to_string());
        let mut line = || {
            let mut line = String::new();
            let mut limited = (&mut input).take(100);
            limited
                .read_line(&mut line)
                .map_err(|error| damaged(&error))?;
            Ok::<_, Failure>(line.trim_end_matches('\n').to_owned())
        };
        if line()? != FORMAT {
            return Err(damaged(&format!("it does not begin with {FORMAT}")));
        }
        let sha256 = line()?;
        let length: u64 = line()?.parse().map_err(|error| damaged(&error))?;
        if length > MAX_HEADER {
            return Err(damaged(&"its header is too long"));
        }
        let mut header = Vec::new();
        (&mut input)
            .take(length)
            .read_to_end(&mut header)
            .map_err(|error| damaged(&error))?;
        if hex::encode(Sha256::digest(&header)) != sha256 {
            return Err(damaged(&"its header is damaged or cut off"));
        }
        let header: BundleHeader =
            serde_json::from_slice(&header).map_err(|error| damaged(&error))?;
        let mut models = Vec::new();
        let mut artifacts = BTreeMap::new();
        let mut part = |size: u64| {
            let mut bytes = Vec::new();
            let mut limited = (&mut input).take(size);
            let read = limited.read_to_end(&mut bytes);
            read.map(|_| bytes).map_err(|error| damaged(&error))
        };
        for version in header.scored() {
            let bytes = part(version.admitted.size)?;
            models.push(Image::new(bytes, &version.admitted).map_err(Failure::input)?);
        }
        for artifact in header.artifacts() {
            let loaded = artifacts::read_now(&part(artifact.size)?).map_err(Failure::input)?;
            if loaded.sha256 != artifact.sha256 {
                return Err(damaged(&"an artifact is altered or cut off"));
            }
            artifacts.insert(artifact.sha256, loaded);
        }
        let job = compiled(&header, &artifacts)?;
        Ok(Self {
            header,
            job,
            models,
        })
    }
}

/// Compiles the job of a bundle, as it was compiled where the bundle was made.
fn compiled(
    header: &BundleHeader,
    artifacts: &BTreeMap<[u8; 32], LoadedArtifact>,
) -> Result<CompiledJob, Failure> {
    let manifest = Manifest::parse(&header.manifest).map_err(Failure::inputs)?;
    let asked: Vec<Asked> = header
        .versions
        .iter()
        .map(|bundled| {
            let number = bundled.version;
            let aliases = header.aliases.iter().filter(|(_, at)| **at == number);
            let aliases = aliases.map(|(alias, _)| VersionWish::Alias(alias.clone()));
            Asked {
                ready: ReadyVersion {
                    model: header.model.clone(),
                    version: number,
                    admitted: bundled.admitted.clone(),
                },
                by: std::iter::once(VersionWish::Number(number))
                    .chain(aliases)
                    .collect(),
                artifacts: Artifacts(
                    (bundled.admitted.artifacts.iter())
                        .filter_map(|(name, artifact)| {
                            Some((name.clone(), artifacts.get(&artifact.sha256)?.clone()))
                        })
                        .collect(),
                ),
            }
        })
        .collect();
    let announced = BTreeMap::new();
    let existing = header.target.as_ref().map(|schema| Existing {
        schema,
        made: header.made.as_ref(),
        // The manifest's own say which vectors are rejected.
        indexes: &[],
        announced: &announced,
    });
    let source_version = header.source_version;
    let mut job = compile(&manifest, &header.source, source_version, existing, &asked)
        .map_err(Failure::inputs)?;
    if hex::encode(job.fingerprint) != header.fingerprint {
        let message = format!(
            "helenus {} compiles another job from it than helenus {} did",
            env!("CARGO_PKG_VERSION"),
            header.helenus
        );
        let problem = Problem::new("bundle.fingerprint", message);
        return Err(Failure::input(problem.help(
            "make the bundle again with the version of helenus that reads it",
        )));
    }
    let scored: Vec<i32> = header.scored().map(|version| version.version).collect();
    job.versions
        .retain(|version| scored.contains(&version.ready.version));
    Ok(job)
}

fn damaged(why: &str) -> Failure {
    let message = format!("the file is not a whole bundle: {why}");
    Failure::input(
        Problem::new("bundle.damaged", message).help("make it again with `helenus bundle`"),
    )
}

fn unusable(error: &dyn std::fmt::Display) -> Failure {
    let message = format!("the bundle cannot be written: {error}");
    Failure::input(Problem::new("bundle.unwritable", message))
}
