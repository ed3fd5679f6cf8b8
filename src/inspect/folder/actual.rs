//! Reads what Cassandra has, as far as a folder can be about it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::{
        access,
        folder::{
            DesiredState, REFERENCE_TAG, VersionFacts,
            state::{ActualAlias, ActualExperiment, ActualJob, ActualState, ActualVersion},
        },
    },
    failure::Failure,
    inspect::experiment::state,
    store::{Store, admin::roles, driver::error::StoreErrorKind, registry::models::VersionRow},
};

/// Returns the state of the database, as far as this folder depends on it.
///
/// # Errors
/// Errors of Cassandra.
pub async fn read_actual(store: &Store, desired: &DesiredState) -> Result<ActualState, Failure> {
    let mut actual = ActualState::default();
    for model in store.models().await? {
        actual.models.insert(model, Vec::new());
    }
    let versions = desired.versions.iter().map(|version| &version.model);
    let aliases = desired.aliases.iter().map(|alias| &alias.model);
    let models: BTreeSet<&String> = versions.chain(aliases).collect();
    for model in models {
        let versions = versions_of(store, model, desired).await?;
        if !versions.is_empty() {
            actual.models.insert(model.clone(), versions);
        }
    }
    for wanted in &desired.aliases {
        let last = store.alias_history(&wanted.model, &wanted.alias, 1).await?;
        if let Some(change) = last.into_iter().next() {
            let of_model = actual.aliases.entry(wanted.model.clone()).or_default();
            let alias = ActualAlias {
                version: change.to,
                author: change.who,
            };
            of_model.insert(wanted.alias.clone(), alias);
        }
    }
    actual.jobs = jobs(store).await?;
    actual.triggers = store.triggers().await?;
    actual
        .triggers
        .sort_by(|a, b| (&a.job, &a.name).cmp(&(&b.job, &b.name)));
    actual.gates = store.gates().await?;
    actual
        .gates
        .sort_by(|a, b| (&a.model, &a.name).cmp(&(&b.model, &b.name)));
    let experiments = state::states(store, None, 1).await?;
    actual.experiments = experiments
        .into_iter()
        .map(|view| ActualExperiment {
            state: view.status.map(|status| status.state),
            row: view.row,
        })
        .collect();
    for role in &desired.roles {
        let missing = missing_grants(store, role).await?;
        actual.roles.insert(role.name.clone(), missing);
    }
    Ok(actual)
}

async fn versions_of(
    store: &Store,
    model: &str,
    desired: &DesiredState,
) -> Result<Vec<ActualVersion>, Failure> {
    let admissions = store.admissions(model).await?;
    let mut declared = desired.versions.iter();
    let may_lack_reference =
        declared.any(|version| version.model == model && version.reference.is_some());
    let mut versions = Vec::new();
    for row in store.versions(model).await?.into_iter().rev() {
        let number = row.version;
        let mut answers = admissions.iter();
        let admission = answers.find(|admission| admission.version == number);
        let has_reference = may_lack_reference && {
            let stored = store.reference(model, number).await?;
            !stored.features.is_empty() || !stored.unusable.is_empty()
        };
        versions.push(ActualVersion {
            number,
            facts: facts(&row),
            state: admission.map(|admission| admission.state),
            reason: admission.and_then(|admission| admission.reason.clone()),
            author: row.registered_by,
            has_reference,
        });
    }
    Ok(versions)
}

/// Returns what makes a registered version the one that it is.
pub fn facts(row: &VersionRow) -> VersionFacts {
    let tags = row.tags.as_ref();
    VersionFacts {
        sha256: hex::encode(row.sha256.as_deref().unwrap_or_default()),
        feature_names: row.feature_names.clone().unwrap_or_default(),
        class_names: row.class_names.clone().unwrap_or_default(),
        golden_sha256: row.golden_sha256.as_ref().map(hex::encode),
        rtol: row.rtol,
        atol: row.atol,
        widths: row.widths.clone().unwrap_or_default(),
        accepts: row.accepts.clone().unwrap_or_default(),
        artifacts: (row.artifacts.iter().flatten())
            .map(|(name, sha256)| (name.clone(), hex::encode(sha256)))
            .collect(),
        reference_sha256: tags.and_then(|tags| tags.get(REFERENCE_TAG).cloned()),
    }
}

async fn jobs(store: &Store) -> Result<BTreeMap<String, ActualJob>, Failure> {
    let mut jobs = BTreeMap::new();
    for job in store.sweep_jobs().await? {
        let rows = store.job_rows(&job).await?;
        let deleted = rows.iter().any(|row| row.deleted == Some(true));
        let Some((revision, row)) = rows.iter().find_map(|row| Some((row.revision?, row))) else {
            continue;
        };
        let statuses = store.job_statuses(&job).await?;
        let mut answers = statuses.iter();
        let status = answers.find(|status| status.revision == revision);
        let now = ActualJob {
            revision,
            manifest: row.manifest.clone().unwrap_or_default(),
            author: row.created_by.clone(),
            deleted,
            state: status.map(|status| status.state.as_str()),
        };
        jobs.insert(job, now);
    }
    Ok(jobs)
}

/// Returns the permissions that a role lacks, as Cassandra lists them; `None` if there is no such
/// role.
async fn missing_grants(
    store: &Store,
    role: &crate::domain::folder::DesiredRole,
) -> Result<Option<Vec<String>>, Failure> {
    let keyspace = &store.config().keyspace;
    let wanted = access::grants(role.kind, keyspace, &role.reach).map_err(Failure::input)?;
    match store.granted(&role.name).await {
        Ok(granted) => {
            let mut wanted: Vec<String> = wanted.iter().map(roles::listed).collect();
            wanted.retain(|one| !granted.contains(one));
            Ok(Some(wanted))
        }
        Err(error)
            if error.kind == StoreErrorKind::Invalid && error.detail.contains("doesn't exist") =>
        {
            Ok(None)
        }
        Err(error) => Err(roles_failure(error)),
    }
}

/// Returns why roles can't be read; without an authorizer, what to change.
fn roles_failure(error: crate::store::driver::error::StoreError) -> Failure {
    let mut failure = Failure::from(error);
    if let Some(problem) = failure.problems.first_mut() {
        problem.place = Some("roles.toml".to_owned());
        problem.help.get_or_insert_with(|| {
            "this login must be permitted to list roles; where Cassandra has no authorizer, remove roles.toml".to_owned()
        });
    }
    failure
}
