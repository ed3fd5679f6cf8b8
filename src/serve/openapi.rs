//! `GET /openapi.json`: the description of the routes, made from their handlers.

use std::sync::LazyLock;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Object, Required,
        path::{ParameterBuilder, ParameterIn},
        schema::Type,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{
    error::ErrorBody,
    oip::{infer, metadata, repository},
    routes::{
        acts, events, gates, health, jobs, models, predictions, requests, run_view, runs, score,
        similar,
    },
};

/// The description. Handlers bring the schemas of their bodies.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "helenus",
        description = "Predictions over HTTP, with the code and the numbers of the batch."
    ),
    paths(
        self::show,
        health::live,
        health::ready,
        health::metrics,
        jobs::list,
        jobs::show,
        score::score,
        predictions::by_keys,
        predictions::by_key,
        similar::similar,
        runs::list,
        runs::start,
        runs::show,
        runs::cancel,
        events::events,
        models::list,
        models::show,
        models::version,
        acts::promote,
        acts::rollback,
        acts::approve,
        gates::show,
        requests::show,
        metadata::server,
        metadata::live,
        metadata::ready,
        repository::index,
        metadata::model,
        metadata::model_ready,
        infer::infer,
    ),
    components(schemas(ErrorBody, events::RunEvent, run_view::RunView)),
    security(("token" = [])),
    modifiers(&BearerToken, &NamedVersions),
    tags(
        (name = "predictions", description = "Predictions for given rows and for keys, and rows with similar ones"),
        (name = "inference", description = "Tensors for models, columns for jobs: the Open Inference Protocol, version 2"),
        (name = "runs", description = "Batches on demand"),
        (name = "jobs", description = "What is scored"),
        (name = "models", description = "Models, their versions and aliases"),
        (name = "requests", description = "Requests that workers answer"),
        (name = "health", description = "For load balancers and monitoring"),
    )
)]
pub struct Description;

/// The token of `tokens.toml`. A server without tokens does not ask for one.
struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// The routes of a model with a version: those without one, and a parameter.
struct NamedVersions;

impl Modify for NamedVersions {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        const MODEL: &str = "/v2/models/{model}";
        let paths = &mut description.paths.paths;
        let unnamed: Vec<_> = paths
            .iter()
            .filter_map(|(path, item)| Some((path.strip_prefix(MODEL)?.to_owned(), item.clone())))
            .collect();
        for (rest, mut item) in unnamed {
            let operations = [item.get.as_mut(), item.post.as_mut()];
            for operation in operations.into_iter().flatten() {
                let version = ParameterBuilder::new()
                    .name("version")
                    .parameter_in(ParameterIn::Path)
                    .required(Required::True)
                    .description(Some("The version, by number or alias"))
                    .schema(Some(Object::with_type(Type::String)))
                    .build();
                operation
                    .parameters
                    .get_or_insert_default()
                    .push(version.into());
                // Ids of operations are unique.
                if let Some(id) = &mut operation.operation_id {
                    id.push_str("_version");
                }
            }
            paths.insert(format!("{MODEL}/versions/{{version}}{rest}"), item);
        }
    }
}

/// Returns this description (OpenAPI 3.1).
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "health",
    security(()),
    responses((status = 200, description = "The description", content_type = "application/json", body = Object)),
)]
pub async fn show() -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, TEXT.as_str()).into_response()
}

static TEXT: LazyLock<String> = LazyLock::new(|| {
    // The document has string keys only, so it always has a JSON form.
    Description::openapi().to_json().unwrap_or_default()
});

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::serve::routes::all;

    const ERRORS: [&str; 7] = ["400", "401", "403", "404", "413", "429", "503"];

    fn description() -> Value {
        serde_json::from_str(&TEXT).unwrap()
    }

    #[test]
    fn every_route_is_described_and_every_description_is_a_route() {
        let routes: BTreeSet<(String, String)> = all()
            .into_iter()
            .map(|route| (route.path.to_owned(), route.method.as_str().to_lowercase()))
            .collect();
        let description = description();
        let paths = description["paths"].as_object().unwrap();
        let described: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().keys();
                methods.map(|method| (path.clone(), method.clone()))
            })
            .collect();
        assert_eq!(routes, described);
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        fn references(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(reference)) = fields.get("$ref") {
                        found.insert(reference.clone());
                    }
                    fields.values().for_each(|value| references(value, found));
                }
                Value::Array(values) => values.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let description = description();
        let mut found = BTreeSet::new();
        references(&description, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for reference in found {
            let pointer = reference.trim_start_matches('#');
            assert!(description.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_operation_but_health_describes_its_errors_and_needs_a_token() {
        let description = description();
        assert_eq!(description["openapi"], "3.1.0");
        let token = &description["components"]["securitySchemes"]["token"];
        assert_eq!(token["scheme"], "bearer");
        for (path, methods) in description["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let is_open = operation["security"] == serde_json::json!([{}]);
                let is_v2 = path.starts_with("/v2") && !path.starts_with("/v2/health/");
                assert_eq!(
                    is_open,
                    !is_v2 && !path.starts_with("/v1/"),
                    "{method} {path}"
                );
                if is_open {
                    continue;
                }
                let (statuses, error) = match (path.as_str(), is_v2) {
                    ("/v2", _) => (&["401"][..], "OipErrorBody"),
                    (path, true) if path.ends_with("/ready") => (&ERRORS[..6], "OipErrorBody"),
                    (_, true) => (&ERRORS[..], "OipErrorBody"),
                    (_, false) => (&ERRORS[..], "ErrorBody"),
                };
                for status in statuses {
                    let body = &operation["responses"][status]["content"]["application/json"];
                    let schema = body["schema"]["$ref"].as_str();
                    let expected = format!("#/components/schemas/{error}");
                    assert_eq!(schema, Some(expected.as_str()), "{method} {path} {status}");
                }
            }
        }
    }
}
