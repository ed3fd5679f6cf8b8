//! Takes the steps of a plan, each by the functions of the command that does the same.

use serde_json::json;

use crate::{
    command::{
        Context,
        ask::Wait,
        experiment::{start::start_revision, stop::stop_revision},
        job::create::{NewRevision, add_revision},
        model::{moving::Moving, push},
        role::create as role,
        trigger,
    },
    domain::{
        access,
        folder::{
            AUTHOR, COMMIT_TAG, DesiredRole, DesiredState, DesiredVersion, REFERENCE_TAG,
            steps::{FolderStep, FolderWrite},
        },
        gate::GateRow,
        model::AdmissionState,
        problem::Problem,
        trigger::TriggerRow,
    },
    engine::{artifacts, reference},
    failpoint,
    failure::Failure,
    inspect::{experiment::state::states, folder::facts},
    output::Answer,
    store::{Store, registry::models::VersionRow},
};

/// What all steps of an apply share.
pub struct Actor<'a> {
    pub store: &'a Store,
    pub context: &'a Context,
    pub desired: &'a DesiredState,
    pub commit: &'a str,
    pub wait: Wait,
}

impl Actor<'_> {
    fn author(&self) -> String {
        format!("{AUTHOR}{}", self.commit)
    }

    /// Takes a step.
    ///
    /// # Errors
    /// Those of the command that does the same.
    pub async fn take(&self, step: &FolderStep) -> Result<Answer, Failure> {
        let (store, context, wait) = (self.store, self.context, self.wait);
        match &step.write {
            FolderWrite::Nothing => Ok(Answer::default()),
            FolderWrite::Role(at) => self.role(&self.desired.roles[*at]).await,
            FolderWrite::Version { at, number } => {
                self.version(&self.desired.versions[*at], *number).await
            }
            FolderWrite::Alias { at, to, from } => self.alias(*at, *to, *from).await,
            FolderWrite::Job(at) => {
                let job = &self.desired.jobs[*at];
                let new = NewRevision {
                    text: &job.text,
                    manifest: &job.manifest,
                    path: None,
                    by: &self.author(),
                    note: None,
                };
                add_revision(store, context, new, wait).await
            }
            FolderWrite::Trigger(row) => {
                let row = TriggerRow {
                    created_by: Some(self.author()),
                    ..(**row).clone()
                };
                trigger::add::put(store, context, &row, wait).await
            }
            FolderWrite::Gate(row) => {
                let row = GateRow {
                    created_by: Some(self.author()),
                    ..(**row).clone()
                };
                store.put_gate(&row).await?;
                Ok(Answer::default())
            }
            FolderWrite::Experiment(row) => {
                let mut row = (**row).clone();
                row.created_by = Some(self.author());
                start_revision(store, context, &row, wait).await
            }
            FolderWrite::DeleteJob(job) => {
                store.delete_job(job, true).await?;
                Ok(Answer::default())
            }
            FolderWrite::RemoveTrigger(job, name) => {
                trigger::lifecycle::remove_row(store, context, (job, name), wait).await
            }
            FolderWrite::RemoveGate(model, name) => {
                store.remove_gate(model, name).await?;
                Ok(Answer::default())
            }
            FolderWrite::StopExperiment(job, name, revision) => {
                let views = states(store, Some(job), 1).await?;
                let mut rows = views.into_iter().map(|view| view.row);
                match rows.find(|row| row.name == *name && row.revision == *revision) {
                    Some(row) => stop_revision(store, context, &row, wait).await,
                    None => Err(moved_on(&format!("experiment `{name}` of job `{job}`"))),
                }
            }
        }
    }

    /// Registers a version under its number unless it is there, and completes what belongs to it.
    async fn version(&self, version: &DesiredVersion, number: i32) -> Result<Answer, Failure> {
        let (store, context) = (self.store, self.context);
        let model = version.model.as_str();
        if store.version(model, number).await?.is_none() {
            let file = version.file.as_deref().ok_or_else(|| {
                Failure::input(Problem::new("folder.no_file", "its file is not here"))
            })?;
            let mut row = self.row(version, number);
            let opened = push::open(file, context)?;
            push::upload(store, context, &mut row, opened, version.golden.as_deref()).await?;
            row.artifacts = artifacts::upload(store, &version.artifacts).await?;
            if hex::encode(row.sha256.as_deref().unwrap_or_default()) != version.facts.sha256 {
                return Err(moved_on("the model's file"));
            }
            failpoint::hit("before_version_row");
            let stored = store.insert_reserved_version(row).await?;
            if !version.facts.are_of(&facts(&stored)) {
                return Err(moved_on(&format!("version {number} of model `{model}`")));
            }
            failpoint::hit("after_version_row");
        }
        if let (Some(path), Some(file)) = (&version.reference, &version.file)
            && store.reference(model, number).await?.features.is_empty()
        {
            let reference = reference::read(path, file, &version.facts.feature_names)?;
            store.put_reference(model, number, &reference).await?;
        }
        let admission = push::admit(store, context, model, number, self.wait).await?;
        match admission.state {
            AdmissionState::Ready => {
                let mut answer = Answer::new(json!({"version": number}), "");
                answer.warnings = admission.warnings;
                Ok(answer)
            }
            state => {
                let reason = admission.reason.unwrap_or_default();
                Err(Failure::no(Problem::new(&format!("model.{state}"), reason)))
            }
        }
    }

    fn row(&self, version: &DesiredVersion, number: i32) -> VersionRow {
        let facts = &version.facts;
        let mut tags = version.tags.clone();
        tags.insert(COMMIT_TAG.to_owned(), self.commit.to_owned());
        if let Some(sha256) = &facts.reference_sha256 {
            tags.insert(REFERENCE_TAG.to_owned(), sha256.clone());
        }
        fn some<T: Clone>(value: &T, is_empty: bool) -> Option<T> {
            (!is_empty).then(|| value.clone())
        }
        VersionRow {
            name: version.model.clone(),
            version: number,
            format: Some("onnx".to_owned()),
            feature_names: some(&facts.feature_names, facts.feature_names.is_empty()),
            class_names: some(&facts.class_names, facts.class_names.is_empty()),
            widths: some(&facts.widths, facts.widths.is_empty()),
            rtol: facts.rtol,
            atol: facts.atol,
            accepts: some(&facts.accepts, facts.accepts.is_empty()),
            tags: Some(tags),
            metrics: some(&version.metrics, version.metrics.is_empty()),
            note: version.note.clone(),
            registered_by: Some(self.author()),
            ..VersionRow::default()
        }
    }

    async fn alias(&self, at: usize, to: i32, from: Option<i32>) -> Result<Answer, Failure> {
        let wanted = &self.desired.aliases[at];
        // Another apply of the same folder was faster, or the same one before it was killed.
        if self.store.alias(&wanted.model, &wanted.alias).await? == Some(to) {
            return Ok(Answer::default());
        }
        let readiness = self.store.readiness(&wanted.model, to).await?;
        if let Some(problem) = readiness.problem(&wanted.model, to) {
            return Err(Failure::conflict(problem));
        }
        let moving = Moving::for_commit(wanted, from, self.author(), self.wait);
        moving
            .ask(self.store, self.context, "promote", Some(to), to)
            .await
    }

    async fn role(&self, wanted: &DesiredRole) -> Result<Answer, Failure> {
        let keyspace = &self.context.config.keyspace;
        let grants = access::grants(wanted.kind, keyspace, &wanted.reach);
        let grants = grants.map_err(Failure::input)?;
        let beyond = role::create(self.store, &wanted.name, None, &grants).await;
        let beyond = beyond.map_err(role::create_failure)?;
        let mut answer = Answer::default();
        if !beyond.is_empty() {
            answer = answer.warn(format!(
                "role.beyond: `{}` has more permissions than the folder says: {}",
                wanted.name,
                beyond.join(", ")
            ));
        }
        Ok(answer)
    }
}

/// Something that another process changed since the plan was made.
fn moved_on(what: &str) -> Failure {
    let problem = Problem::new("apply.conflict", format!("{what} was changed meanwhile"));
    Failure::conflict(problem.help("look at it with `helenus plan`, then apply again"))
}
