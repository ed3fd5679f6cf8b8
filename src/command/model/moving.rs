//! Common code of `promote` and `rollback`: the alias to move, and the coverage it requires.

use serde_json::{Value, json};

use super::{super::Context, ask};
use crate::{
    control::aliases::{self, Follower, Mode},
    domain::{
        folder::DesiredAlias,
        model::{
            alias::{CHAMPION, PREVIOUS},
            check_name,
        },
        problem::Problem,
    },
    failure::Failure,
    output::Answer,
    store::{Store, registry::alias_requests::AliasRequest},
};

/// Arguments of `promote` and `rollback`.
#[derive(Debug, clap::Args)]
pub struct Moving {
    /// The model
    pub name: String,
    /// The alias to move
    #[arg(long, default_value = CHAMPION)]
    pub alias: String,
    /// Refuse unless the alias currently points at this version
    #[arg(long, value_name = "VERSION")]
    expected: Option<i32>,
    /// Reason, stored in the history
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Move the alias at once, even if the version has not scored all rows
    #[arg(long, conflicts_with = "when_covered")]
    now: bool,
    /// Score the missing rows first, and move the alias once that has succeeded
    #[arg(long)]
    when_covered: bool,
    #[command(flatten)]
    wait: ask::Wait,
    /// Who asks; `None`: the user of this process.
    #[arg(skip)]
    author: Option<String>,
}

impl Moving {
    /// Returns the move that a folder of Git asks for.
    pub fn for_commit(
        wanted: &DesiredAlias,
        expected: Option<i32>,
        author: String,
        wait: ask::Wait,
    ) -> Self {
        Self {
            name: wanted.model.clone(),
            alias: wanted.alias.clone(),
            expected,
            why: None,
            now: wanted.coverage == "now",
            when_covered: wanted.coverage == "when_covered",
            wait,
            author: Some(author),
        }
    }

    /// Checks the names.
    ///
    /// # Errors
    /// Exit 2: an invalid name, or an alias that can't be moved.
    pub fn check(&self) -> Result<(), Failure> {
        check_name("a model", &self.name).map_err(Failure::input)?;
        check_name("an alias", &self.alias).map_err(Failure::input)?;
        if self.alias == PREVIOUS {
            return Err(Failure::input(
                Problem::new(
                    "alias.reserved",
                    "the alias `previous` can't be moved directly",
                )
                .help("move `champion`: `previous` is always the version before it"),
            ));
        }
        Ok(())
    }

    fn mode(&self) -> Mode {
        match (self.now, self.when_covered) {
            (true, _) => Mode::Now,
            (_, true) => Mode::WhenCovered,
            _ => Mode::Full,
        }
    }

    /// Reports the coverage of `to`, requests the move, and returns its answer. `version` is the
    /// request's column; a rollback has none.
    ///
    /// # Errors
    /// Exit 4: not covered, or refused; exit 3: no answer in time, or Cassandra.
    pub async fn ask(
        self,
        store: &Store,
        context: &Context,
        action: &str,
        version: Option<i32>,
        to: i32,
    ) -> Result<Answer, Failure> {
        let points_at = store.alias(&self.name, &self.alias).await?;
        let followers = match points_at {
            Some(from) if from != to => {
                aliases::followers(store, &self.name, &self.alias, to, None).await?
            }
            // A new alias has no readers yet, and an unchanged one changes nothing for them.
            _ => Vec::new(),
        };
        for follower in &followers {
            ask::say(context, &format!("version {to}: {}", follower.describe()));
        }
        let mode = self.mode();
        // Refused early, without a request; the worker checks again.
        if mode == Mode::Full
            && let Some(problem) = aliases::not_covered(&self.name, to, &followers)
        {
            return Err(Failure::conflict(problem));
        }
        let request = AliasRequest {
            action: Some(action.to_owned()),
            model: Some(self.name),
            alias: Some(self.alias),
            version,
            expected_version: self.expected,
            why: self.why,
            requested_by: self.author,
            coverage: (mode != Mode::Full).then(|| mode.as_str().to_owned()),
            ..AliasRequest::default()
        };
        let mut answer = ask::ask(store, context, request, self.wait).await?;
        answer.result["coverage"] = followers.iter().map(json).collect();
        Ok(answer)
    }
}

fn json(follower: &Follower) -> Value {
    let coverage = &follower.coverage;
    let run = coverage.run.as_ref();
    json!({
        "job": follower.job,
        "percent": coverage.percent(),
        "changed": coverage.changed,
        "run": run.map(|run| run.run_id.to_string()),
        "read_at": run.and_then(|run| run.started_at),
        "in_the_way": coverage.obstacle.map(|(run, _)| run.to_string()),
    })
}
