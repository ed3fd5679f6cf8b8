//! Reads retrainings: what is wrong with each, and its newest request.

use crate::{
    domain::retraining::state::{RequestState, RetrainingRequest},
    store::{Store, driver::error::StoreError},
};

/// A retraining.
#[derive(Debug)]
pub struct RetrainingLine {
    pub model: String,
    pub name: String,
    /// What is wrong with the people's row.
    pub problems: Vec<String>,
    /// The newest request, under way or not.
    pub request: Option<RetrainingRequest>,
}

pub(super) async fn read(store: &Store) -> Result<Vec<RetrainingLine>, StoreError> {
    let mut rows = store.retrainings().await?;
    rows.retain(|row| row.removed != Some(true));
    rows.sort_by(|a, b| (&a.model, &a.name).cmp(&(&b.model, &b.name)));
    let mut lines = Vec::new();
    for row in rows {
        let status = store.retraining_status(&row.model, &row.name).await?;
        let requests = store.retraining_requests(&row.model, &row.name, 1).await?;
        lines.push(RetrainingLine {
            problems: status.problems,
            request: requests.into_iter().next(),
            model: row.model,
            name: row.name,
        });
    }
    Ok(lines)
}

impl RetrainingLine {
    pub(super) fn warn(&self, warnings: &mut Vec<String>) {
        let name = format!("retraining `{}` of model `{}`", self.name, self.model);
        for problem in &self.problems {
            warnings.push(format!("{name}: {problem}"));
        }
        let Some(request) = &self.request else {
            return;
        };
        match (request.state, &request.reason) {
            (RequestState::Failed, reason) => {
                let reason = reason.as_deref().unwrap_or("no reason was recorded");
                warnings.push(format!("the last request of {name} failed: {reason}"));
            }
            (state, Some(reason)) if !state.is_final() => {
                warnings.push(format!("{name} waits: {reason}"));
            }
            _ => {}
        }
    }
}
