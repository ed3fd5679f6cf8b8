//! The console: pages for people who do not live in a terminal, served by `helenus serve --console`.
//!
//! Pages are drawn here, on the server, and work without JavaScript. A [`place`] is what a URL
//! names; [`pages`] read what it shows, through [`read`]'s cache, into a [`view`]; [`layout`] draws
//! it. [`actions`] write the rows that people write. [`session`] knows who is logged in, and which
//! forms they were given; [`guard`] refuses what does not come from the console's own pages.

pub mod actions;
pub mod assets;
pub mod cell;
pub mod figures;
pub mod guard;
pub mod handle;
pub mod layout;
pub mod live;
pub mod login;
pub mod pages;
pub mod place;
pub mod query;
pub mod read;
pub mod session;
pub mod table;
pub mod view;

use std::{sync::Arc, time::Duration};

use axum::{Router, routing::any};

use self::{read::ReadCache, session::Sessions};
use super::{state::Serving, tokens::Tokens};

/// What all requests for pages share.
pub struct Console {
    pub serving: Arc<Serving>,
    pub tokens: Arc<Tokens>,
    pub sessions: Sessions,
    pub cache: ReadCache,
}

impl Console {
    /// Returns a console whose sessions last this long at most.
    pub fn new(serving: Arc<Serving>, tokens: Arc<Tokens>, session: Duration) -> Self {
        Self {
            serving,
            tokens,
            sessions: Sessions::new(session),
            cache: ReadCache::default(),
        }
    }
}

/// Returns the routes of the console. They have patterns of their own only where the edge and the
/// metrics must tell them apart.
pub fn router(console: Arc<Console>) -> Router {
    Router::new()
        .route("/", any(handle::answer))
        .route("/events", any(live::events))
        .route("/assets/{name}", any(assets::answer))
        .route("/{*console}", any(handle::answer))
        .with_state(console)
}

/// First segments of the console's paths, without a suffix such as `.json`.
const SECTIONS: [&str; 14] = [
    "",
    "index",
    "jobs",
    "models",
    "streams",
    "workers",
    "experiments",
    "alarms",
    "requests",
    "login",
    "logout",
    "events",
    "assets",
    "favicon",
];

/// Returns whether a path is one of the console's.
pub fn owns(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next();
    let first = first.unwrap_or_default().split('.').next();
    path.starts_with('/') && SECTIONS.contains(&first.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_owns_its_own_paths_only() {
        for path in ["/", "/jobs/x", "/jobs.json", "/index.csv", "/favicon.ico"] {
            assert!(owns(path), "{path}");
        }
        for path in [
            "/v1/jobs",
            "/live",
            "/metrics",
            "/openapi.json",
            "/v2",
            "jobs",
        ] {
            assert!(!owns(path), "{path}");
        }
    }
}
