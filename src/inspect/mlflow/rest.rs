//! MLflow's REST API: resolves a version and downloads its files.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{BESIDE, MlflowModel, MlflowSource};
use crate::{
    domain::{model::mlmodel::MlModel, problem::Problem},
    failure::Failure,
    http::client::{self, Authorities},
};

/// Largest answer that is read into memory.
const MAX_JSON: usize = 16 << 20;
/// MLflow's variable with the file of authorities.
const CERTIFICATES: &str = "MLFLOW_TRACKING_SERVER_CERT_PATH";
/// Bytes of a failed answer that are shown.
const SHOWN: usize = 300;

/// A tracking server and how to log in to it.
#[derive(Clone)]
pub struct MlflowServer {
    /// `http://` or `https://`, without a slash at its end.
    url: String,
    authorization: Option<String>,
    /// Authorities that signed the server's certificate; the system's if `None`.
    ca: Option<PathBuf>,
    /// Largest size of a model's file in bytes.
    max_size: u64,
}

impl std::fmt::Debug for MlflowServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the authorization.
        f.debug_tuple("MlflowServer").field(&self.url).finish()
    }
}

impl MlflowServer {
    /// Returns the server of `MLFLOW_TRACKING_URI` or of `given`, with the login of MLflow's own
    /// variables.
    ///
    /// # Errors
    /// Exit 2: no server is named, or not by `http` or `https`.
    pub fn from_environment(given: Option<&str>, max_size: u64) -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let url = given
            .map(str::to_owned)
            .or_else(|| variable("MLFLOW_TRACKING_URI"));
        let wrong = |message: String| {
            let help = "set MLFLOW_TRACKING_URI or --tracking-uri to the server's address, such as https://mlflow.example.org";
            Failure::input(Problem::new("mlflow.server", message).help(help))
        };
        let url = url.ok_or_else(|| wrong("no MLflow server is named".to_owned()))?;
        if !["http://", "https://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            return Err(wrong(format!("`{url}` is not the address of a server")));
        }
        let host = url.split("://").nth(1).unwrap_or_default();
        if host
            .split('/')
            .next()
            .is_some_and(|host| host.contains('@'))
        {
            return Err(wrong("the address must not have a password".to_owned()));
        }
        let authorization = match variable("MLFLOW_TRACKING_TOKEN") {
            Some(token) => Some(format!("Bearer {token}")),
            None => variable("MLFLOW_TRACKING_USERNAME").map(|user| {
                let password = variable("MLFLOW_TRACKING_PASSWORD").unwrap_or_default();
                format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
            }),
        };
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            authorization,
            ca: variable(CERTIFICATES).map(PathBuf::from),
            max_size,
        })
    }

    /// Downloads a version of the registry.
    ///
    /// # Errors
    /// Exit 5: there is no such version; exit 2: not an ONNX model, or its files are where this
    /// program cannot read them; exit 3: the server.
    pub async fn fetch(&self, source: &MlflowSource) -> Result<MlflowModel, Failure> {
        let (name, found) = match source {
            MlflowSource::Folder(folder) => return MlflowModel::in_folder(folder),
            MlflowSource::Version { name, version } => {
                let query = [("name", name.as_str()), ("version", version)];
                (name, self.json("model-versions/get", &query).await?)
            }
            MlflowSource::Alias { name, alias } => {
                let query = [("name", name.as_str()), ("alias", alias)];
                (name, self.json("registered-models/alias", &query).await?)
            }
        };
        let found = &found["model_version"];
        let text = |value: &Value| {
            value
                .as_str()
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        // A number in older servers.
        let version = text(&found["version"]).unwrap_or_else(|| found["version"].to_string());
        let query = [("name", name.as_str()), ("version", &version)];
        let place = self.json("model-versions/get-download-uri", &query).await?;
        let uri = text(&place["artifact_uri"]).unwrap_or_default();
        let mut model = match Artifacts::parse(&uri) {
            Artifacts::Proxied(path) => self.download(&path).await?,
            Artifacts::Folder(folder) if folder.join("MLmodel").is_file() => {
                MlflowModel::in_folder(&folder)?
            }
            Artifacts::Folder(_) | Artifacts::Elsewhere => {
                return Err(elsewhere(&uri, name, &version));
            }
        };
        let run = match text(&found["run_id"]) {
            Some(run) => self.run(&run).await?,
            None => BTreeMap::new(),
        };
        model.metrics = run;
        model.tags.insert("mlflow.name".to_owned(), name.clone());
        model.tags.insert("mlflow.version".to_owned(), version);
        model.tags.insert("mlflow.uri".to_owned(), self.url.clone());
        if let Some(run) = text(&found["run_id"]) {
            model.tags.insert("mlflow.run_id".to_owned(), run);
        }
        model.name = Some(name.clone());
        Ok(model)
    }

    /// Returns the metrics of a run; none if it was deleted.
    async fn run(&self, run: &str) -> Result<BTreeMap<String, f64>, Failure> {
        let run = match self.json("runs/get", &[("run_id", run)]).await {
            Ok(run) => run,
            Err(failure) if failure.exit == crate::failure::Exit::NotFound => {
                return Ok(BTreeMap::new());
            }
            Err(failure) => return Err(failure),
        };
        let metrics = run["run"]["data"]["metrics"].as_array();
        let metrics = metrics.into_iter().flatten().filter_map(|metric| {
            let value = metric["value"].as_f64().filter(|value| value.is_finite())?;
            Some((metric["key"].as_str()?.to_owned(), value))
        });
        Ok(metrics.collect())
    }

    /// Downloads the files of a model that the server hands out.
    async fn download(&self, path: &str) -> Result<MlflowModel, Failure> {
        let folder = tempfile::tempdir().map_err(|error| {
            let message = format!("no temporary folder: {error}");
            Failure::system(Problem::new("mlflow.download", message))
        })?;
        let listed = self.list(path).await?;
        self.file(path, "MLmodel", folder.path(), MAX_JSON as u64)
            .await?;
        let text = std::fs::read_to_string(folder.path().join("MLmodel")).unwrap_or_default();
        let description = MlModel::parse(&text).map_err(Failure::input)?;
        self.file(path, &description.data, folder.path(), self.max_size)
            .await?;
        for name in BESIDE
            .iter()
            .filter(|name| listed.contains(&(**name).to_owned()))
        {
            self.file(path, name, folder.path(), self.max_size).await?;
        }
        let mut model = MlflowModel::in_folder(folder.path())?;
        model._downloaded = Some(folder);
        Ok(model)
    }

    /// Returns the names of the files of a folder of artifacts.
    async fn list(&self, path: &str) -> Result<Vec<String>, Failure> {
        let url = format!(
            "{}/api/2.0/mlflow-artifacts/artifacts?path={}",
            self.url,
            encoded(path, b"/")
        );
        let answer = self.get_json(&url).await?;
        let files = answer["files"].as_array();
        let files = files.into_iter().flatten();
        let names = files.filter_map(|file| {
            let path = file["path"].as_str()?;
            Some(path.rsplit('/').next().unwrap_or(path).to_owned())
        });
        Ok(names.collect())
    }

    /// Downloads one file.
    async fn file(
        &self,
        path: &str,
        name: &str,
        folder: &Path,
        max_size: u64,
    ) -> Result<(), Failure> {
        let url = format!(
            "{}/api/2.0/mlflow-artifacts/artifacts/{}/{}",
            self.url,
            encoded(path, b"/"),
            encoded(name, b"/")
        );
        let target = folder.join(name);
        let opened = match target.parent() {
            Some(parent) => std::fs::create_dir_all(parent).and_then(|()| File::create(&target)),
            None => File::create(&target),
        };
        let mut file = opened.map_err(|error| unanswered(&url, &error.to_string()))?;
        let (mut size, mut start) = (0_u64, Vec::new());
        let status = self
            .get(&url, &mut |bytes| {
                size += bytes.len() as u64;
                if size > max_size {
                    return Err(format!("it has more than {max_size} bytes"));
                }
                start.extend(bytes.iter().take(SHOWN.saturating_sub(start.len())));
                file.write_all(bytes).map_err(|error| error.to_string())
            })
            .await?;
        check(&url, status, &start)
    }

    async fn json(&self, call: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        let query: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value, b"")))
            .collect();
        let url = format!("{}/api/2.0/mlflow/{call}?{}", self.url, query.join("&"));
        self.get_json(&url).await
    }

    async fn get_json(&self, url: &str) -> Result<Value, Failure> {
        let mut body = Vec::new();
        let status = self
            .get(url, &mut |bytes| {
                if body.len() + bytes.len() > MAX_JSON {
                    return Err("the answer is too long".to_owned());
                }
                body.extend_from_slice(bytes);
                Ok(())
            })
            .await?;
        check(url, status, &body)?;
        serde_json::from_slice(&body)
            .map_err(|error| unanswered(url, &format!("its answer is not that of MLflow: {error}")))
    }

    async fn get(
        &self,
        url: &str,
        sink: &mut (dyn FnMut(&[u8]) -> Result<(), String> + Send),
    ) -> Result<StatusCode, Failure> {
        let headers: Vec<(&'static str, String)> = self
            .authorization
            .iter()
            .map(|value| ("authorization", value.clone()))
            .collect();
        let ca = Authorities {
            file: self.ca.as_deref(),
            setting: CERTIFICATES,
        };
        let got = client::get(url, &headers, ca, sink).await;
        got.map_err(|error| unanswered(url, &error))
    }
}

/// Where the files of a version are.
#[derive(Debug, PartialEq, Eq)]
enum Artifacts {
    /// The server hands them out under this path.
    Proxied(String),
    /// A folder of a machine, perhaps of this one.
    Folder(PathBuf),
    Elsewhere,
}

impl Artifacts {
    fn parse(uri: &str) -> Self {
        if let Some(rest) = uri.strip_prefix("mlflow-artifacts:") {
            // With or without the server's own name: `mlflow-artifacts://host:5000/1/models`.
            let path = match rest.strip_prefix("//") {
                Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
                None => rest,
            };
            return Self::Proxied(path.trim_matches('/').to_owned());
        }
        match uri
            .strip_prefix("file://")
            .or_else(|| uri.strip_prefix("file:"))
        {
            Some(path) => Self::Folder(path.into()),
            None if uri.starts_with('/') => Self::Folder(uri.into()),
            None => Self::Elsewhere,
        }
    }
}

fn elsewhere(uri: &str, name: &str, version: &str) -> Failure {
    let scheme = uri.split(':').next().unwrap_or_default();
    let message = format!("the files of the version are at {scheme}:, which helenus does not read");
    let help = format!(
        "download them with MLflow: `mlflow artifacts download --artifact-uri models:/{name}/{version} --dst-path DIR`, then `helenus model import DIR`"
    );
    Failure::input(
        Problem::new("mlflow.artifacts", message)
            .at(uri.to_owned())
            .help(help),
    )
}

/// Returns the failure of an answer that is not a success.
fn check(url: &str, status: StatusCode, body: &[u8]) -> Result<(), Failure> {
    if status.is_success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(body);
    // MLflow's errors are JSON with a code and a message.
    let error: Value = serde_json::from_str(&text).unwrap_or_default();
    let said = error["message"].as_str().unwrap_or(&text);
    // It answers 400 for an alias that does not exist.
    let is_missing = status == StatusCode::NOT_FOUND
        || error["error_code"] == "RESOURCE_DOES_NOT_EXIST"
        || status == StatusCode::BAD_REQUEST && said.contains("not found");
    let said: String = said.chars().take(SHOWN).collect();
    let problem =
        |code: &str| Problem::new(code, format!("MLflow answered {status}: {said}")).at(place(url));
    Err(match status {
        _ if is_missing => Failure::not_found(
            problem("mlflow.not_found").help("check the name, the version and the alias"),
        ),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::system(
            problem("mlflow.login")
                .help("set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD"),
        ),
        StatusCode::BAD_REQUEST => Failure::input(problem("mlflow.answer")),
        _ => Failure::system(problem("mlflow.answer")),
    })
}

fn unanswered(url: &str, why: &str) -> Failure {
    let message = format!("MLflow cannot be read: {why}");
    Failure::system(Problem::new("mlflow.unreachable", message).at(place(url)))
}

/// A URL without its query, for people.
fn place(url: &str) -> String {
    url.split('?').next().unwrap_or(url).to_owned()
}

/// Percent-encodes a text for a URL; `plain` are further bytes that stay.
fn encoded(text: &str, plain: &[u8]) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            byte if plain.contains(&byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_are_with_the_server_in_a_folder_or_elsewhere() {
        let proxied = |path: &str| Artifacts::Proxied(path.to_owned());
        for (uri, place) in [
            (
                "mlflow-artifacts:/1/models/m-2f/artifacts",
                proxied("1/models/m-2f/artifacts"),
            ),
            ("mlflow-artifacts://host:5000/1/m", proxied("1/m")),
            ("file:///data/m", Artifacts::Folder("/data/m".into())),
            ("/data/m", Artifacts::Folder("/data/m".into())),
            ("s3://bucket/m", Artifacts::Elsewhere),
            ("dbfs:/m", Artifacts::Elsewhere),
        ] {
            assert_eq!(Artifacts::parse(uri), place, "{uri}");
        }
        let failure = elsewhere("s3://bucket/m", "tumour", "3");
        let help = failure.problems[0].help.as_deref().unwrap();
        assert!(help.contains("--artifact-uri models:/tumour/3"), "{help}");
    }

    #[test]
    fn names_are_encoded_for_a_url() {
        assert_eq!(encoded("a b/ö", b""), "a%20b%2F%C3%B6");
        assert_eq!(encoded("1/m-2.f", b"/"), "1/m-2.f");
    }
}
