//! What `promote` and `rollback` share: the alias to move, and what must be scored before.

use serde_json::{Value, json};

use super::{super::Context, ask};
use crate::{
    domain::{
        alias::{CHAMPION, PREVIOUS},
        model::check_name,
        problem::Problem,
    },
    failure::Failure,
    output::Answer,
    store::{Store, alias_requests::AliasRequest},
    worker::aliases::{self, Follower, Mode},
};

/// Arguments of both.
#[derive(Debug, clap::Args)]
pub struct Moving {
    /// The model
    pub name: String,
    /// The alias to move
    #[arg(long, default_value = CHAMPION)]
    pub alias: String,
    /// Refuse unless the alias points at this version now
    #[arg(long, value_name = "VERSION")]
    expected: Option<i32>,
    /// Why; kept in the history
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Move at once, whatever the version has not scored
    #[arg(long, conflicts_with = "when_covered")]
    now: bool,
    /// Score what is missing first, and move once that succeeded
    #[arg(long)]
    when_covered: bool,
    #[command(flatten)]
    wait: ask::Wait,
}

impl Moving {
    /// Refuses names that can't be.
    ///
    /// # Errors
    /// Exit 2.
    pub fn check(&self) -> Result<(), Failure> {
        check_name("a model", &self.name).map_err(Failure::input)?;
        check_name("an alias", &self.alias).map_err(Failure::input)?;
        if self.alias == PREVIOUS {
            return Err(Failure::input(
                Problem::new("alias.reserved", "`previous` is not moved by itself")
                    .help("it is always the version before the champion"),
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

    /// Tells what `to` covers, asks for the move, and gives the answer. `version`: as the request
    /// says it; a rollback says none.
    ///
    /// # Errors
    /// Exit 4: not covered, or refused; exit 3: nobody answered, or Cassandra.
    pub async fn ask(
        self,
        store: &Store,
        context: &Context,
        action: &str,
        version: Option<i32>,
        to: i32,
    ) -> Result<Answer, Failure> {
        let moves = store.alias(&self.name, &self.alias).await?;
        let followers = match moves {
            Some(from) if from != to => {
                aliases::followers(store, &self.name, &self.alias, to).await?
            }
            // Nobody reads by a new alias, and one that stays hurts nobody.
            _ => Vec::new(),
        };
        for follower in &followers {
            ask::say(context, &format!("version {to}: {}", follower.told()));
        }
        let mode = self.mode();
        // Told at once, and nothing is asked for; the worker looks again.
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
        "read_at": super::time(run.and_then(|run| run.started_at)),
        "in_the_way": coverage.obstacle.map(|(run, _)| run.to_string()),
    })
}
