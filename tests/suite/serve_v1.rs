//! `/v1` of `helenus serve`: runs on demand, what is read, and what is decided, against a real
//! server and a real worker.

mod acts;
mod events;
mod keys;
mod read;
mod runs;
mod schemathesis;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Sandbox,
    cli::Running,
    garden::Garden,
    served::{Reply, Served},
};

/// 150 flowers, a job over them, and a server. No worker runs yet.
struct Flowers {
    garden: Garden,
    server: Served,
}

impl Flowers {
    fn served(test: &str) -> Self {
        let garden = Garden::new(test);
        garden.job("flowers");
        let server = Served::start(&garden.sandbox, &["flowers"]);
        Self { garden, server }
    }

    fn sandbox(&self) -> &Sandbox {
        &self.garden.sandbox
    }

    fn worker(&self) -> Running {
        self.sandbox().start(&["worker"])
    }

    /// Asks for a run; returns its place.
    #[track_caller]
    fn ask(&self, body: &Value) -> String {
        let reply = self.server.post("/v1/jobs/flowers/runs", body).status(202);
        location(&reply)
    }

    /// The resource at `place`, once it is in one of these states.
    #[track_caller]
    fn in_state(&self, place: &str, states: &[&str]) -> Value {
        wait_for(place, || {
            let run = self.server.get(place).status(200).json();
            let state = run["state"].as_str().unwrap();
            let ended = ["succeeded", "failed", "cancelled", "refused"].contains(&state);
            assert!(!ended || states.contains(&state), "{run:#}");
            states.contains(&state).then_some(run)
        })
    }
}

#[track_caller]
fn location(reply: &Reply) -> String {
    reply.header("location").unwrap().to_owned()
}

/// Polls until `found` gives something.
#[track_caller]
fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(90);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Percent-encodes all that is not a letter or a digit.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

/// Each reply is an error with this status and this code.
#[track_caller]
fn all_refused(replies: impl IntoIterator<Item = (Reply, u16, &'static str)>) {
    for (reply, status, code) in replies {
        let text = reply.text();
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (status, code),
            "{text}"
        );
    }
}

fn no_body() -> Value {
    json!({})
}
