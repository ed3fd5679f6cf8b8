//! Settings of alarms: where they are sent.

use std::{path::PathBuf, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{layers::Layers, values};
use crate::domain::{percent::Percent, problem::Problem};

/// Minimum length of a secret in bytes (Standard Webhooks recommends 24 to 64).
const MIN_SECRET: usize = 16;

/// The settings of alarms, named `alarms.…` in the file.
#[derive(Debug, Clone)]
pub struct Alarms {
    /// Whether alarms are logged.
    pub log: bool,
    pub webhook: Option<Webhook>,
    /// Program and arguments that get each alarm on standard input; none if empty.
    pub command: Vec<String>,
    /// Time limit of one attempt.
    pub timeout: Duration,
    /// Share of rejected rows above which a run alarms.
    pub max_rejected: Percent,
}

/// A URL that gets each alarm as JSON.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// `http://` or `https://`, without user and password.
    pub url: String,
    /// File of the signature's key, read for each message, so that a new one needs no restart.
    pub secret_file: PathBuf,
    /// Authorities that signed the server's certificate; the system's if `None`.
    pub ca: Option<PathBuf>,
}

/// Bytes that `Debug` does not print.
#[derive(Clone)]
pub struct SigningSecret(Vec<u8>);

impl Webhook {
    /// Reads the secret.
    ///
    /// # Errors
    /// A message with the file's name.
    pub fn secret(&self) -> Result<SigningSecret, String> {
        let text = std::fs::read_to_string(&self.secret_file).map_err(|error| error.to_string());
        text.and_then(|text| SigningSecret::parse(text.trim_end_matches(['\r', '\n'])))
            .map_err(|error| {
                let file = self.secret_file.display();
                format!("`alarms.webhook_secret_file` {file}: {error}")
            })
    }
}

impl SigningSecret {
    /// Returns the bytes themselves.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// Reads `whsec_` and base64, or any other text of 16 bytes or more.
    ///
    /// # Errors
    /// A message that does not quote the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bytes = match text.strip_prefix("whsec_") {
            Some(encoded) => STANDARD
                .decode(encoded)
                .map_err(|_| "no valid base64 follows `whsec_`".to_owned())?,
            None => text.as_bytes().to_vec(),
        };
        match bytes.len() < MIN_SECRET {
            true => Err(format!("the secret has fewer than {MIN_SECRET} bytes")),
            false => Ok(Self(bytes)),
        }
    }
}

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("********")
    }
}

pub(super) fn resolve(layers: &mut Layers) -> Alarms {
    Alarms {
        log: layers.required("alarms.log", values::boolean),
        webhook: webhook(layers),
        command: layers
            .optional("alarms.command", values::text)
            .map(|text| text.split_whitespace().map(str::to_owned).collect())
            .unwrap_or_default(),
        timeout: layers.required("alarms.timeout", values::time_out),
        max_rejected: layers.required("alarms.max_rejected", |text| {
            Percent::parse(text)
                .ok_or_else(|| format!("invalid share `{text}`: use a percentage such as `1%`"))
        }),
    }
}

fn webhook(layers: &mut Layers) -> Option<Webhook> {
    let url = layers.optional("alarms.webhook", url);
    let file = layers.optional("alarms.webhook_secret_file", values::path);
    let ca = layers.optional("alarms.webhook_ca", values::path);
    let mut incomplete = |message: &str, help: &str| {
        let problem = Problem::new("config.incomplete", message).help(help);
        layers.problems.push(problem);
        None
    };
    match (url, file) {
        (Some(url), Some(secret_file)) => Some(Webhook {
            url,
            secret_file,
            ca,
        }),
        (None, None) if ca.is_none() => None,
        (Some(_), None) => incomplete(
            "`alarms.webhook` is given but `alarms.webhook_secret_file` is not",
            "name a file with a secret of 16 bytes or more; each message is signed with it",
        ),
        (None, _) => incomplete(
            "settings of the webhook are given but `alarms.webhook` is not",
            "set alarms.webhook to a URL, or remove the others",
        ),
    }
}

/// Returns a URL without its path, which is often a secret.
pub(super) fn masked(url: &str) -> String {
    let uri = url.parse::<axum::http::Uri>().ok();
    let parts = uri
        .as_ref()
        .and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)));
    match parts {
        Some((scheme, authority)) => format!("{scheme}://{authority}/********"),
        None => "********".to_owned(),
    }
}

pub(super) fn url(text: &str) -> Result<String, String> {
    let wrong = || format!("invalid URL `{text}`: use `https://HOST[:PORT]/PATH`");
    let uri: axum::http::Uri = text.parse().map_err(|_| wrong())?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri.authority().ok_or_else(wrong)?;
    match is_http && !authority.as_str().contains('@') && !authority.host().is_empty() {
        true => Ok(text.to_owned()),
        false => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_base64_or_text_and_is_not_printed() {
        let encoded = SigningSecret::parse("whsec_MDEyMzQ1Njc4OWFiY2RlZg==").unwrap();
        assert_eq!(encoded.reveal(), b"0123456789abcdef");
        let text = SigningSecret::parse("0123456789abcdef").unwrap();
        assert_eq!(text.reveal(), encoded.reveal());
        assert_eq!(format!("{text:?}"), "********");
        for wrong in ["", "short", "whsec_!", "whsec_MDEy"] {
            assert!(SigningSecret::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_url_names_a_host_and_no_user() {
        assert!(url("https://hooks.example.org/alarms?team=ml").is_ok());
        assert!(url("http://[::1]:8000/").is_ok());
        for wrong in ["", "hooks.example.org", "ftp://x/", "https://u:p@x/", "/x"] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }
}
