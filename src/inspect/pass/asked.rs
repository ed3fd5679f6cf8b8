//! Reads what a row of `run_requests` asks of a pass.

use std::collections::BTreeMap;

use crate::{
    domain::{model::alias::CHAMPION, problem::Problem},
    engine::jobs,
    failure::Failure,
    store::{Store, runs::run_requests::RunRequest},
};

/// Options of a request, removed one by one as they are read.
#[derive(Debug)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// Returns the options of a request.
    pub fn from_request(request: &RunRequest) -> Self {
        Self(request.options.clone().unwrap_or_default())
    }

    /// Returns options that come from elsewhere than a request.
    pub fn from_map(options: BTreeMap<String, String>) -> Self {
        Self(options)
    }

    /// Removes and returns an option's text, if it was given.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Checks that no unknown option is left.
    ///
    /// # Errors
    /// An option was not taken (exit 2); `known` is the help text that lists the valid options.
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

/// Returns the versions that a request names, the baseline first. They come from one of these:
/// - `words`, numbers or aliases separated by commas; the first is the baseline;
/// - the request's column `versions`;
/// - all versions that the job names.
///
/// In the last two cases the baseline is the champion if it is among them, else the lowest version.
///
/// # Errors
/// Those of [`jobs::prepare`].
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
