//! What a pass reads: resolves names into versions, columns and tables.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Utc;
use uuid::Uuid;

use crate::{
    codec::schema::{Column, TableSchema},
    domain::{
        job::{CompiledJob, manifest::TableName},
        model::alias,
        names::nearest,
        problem::Problem,
        run::Run,
    },
    engine::jobs,
    failure::{Exit, Failure},
    store::Store,
};

/// The scope of a pass as requested.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassSpec {
    pub job: String,
    /// Numbers or aliases; each version at most once.
    pub versions: Vec<String>,
    /// A source column whose values are the segments.
    pub segment: Option<String>,
    /// Where the labels are.
    pub labels: Option<LabelSpec>,
}

/// A label column, in a table that has the source's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSpec {
    pub table: TableName,
    /// Exact name of the column that holds the label.
    pub column: String,
    /// Exact name of the column that says when the label was known.
    pub time: Option<String>,
}

/// The resolved scope of a pass.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The job, with the requested versions, which need not be in its manifest. The segment column
    /// is the last of `columns` if the job itself does not read it.
    pub job: CompiledJob,
    /// Number of columns that the job itself reads; `source_hash` covers these.
    pub own_columns: usize,
    /// The revision from which the job was compiled.
    pub revision: i32,
    /// Aliases of the manifest and of the request, and the versions that they point to now.
    pub aliases: BTreeMap<String, i32>,
    /// In the order in which they were requested.
    pub versions: Vec<i32>,
    /// The segment column, if one was requested.
    pub segment: Option<Segment>,
    /// The labels, if any were requested.
    pub labels: Option<Labels>,
    /// The history table, if the job has one and the time of labels is known.
    pub past: Option<TableName>,
}

/// The segment column.
#[derive(Debug, Clone)]
pub struct Segment {
    pub column: Column,
    /// Its index among the key and columns of a source row.
    pub at: usize,
}

/// The table of labels.
#[derive(Debug, Clone)]
pub struct Labels {
    /// Its schema now.
    pub table: TableSchema,
    /// The label column.
    pub column: Column,
    /// The column that says when the label was known.
    pub time: Option<Column>,
}

impl Scope {
    /// Resolves a request against the current job, aliases and tables.
    ///
    /// # Errors
    /// Those of [`jobs::prepare`]; versions, columns or tables that do not exist, and a version
    /// that can't have predictions in the job's table (exit 2).
    pub async fn resolve(store: &Store, wish: &PassSpec) -> Result<Self, Failure> {
        let prepared = jobs::prepare(store, &wish.job, None).await?;
        let mut aliases = prepared.aliases;
        let model = match prepared.job.versions.first() {
            Some(version) => version.ready.model.clone(),
            None => return Err(no_version(&wish.job)),
        };
        let versions = versions(store, &model, &wish.versions, &mut aliases).await?;
        let known: BTreeSet<i32> = prepared
            .job
            .versions
            .iter()
            .map(|v| v.ready.version)
            .collect();
        let mut job = prepared.job;
        if !versions.iter().all(|version| known.contains(version)) {
            let mut run = Run::planning(&wish.job, Uuid::nil(), Utc::now());
            run.job_revision = prepared.revision;
            run.versions = known.into_iter().chain(versions.iter().copied()).collect();
            run.aliases.clone_from(&aliases);
            run.source_version = job.source_version;
            job = match jobs::prepare_planned(store, &run).await {
                Ok(prepared) => prepared.job,
                Err(failure) if failure.exit == Exit::Input => {
                    return Err(do_not_fit(&wish.job, failure));
                }
                Err(failure) => return Err(failure),
            };
            fits_table(store, &job, &versions).await?;
        }
        job.versions
            .retain(|version| versions.contains(&version.ready.version));
        let own_columns = job.columns.len();
        let segment = match &wish.segment {
            Some(name) => Some(segment(&mut job, name).map_err(Failure::input)?),
            None => None,
        };
        let labels = match &wish.labels {
            Some(wish) => Some(labels(store, &job, wish).await?),
            None => None,
        };
        let timed = labels.as_ref().is_some_and(|labels| labels.time.is_some());
        Ok(Self {
            past: job.history_table().filter(|_| timed),
            job,
            own_columns,
            revision: prepared.revision,
            aliases,
            versions,
            segment,
            labels,
        })
    }

    /// Returns the aliases that point to a version now.
    pub fn aliases_of(&self, version: i32) -> Vec<&str> {
        let aliases = self.aliases.iter();
        aliases
            .filter(|(_, points_at)| **points_at == version)
            .map(|(alias, _)| alias.as_str())
            .collect()
    }
}

fn no_version(job: &str) -> Failure {
    let problem = Problem::new("job.no_version", format!("job `{job}` has no version"));
    Failure::input(problem)
}

async fn versions(
    store: &Store,
    model: &str,
    words: &[String],
    aliases: &mut BTreeMap<String, i32>,
) -> Result<Vec<i32>, Failure> {
    let mut versions = Vec::new();
    for word in words {
        let number = match word.parse() {
            Ok(number) => number,
            Err(_) => match store.alias(model, word).await? {
                Some(number) => {
                    aliases.insert(word.clone(), number);
                    number
                }
                None => {
                    let problem = jobs::unknown_alias(store, model, word, "versions").await?;
                    return Err(Failure::input(problem));
                }
            },
        };
        if versions.contains(&number) {
            let message = format!("version {number} is named twice");
            let aliases = [alias::CHAMPION, alias::PREVIOUS].join("` or `");
            return Err(Failure::input(
                Problem::new("versions.twice", message)
                    .at("versions")
                    .help(format!(
                        "an alias such as `{aliases}` may point to the same version"
                    )),
            ));
        }
        versions.push(number);
    }
    Ok(versions)
}

/// Reports that the job does not fit its tables with these versions, though it does without them.
fn do_not_fit(job: &str, failure: Failure) -> Failure {
    let message = format!("one of the versions can't have predictions of job `{job}`");
    let head = Problem::new("versions.do_not_fit", message)
        .at("versions")
        .help(format!("`helenus job show {job}` names its versions"));
    let problems = failure.problems.into_iter();
    let problems = problems.filter(|problem| problem.code != "job.source_changed");
    Failure::inputs([head].into_iter().chain(problems).collect())
}

/// Checks that the table has all outputs of the versions: a version with other outputs was never
/// scored there.
async fn fits_table(store: &Store, job: &CompiledJob, versions: &[i32]) -> Result<(), Failure> {
    let name = TableName {
        keyspace: job.target.keyspace.clone(),
        table: job.target.table.clone(),
    };
    let table = store.table(&name).await?;
    let lacking = job.target.outputs.iter().find(|output| {
        table
            .as_ref()
            .is_none_or(|table| table.column(&output.name).is_none())
    });
    let Some(lacking) = lacking else {
        return Ok(());
    };
    let message = format!(
        "{name} has no column `{}`, which one of the versions {versions:?} gives",
        lacking.name
    );
    Err(Failure::input(
        Problem::new("versions.never_scored", message)
            .at("versions")
            .help("add the version to the job's manifest and score it first"),
    ))
}

fn segment(job: &mut CompiledJob, name: &str) -> Result<Segment, Problem> {
    let mut read = (0..).zip(job.key.iter().chain(&job.columns));
    if let Some((at, column)) = read.find(|(_, column)| column.name == name) {
        return Ok(Segment {
            column: column.clone(),
            at,
        });
    }
    let column = job.source.column(name);
    let column = column.ok_or_else(|| unknown_column(&job.source, name, "segment"))?;
    let column = column.clone();
    let at = job.key.len() + job.columns.len();
    job.columns.push(column.clone());
    Ok(Segment { column, at })
}

fn unknown_column(table: &TableSchema, name: &str, place: &str) -> Problem {
    let known = table.key().chain(&table.statics).chain(&table.regulars);
    let near = nearest(name, known.map(|column| column.name.as_str()));
    let message = format!("{}.{} has no column `{name}`", table.keyspace, table.table);
    Problem::new("pass.unknown_column", message)
        .at(place)
        .help(near.map_or_else(
            || "names are exact, without quotes".to_owned(),
            |near| format!("did you mean `{near}`?"),
        ))
}

async fn labels(store: &Store, job: &CompiledJob, wish: &LabelSpec) -> Result<Labels, Failure> {
    let Some(table) = store.table(&wish.table).await? else {
        let message = format!("there is no table {}", wish.table);
        return Err(Failure::input(
            Problem::new("labels.unknown_table", message).at("labels"),
        ));
    };
    let key: Vec<&Column> = table.key().collect();
    let described = |columns: &[&Column], partition: usize| {
        let words: Vec<_> = columns
            .iter()
            .map(|column| format!("{} {}", column.name, column.cql_type))
            .collect();
        format!(
            "(({}), {})",
            words[..partition].join(", "),
            words[partition..].join(", ")
        )
    };
    let wanted: Vec<&Column> = job.key.iter().collect();
    let same = key.len() == wanted.len()
        && table.partition_key.len() == job.partition_key_len
        && key
            .iter()
            .zip(&wanted)
            .all(|(own, source)| own.cql_type.thawed() == source.cql_type.thawed());
    if !same {
        let message = format!(
            "{} has the key {}, the source has {}",
            wish.table,
            described(&key, table.partition_key.len()),
            described(&wanted, job.partition_key_len)
        );
        return Err(Failure::input(
            Problem::new("labels.key", message)
                .at("labels")
                .help("labels are keyed like the source: the same types in the same order"),
        ));
    }
    let column = |name: &str| {
        let found = table.column(name).cloned();
        found.ok_or_else(|| Failure::input(unknown_column(&table, name, "labels")))
    };
    Ok(Labels {
        column: column(&wish.column)?,
        time: wish.time.as_deref().map(column).transpose()?,
        table,
    })
}
