//! The routes and their answers, one file for each subject.

pub mod acts;
pub mod events;
pub mod extract;
pub mod gates;
pub mod health;
pub mod jobs;
pub mod keys;
pub mod models;
pub mod predictions;
pub mod requests;
pub mod run_body;
pub mod run_view;
pub mod runs;
pub mod score;
pub mod similar;
pub mod unit;
pub mod view;

use std::sync::Arc;

use axum::{
    Router,
    http::Method,
    routing::{MethodRouter, delete, get, post},
};

use super::{oip, openapi, state::Serving};

/// The state that handlers get.
pub type Shared = axum::extract::State<Arc<Serving>>;

/// A method of a path, and its handler.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    handler: MethodRouter<Arc<Serving>>,
}

impl Route {
    fn new(method: Method, path: &'static str, handler: MethodRouter<Arc<Serving>>) -> Self {
        Self {
            method,
            path,
            handler,
        }
    }

    /// Returns a route that reads.
    pub fn get(path: &'static str, handler: MethodRouter<Arc<Serving>>) -> Self {
        Self::new(Method::GET, path, handler)
    }

    /// Returns a route with a body.
    pub fn post(path: &'static str, handler: MethodRouter<Arc<Serving>>) -> Self {
        Self::new(Method::POST, path, handler)
    }
}

/// Returns all routes; the OpenAPI document describes each of them.
pub fn all() -> Vec<Route> {
    let read = Route::get;
    let write = Route::post;
    let mut routes = vec![
        read("/live", get(health::live)),
        read("/ready", get(health::ready)),
        read("/metrics", get(health::metrics)),
        read("/openapi.json", get(openapi::show)),
        read("/v1/jobs", get(jobs::list)),
        read("/v1/jobs/{job}", get(jobs::show)),
        write("/v1/jobs/{job}/score", post(score::score)),
        write("/v1/jobs/{job}/predictions", post(predictions::by_keys)),
        read("/v1/jobs/{job}/predictions/{key}", get(predictions::by_key)),
        write("/v1/jobs/{job}/similar", post(similar::similar)),
        read("/v1/jobs/{job}/runs", get(runs::list)),
        write("/v1/jobs/{job}/runs", post(runs::start)),
        read("/v1/jobs/{job}/runs/{id}", get(runs::show)),
        Route::new(
            Method::DELETE,
            "/v1/jobs/{job}/runs/{id}",
            delete(runs::cancel),
        ),
        read("/v1/jobs/{job}/runs/{id}/events", get(events::events)),
        read("/v1/models", get(models::list)),
        read("/v1/models/{model}", get(models::show)),
        read(
            "/v1/models/{model}/versions/{version}",
            get(models::version),
        ),
        write("/v1/models/{model}/aliases/{alias}", post(acts::promote)),
        write("/v1/models/{model}/rollback", post(acts::rollback)),
        read("/v1/models/{model}/gates/{gate}", get(gates::show)),
        write(
            "/v1/models/{model}/gates/{gate}/approve",
            post(acts::approve),
        ),
        read("/v1/requests/{id}", get(requests::show)),
    ];
    routes.extend(oip::routes());
    routes
}

/// Returns the router of all routes.
pub fn router(serving: Arc<Serving>) -> Router {
    let routes = all().into_iter();
    routes
        .fold(Router::new(), |router, route| {
            router.route(route.path, route.handler)
        })
        .with_state(serving)
}
