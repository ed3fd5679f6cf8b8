//! What a row of `run_requests` asks of a pass.

use std::collections::BTreeMap;

use crate::{
    domain::{alias::CHAMPION, problem::Problem},
    failure::Failure,
    store::{Store, run_requests::RunRequest},
    worker::jobs,
};

/// Options of a request, taken one by one.
#[derive(Debug)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// Those of a request.
    pub fn of(request: &RunRequest) -> Self {
        Self(request.options.clone().unwrap_or_default())
    }

    /// An option's text, if it was given.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Nothing is left that nobody knows.
    ///
    /// # Errors
    /// An option was not taken (exit 2); `known` tells which there are.
    pub fn end(self, known: &str) -> Result<(), Failure> {
        let Some(unknown) = self.0.keys().next() else {
            return Ok(());
        };
        let message = format!("option `{unknown}` is unknown");
        Err(Failure::input(
            Problem::new("request.unknown_option", message).help(known),
        ))
    }
}

/// The versions that a request names: by `words` (numbers or aliases, commas between, the baseline
/// first), else by its column `versions`, else all that the job names; of the last two the champion
/// is the baseline if it is among them, else the lowest one.
///
/// # Errors
/// As [`jobs::prepare`].
pub async fn versions(
    store: &Store,
    request: &RunRequest,
    job: &str,
    words: Option<String>,
) -> Result<Vec<String>, Failure> {
    if let Some(words) = words {
        let words = words.split(',').map(str::trim).map(str::to_owned);
        return Ok(words.collect());
    }
    let prepared = jobs::prepare(store, job, None).await?;
    let asked = request
        .versions
        .clone()
        .filter(|versions| !versions.is_empty());
    let all = prepared.job.versions.iter();
    let mut versions: Vec<i32> = match asked {
        Some(asked) => asked.into_iter().collect(),
        None => all.clone().map(|version| version.ready.version).collect(),
    };
    let model = all.map(|version| version.ready.model.as_str()).next();
    let champion = store.alias(model.unwrap_or_default(), CHAMPION).await?;
    if let Some(at) = versions
        .iter()
        .position(|version| Some(*version) == champion)
    {
        versions[..=at].rotate_right(1);
    }
    Ok(versions.iter().map(i32::to_string).collect())
}
