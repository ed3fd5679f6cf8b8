//! Artifacts: files beside a version's model that its inputs or outputs need.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{
    names::nearest,
    printable::printable,
    problem::Problem,
    tokenizer::{Tokenizer, TokenizerFacts},
};

/// Largest size of an artifact in bytes; it is read into memory.
pub const MAX_ARTIFACT: usize = 64 << 20;
/// Largest number of artifacts of a version.
pub const MAX_ARTIFACTS: usize = 16;
/// Largest number of labels in a list.
const MAX_LABELS: usize = 1 << 20;
/// Longest label in bytes.
const MAX_LABEL: usize = 1 << 10;

/// An artifact that was admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// sha256 of its bytes.
    #[serde(with = "hex::serde")]
    pub sha256: [u8; 32],
    /// Size in bytes.
    pub size: u64,
    #[serde(flatten)]
    pub kind: ArtifactKind,
}

/// What an artifact is, found from its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ArtifactKind {
    /// A `tokenizer.json`.
    Tokenizer {
        /// `WordPiece`, `BPE`, `Unigram` or `WordLevel`.
        model: String,
        /// Number of its tokens.
        tokens: usize,
        /// The largest id that it can give.
        max_id: u32,
    },
    /// A list of labels.
    Labels {
        /// Their number.
        labels: usize,
    },
    /// Another JSON object, such as a `preprocessor_config.json`.
    Json,
}

/// The content of an artifact.
#[derive(Debug, Clone)]
pub enum ArtifactContent {
    Tokenizer(Arc<Tokenizer>),
    Labels(Arc<[String]>),
    Json,
}

/// A version's artifacts by name, as compilation uses them.
#[derive(Debug, Clone, Default)]
pub struct Artifacts(pub BTreeMap<String, LoadedArtifact>);

/// An artifact with its content.
#[derive(Debug, Clone)]
pub struct LoadedArtifact {
    /// sha256 of its bytes.
    pub sha256: [u8; 32],
    pub content: ArtifactContent,
}

impl ArtifactKind {
    /// Returns what it is, for people.
    pub fn described(&self) -> String {
        match self {
            Self::Tokenizer { model, tokens, .. } => {
                format!("tokenizer ({} of {tokens} tokens)", printable(model))
            }
            Self::Labels { labels } => format!("{labels} labels"),
            Self::Json => "JSON".to_owned(),
        }
    }
}

impl ArtifactContent {
    /// Reads an artifact: `tokenizer.json`, a list of labels (a JSON list of texts, or a text with
    /// one label per line), or another JSON object.
    ///
    /// # Errors
    /// `artifact.size`, `artifact.tokenizer`, `artifact.labels` or `artifact.unknown`.
    pub fn read(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.len() > MAX_ARTIFACT {
            return Err(too_big(bytes.len() as u64));
        }
        let start = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        match start {
            Some(b'{') if Tokenizer::is_outlined(bytes) => {
                let tokenizer = Tokenizer::parse(bytes)?;
                Ok(Self::Tokenizer(Arc::new(tokenizer)))
            }
            // Depth is limited by the parser.
            Some(b'{') => match serde_json::from_slice::<Value>(bytes) {
                Ok(_) => Ok(Self::Json),
                Err(error) => Err(unknown(&error.to_string())),
            },
            Some(b'[') => match serde_json::from_slice::<Vec<String>>(bytes) {
                Ok(labels) => checked_labels(labels),
                Err(error) => Err(bad_labels(&error.to_string())),
            },
            Some(_) => match std::str::from_utf8(bytes) {
                Ok(text) => checked_labels(text.lines().map(str::to_owned).collect()),
                Err(_) => Err(unknown("it is neither JSON nor text in UTF-8")),
            },
            None => Err(unknown("it is empty")),
        }
    }

    /// Returns what admission records.
    pub fn kind(&self) -> ArtifactKind {
        match self {
            Self::Tokenizer(tokenizer) => {
                let TokenizerFacts {
                    model,
                    tokens,
                    max_id,
                    ..
                } = tokenizer.facts().clone();
                ArtifactKind::Tokenizer {
                    model,
                    tokens,
                    max_id,
                }
            }
            Self::Labels(labels) => ArtifactKind::Labels {
                labels: labels.len(),
            },
            Self::Json => ArtifactKind::Json,
        }
    }
}

impl Artifacts {
    /// Returns a tokenizer by name.
    ///
    /// # Errors
    /// `job.artifact`: no such artifact, or it is something else.
    pub fn tokenizer(&self, name: &str) -> Result<(&Arc<Tokenizer>, [u8; 32]), Problem> {
        let artifact = self.named(name)?;
        match &artifact.content {
            ArtifactContent::Tokenizer(tokenizer) => Ok((tokenizer, artifact.sha256)),
            other => Err(other_kind(name, "a tokenizer", &other.kind())),
        }
    }

    /// Returns a list of labels by name.
    ///
    /// # Errors
    /// `job.artifact`: no such artifact, or it is something else.
    pub fn labels(&self, name: &str) -> Result<&Arc<[String]>, Problem> {
        match &self.named(name)?.content {
            ArtifactContent::Labels(labels) => Ok(labels),
            other => Err(other_kind(name, "a list of labels", &other.kind())),
        }
    }

    fn named(&self, name: &str) -> Result<&LoadedArtifact, Problem> {
        self.0.get(name).ok_or_else(|| {
            let problem = Problem::new("job.artifact", format!("there is no artifact `{name}`"));
            let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            problem.help(match (nearest(name, known.iter().copied()), &*known) {
                (Some(near), _) => format!("did you mean `{near}`?"),
                (None, []) => format!("push the version with --artifact {name}=FILE"),
                (None, known) => format!("the version has {}", known.join(", ")),
            })
        })
    }
}

/// Checks the name of an artifact.
///
/// # Errors
/// `artifact.name`.
pub fn check_artifact_name(name: &str) -> Result<(), Problem> {
    let is_known =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.');
    let is_valid = name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(is_known)
        && name.len() <= 64;
    if is_valid {
        return Ok(());
    }
    let message = format!("`{}` is not a valid name for an artifact", printable(name));
    let help = "use letters, digits, `_`, `-` and `.`, starting with a letter or digit; 64 at most";
    Err(Problem::new("artifact.name", message).help(help))
}

/// The artifact exceeds [`MAX_ARTIFACT`].
pub fn too_big(size: u64) -> Problem {
    let message = format!("the artifact has {size} bytes; the limit is {MAX_ARTIFACT}");
    Problem::new("artifact.size", message)
}

fn checked_labels(labels: Vec<String>) -> Result<ArtifactContent, Problem> {
    if labels.is_empty() || labels.len() > MAX_LABELS {
        let (got, most) = (labels.len(), MAX_LABELS);
        return Err(bad_labels(&format!(
            "it has {got}; from 1 to {most} are possible"
        )));
    }
    for (at, label) in labels.iter().enumerate() {
        let why = match label {
            empty if empty.trim().is_empty() => "is empty",
            long if long.len() > MAX_LABEL => "is longer than 1,024 bytes",
            odd if odd.chars().any(char::is_control) => "has a control character",
            _ => continue,
        };
        return Err(bad_labels(&format!("label {} {why}", at + 1)));
    }
    Ok(ArtifactContent::Labels(labels.into()))
}

fn bad_labels(why: &str) -> Problem {
    Problem::new("artifact.labels", format!("not a list of labels: {why}")).help(
        "write one label per line, in the order of the model's outputs, or a JSON list of texts",
    )
}

fn unknown(why: &str) -> Problem {
    Problem::new(
        "artifact.unknown",
        format!("the artifact cannot be read: {why}"),
    )
    .help("an artifact is a tokenizer.json, a list of labels or another JSON object")
}

fn other_kind(name: &str, wanted: &str, found: &ArtifactKind) -> Problem {
    let message = format!(
        "artifact `{name}` is not {wanted}, but {}",
        found.described()
    );
    Problem::new("job.artifact", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bytes: &[u8]) -> Result<ArtifactKind, String> {
        let content = ArtifactContent::read(bytes);
        content.map(|it| it.kind()).map_err(|problem| problem.code)
    }

    #[test]
    fn the_content_says_what_an_artifact_is() {
        assert_eq!(kind(b"cat\ndog\n"), Ok(ArtifactKind::Labels { labels: 2 }));
        assert_eq!(kind(br#" ["cat"]"#), Ok(ArtifactKind::Labels { labels: 1 }));
        assert_eq!(kind(br#"{"size": 224}"#), Ok(ArtifactKind::Json));
        for (bytes, code) in [
            (&b""[..], "artifact.unknown"),
            (b"\xff\xfe", "artifact.unknown"),
            (b"{\"a\"", "artifact.unknown"),
            (b"[1]", "artifact.labels"),
            (b"cat\n\ndog", "artifact.labels"),
        ] {
            assert_eq!(kind(bytes), Err(code.to_owned()));
        }
        let deep = [b"{\"a\":".repeat(100_000), b"1".to_vec()].concat();
        assert_eq!(kind(&deep), Err("artifact.unknown".to_owned()));
    }

    #[test]
    fn names_are_safe_as_file_names() {
        for good in ["minilm", "tokenizer.json", "a-b_c"] {
            assert!(check_artifact_name(good).is_ok());
        }
        for bad in ["", ".hidden", "../x", "a/b", "ä", &"a".repeat(65)] {
            assert!(check_artifact_name(bad).is_err(), "{bad}");
        }
    }
}
