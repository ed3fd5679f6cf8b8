//! Compares versions: which rows they predict alike, and where they differ.
//!
//! One pass ([`super::pass`]) over the stored predictions; nothing is scored. The first version is
//! the baseline. Each other version is compared with it, over rows of which both have a prediction
//! of the row as it is now. The result is bounded whatever the tables hold: counts, moments, a
//! sketch, two scores in 256 x 256 bins whose edges come from a sample, and the few entities that
//! differ most.

mod answer;
mod fold;
mod pilot;
mod row;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

pub use answer::answer;
pub use fold::{Against, Part, SEGMENTS, Settings, Standings};
pub use row::QUANTILES;

use super::pass::{self, Begun, Found, Running, Scope};
use crate::{
    domain::{
        evidence::comparison::columns::{Compared, Score},
        problem::Problem,
    },
    failure::Failure,
    store::{
        Store,
        driver::{codec, error::StoreErrorKind},
    },
};
use fold::Comparing;

/// Maximum number of versions in one comparison: their parts must fit together.
pub const MOST_VERSIONS: usize = 4;
/// Maximum number of entities listed.
pub const MOST_LISTED: usize = 200;

/// A request for a comparison.
#[derive(Debug, Clone, Default)]
pub struct CompareSpec {
    /// The job, its versions (the baseline first), and the segment column.
    pub pass: pass::PassSpec,
    /// The score column; `None` lets [`Compared::resolve`] choose.
    pub score: Option<String>,
    /// Entities to list, at most [`MOST_LISTED`].
    pub top: usize,
    /// Who asked for it.
    pub requested_by: Option<String>,
    /// The id of the request that asks; it becomes the comparison's id.
    pub request_id: Option<Uuid>,
}

/// The result of a comparison.
#[derive(Debug)]
pub struct Report {
    /// The scope that was compared.
    pub scope: Arc<Scope>,
    /// The columns that were compared.
    pub compared: Compared,
    /// The comparison's id.
    pub id: Uuid,
    /// When the pass began.
    pub begun_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// Who asked for it.
    pub requested_by: Option<String>,
    /// Score bins and histogram limits.
    pub settings: Settings,
    /// What the pass found.
    pub found: Found<Part>,
    /// Warnings for readers of the result.
    pub warnings: Vec<String>,
}

impl Report {
    /// Returns the score column; `None` if there is none, or if several are compared together.
    pub fn score(&self) -> Option<&str> {
        match self.compared.score {
            Score::One(at) => Some(&self.scope.job.target.outputs[at].name),
            Score::None | Score::Largest(_) => None,
        }
    }

    /// Returns the columns that contribute to the difference.
    pub fn score_columns(&self) -> Vec<&str> {
        let outputs = &self.scope.job.target.outputs;
        let columns = match &self.compared.score {
            Score::None => &[][..],
            Score::One(at) => std::slice::from_ref(at),
            Score::Largest(columns) => columns,
        };
        columns
            .iter()
            .map(|at| outputs[*at].name.as_str())
            .collect()
    }

    /// Returns the label column.
    pub fn label(&self) -> Option<&str> {
        let at = self.compared.label?;
        Some(&self.scope.job.target.outputs[at].name)
    }

    /// Returns the version with which the others are compared.
    pub fn baseline(&self) -> i32 {
        self.scope.versions[0]
    }

    /// Returns each other version with its comparison.
    pub fn against(&self) -> impl Iterator<Item = (i32, &Against)> {
        let versions = self.scope.versions[1..].iter().copied();
        versions.zip(&self.found.part.against)
    }
}

/// Compares the versions and stores the result in `comparisons`.
///
/// # Errors
/// Those of [`Scope::resolve`] and [`Compared::resolve`]; too many versions or segments, a version
/// that was never scored (exit 2); Cassandra's errors; interrupted (exit 130), after which the same
/// call resumes.
pub async fn compare(
    store: &Store,
    wish: &CompareSpec,
    running: &Running,
) -> Result<Report, Failure> {
    check(wish).map_err(Failure::input)?;
    let scope = Arc::new(Box::pin(Scope::resolve(store, &wish.pass)).await?);
    let score = wish.score.as_deref();
    let compared = Compared::resolve(&scope.job, score).map_err(Failure::input)?;
    let mut open = open_runs(store, &scope).await?;
    let options = json!({"score": wish.score, "top": wish.top});
    let settings = async {
        let settings = pilot::settings(store, &scope, &compared, running).await?;
        settings
            .map(|settings| codec::encode(&settings))
            .ok_or_else(|| too_many_segments(&scope))
    };
    let begun = pass::begin(store, &scope, "compare", &options, settings).await?;
    let settings: Settings = codec::decode(&begun.row.plan.settings)
        .map_err(|error| Failure::system(Problem::new("pass.corrupt", error)))?;
    let comparing = Arc::new(Comparing {
        scope: Arc::clone(&scope),
        compared: compared.clone(),
        settings: settings.clone(),
        top: wish.top,
        running: running.clone(),
        too_many_segments: AtomicBool::new(false),
    });
    let found = pass::run(store, &scope, &begun, &comparing, running).await;
    if comparing.too_many_segments.load(Ordering::Relaxed) {
        // Large parts stored by an earlier process expire with their TTL.
        pass::end(store, &begun, &[]).await?;
        return Err(too_many_segments(&scope));
    }
    let found = found?;
    if let Some(version) = never_scored(&scope, &found) {
        pass::end(store, &begun, &found.large).await?;
        return Err(never(&scope, version));
    }
    open.extend(open_runs(store, &scope).await?);
    let mut report = Report {
        id: wish.request_id.unwrap_or(begun.id()),
        begun_at: begun.at(),
        finished_at: Utc::now(),
        requested_by: wish.requested_by.clone(),
        warnings: warnings(&begun, &found, &open),
        scope,
        compared,
        settings,
        found,
    };
    keep(store, &mut report).await?;
    pass::end(store, &begun, &report.found.large).await?;
    Ok(report)
}

/// Stores the comparison. If this login is not permitted to write it, the result is only shown.
async fn keep(store: &Store, report: &mut Report) -> Result<(), Failure> {
    for row in row::rows(report) {
        match store.insert_comparison(&row).await {
            Err(error) if error.kind == StoreErrorKind::Denied => {
                report.warnings.push(
                    "not_kept: this login is not permitted to write `comparisons`; a worker stores it for a row in run_requests with action 'compare'".to_owned(),
                );
                return Ok(());
            }
            outcome => outcome?,
        }
    }
    Ok(())
}

fn check(wish: &CompareSpec) -> Result<(), Problem> {
    let versions = wish.pass.versions.len();
    if !(2..=MOST_VERSIONS).contains(&versions) {
        let message = format!("{versions} versions can't be compared");
        return Err(Problem::new("compare.versions", message)
            .at("versions")
            .help(format!(
                "name 2 to {MOST_VERSIONS} by number or alias, the baseline first"
            )));
    }
    Ok(())
}

async fn open_runs(store: &Store, scope: &Scope) -> Result<BTreeSet<Uuid>, Failure> {
    let open = store.open_runs(&scope.job.job).await?.into_iter();
    let looked_at = open.filter(|row| scope.versions.contains(&row.version));
    Ok(looked_at.filter_map(|row| row.run_id).collect())
}

fn never_scored(scope: &Scope, found: &Found<Part>) -> Option<i32> {
    let standings = scope.versions.iter().zip(&found.part.standings);
    let mut never = standings.filter(|(version, standing)| {
        let orphaned = found.orphaned.get(version).copied().unwrap_or(0);
        found.source_rows > 0 && standing.missing == found.source_rows && orphaned == 0
    });
    never.next().map(|(version, _)| *version)
}

fn never(scope: &Scope, version: i32) -> Failure {
    let (job, target) = (&scope.job.job, &scope.job.target);
    let message = format!(
        "version {version} has no prediction in {}.{}",
        target.keyspace, target.table
    );
    Failure::input(
        Problem::new("versions.never_scored", message)
            .at("versions")
            .help(format!(
                "`helenus score {job} --version {version}` makes them"
            )),
    )
}

fn too_many_segments(scope: &Scope) -> Failure {
    let column = scope.segment.as_ref().map(|segment| &segment.column.name);
    let message = format!(
        "column `{}` has more than {SEGMENTS} values, or very long ones",
        column.map_or("", String::as_str)
    );
    Failure::input(
        Problem::new("compare.segments", message)
            .at("segment")
            .help("name a column that tells few groups apart: a site, a product, a class of age"),
    )
}

fn warnings(begun: &Begun, found: &Found<Part>, open: &BTreeSet<Uuid>) -> Vec<String> {
    let mut warnings: Vec<String> = pass::resumed(begun, found).into_iter().collect();
    for run in open {
        warnings.push(format!(
            "open_run: run {run} was open meanwhile: rows that it had not reached show as stale or missing"
        ));
    }
    for against in &found.part.against {
        if against.all.unscored > 0 {
            warnings.push(format!(
                "unscored: {} rows lack a finite score in one of the versions",
                against.all.unscored
            ));
        }
    }
    warnings
}
