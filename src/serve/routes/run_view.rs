//! Runs and the requests for them, as they are answered.

use serde::Serialize;
use uuid::Uuid;

use crate::{
    domain::{answer::AnswerKind, problem::Problem, run::Run},
    inspect::{
        catalog::{RunDetail, no_run},
        status::waits_for,
    },
    serve::{
        error::ApiError,
        progress::{RunProgress, SplitCounter},
        requests::{self, find_run_request},
    },
    store::{Store, runs::run_requests::RunRequest},
};

/// A run, or a request that has no run yet.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RunView {
    /// The id in the path: a request's or a run's.
    pub id: String,
    pub job: String,
    pub state: RunViewState,
    /// Why it waits, was refused or ended.
    pub reason: Option<String>,
    /// The worker's answer to the request.
    pub answer: Option<AnswerView>,
    pub request_id: Option<String>,
    /// Null until a worker has opened a run.
    pub run_id: Option<String>,
    pub progress: RunProgress,
    /// The run's row.
    pub run: Option<RunDetail>,
}

/// State of a run, or of a request that has no run yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunViewState {
    /// No worker has answered the request yet, or the run waits; `reason` says for what.
    Waiting,
    /// There will be no run; `reason` says why.
    Refused,
    /// No worker answered the request for 24 hours.
    Expired,
    /// Splits are not written yet.
    Planning,
    /// Workers score.
    Running,
    /// Every row has a prediction or a rejection.
    Succeeded,
    /// Ended unsuccessfully.
    Failed,
    /// Ended on request.
    Cancelled,
}

impl RunViewState {
    /// Returns whether the state is final.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Waiting | Self::Planning | Self::Running)
    }
}

impl From<crate::domain::run::RunState> for RunViewState {
    fn from(state: crate::domain::run::RunState) -> Self {
        use crate::domain::run::RunState;
        match state {
            RunState::Planning => Self::Planning,
            RunState::Running => Self::Running,
            RunState::Waiting => Self::Waiting,
            RunState::Succeeded => Self::Succeeded,
            RunState::Failed => Self::Failed,
            RunState::Cancelled => Self::Cancelled,
        }
    }
}

/// A worker's answer to a request.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AnswerView {
    /// accepted, joined, done, refused or expired.
    pub kind: &'static str,
    pub reason: Option<String>,
}

/// A run or a request that a path names.
pub enum FoundRun {
    /// A run, by its id or as the answer to a request.
    Run {
        run: Box<Run>,
        request: Option<(Uuid, AnswerView)>,
    },
    /// A request without a run.
    Request(Box<RunRequest>, Option<(AnswerKind, AnswerView)>),
}

/// Finds a run of a job, by its id or by the id of its request.
///
/// # Errors
/// 404; errors of Cassandra.
pub async fn find(store: &Store, job: &str, id: Uuid) -> Result<FoundRun, ApiError> {
    // Cassandra refuses to compare a timeuuid with anything else.
    if requests::asked_at(id).is_none() {
        return Err(no_run(job).into());
    }
    if let Some(run) = store.run(job, id).await? {
        let (run, request) = (Box::new(run), None);
        return Ok(FoundRun::Run { run, request });
    }
    let request = find_run_request(store, id).await?;
    let Some(request) = request.filter(|request| {
        request.job.as_deref() == Some(job)
            && matches!(request.action.as_deref(), None | Some("run"))
    }) else {
        return Err(no_run(job).into());
    };
    let Some(answer) = store.answer(request.day, request.id).await? else {
        return Ok(FoundRun::Request(Box::new(request), None));
    };
    let view = AnswerView {
        kind: answer.kind.as_str(),
        reason: answer.reason,
    };
    let run = match answer.run_id {
        Some(run_id) => store.run(job, run_id).await?,
        None => None,
    };
    Ok(match run {
        Some(run) => FoundRun::Run {
            run: Box::new(run),
            request: Some((request.id, view)),
        },
        None => FoundRun::Request(Box::new(request), Some((answer.kind, view))),
    })
}

/// Returns the view of a run or request; `id` is that of the path. `counter` must be the same one
/// for each view of the same id.
///
/// # Errors
/// Errors of Cassandra.
pub async fn view(
    store: &Store,
    id: Uuid,
    found: FoundRun,
    counter: &mut SplitCounter,
) -> Result<RunView, ApiError> {
    match found {
        FoundRun::Run { run, request } => {
            let (request_id, answer) = request.unzip();
            Ok(RunView {
                id: id.to_string(),
                state: run.state.into(),
                reason: run.reason.clone(),
                answer,
                request_id: request_id.or(run.request_id).map(|id| id.to_string()),
                run_id: Some(run.run_id.to_string()),
                progress: counter.progress(store, &run).await?,
                run: Some(RunDetail::from(&*run)),
                job: run.job,
            })
        }
        FoundRun::Request(request, answer) => {
            let (state, reason) = match &answer {
                None => {
                    let run = waits_for(store, &request).await?;
                    let reason = run.map(|run| format!("for run {} to end", run.run_id));
                    (RunViewState::Waiting, reason)
                }
                Some((AnswerKind::Expired, view)) => (RunViewState::Expired, view.reason.clone()),
                Some((AnswerKind::Refused, view)) => (RunViewState::Refused, view.reason.clone()),
                // Its run was deleted since.
                Some((_, view)) => (RunViewState::Expired, view.reason.clone()),
            };
            Ok(RunView {
                id: id.to_string(),
                job: request.job.clone().unwrap_or_default(),
                state,
                reason,
                answer: answer.map(|(_, view)| view),
                request_id: Some(request.id.to_string()),
                run_id: None,
                progress: RunProgress::default(),
                run: None,
            })
        }
    }
}

/// Parses an id of a path.
///
/// # Errors
/// 400.
pub fn id(text: &str) -> Result<Uuid, ApiError> {
    text.parse().map_err(|_| {
        ApiError::bad(
            Problem::new("request.id", format!("`{text}` is not a UUID"))
                .at("path")
                .help("send the id of a request or of a run"),
        )
    })
}
