//! Tokens of callers of `helenus serve`: who may call, and what they may do.

mod edit;
mod file;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::spelling::spelled;
use crate::codec::utc;

pub use edit::{append, remove};
pub use file::parse;

/// First characters of every token, by which scanners of leaked secrets find it.
pub const PREFIX: &str = "hst_";

/// What a caller may be permitted to do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Get predictions.
    Score,
    /// Read jobs, models and runs.
    Read,
    /// Ask for runs and cancel them.
    Run,
    /// Promote and roll back.
    Promote,
    /// Approve what a gate waits for.
    Approve,
}

// In the order in which they are listed.
spelled! {
    Right {
        Score => "score",
        Read => "read",
        Run => "run",
        Promote => "promote",
        Approve => "approve",
    }
}

impl Right {
    /// Returns all words, as help texts list them.
    pub fn words() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

/// An entry of `tokens.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenEntry {
    /// Unique within the file; written to `requested_by`.
    pub name: String,
    /// SHA-256 of the token as callers send it.
    pub sha256: [u8; 32],
    pub rights: Vec<Right>,
    /// Only these jobs; `None`: all.
    pub jobs: Option<Vec<String>>,
    /// Only these models; `None`: all.
    pub models: Option<Vec<String>>,
    /// First moment at which the token is not accepted; `None`: it does not expire.
    pub expires: Option<DateTime<Utc>>,
}

impl TokenEntry {
    /// Returns whether the token is not accepted any more at `now`.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Renders the entry as `tokens.toml` has it, with a line break at the end.
    pub fn render(&self) -> String {
        let rights = self.rights.iter().map(|right| right.as_str());
        let mut text = format!(
            "[[token]]\nname = {}\nsha256 = \"{}\"\nrights = {}\n",
            quoted(&self.name),
            hex::encode(self.sha256),
            list(rights)
        );
        let names = [("jobs", &self.jobs), ("models", &self.models)];
        for (key, names) in names {
            if let Some(names) = names {
                let names = list(names.iter().map(String::as_str));
                text.push_str(&format!("{key} = {names}\n"));
            }
        }
        if let Some(expires) = self.expires {
            let time = utc::to_second(expires);
            text.push_str(&format!("expires = {time}\n"));
        }
        text
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.map(quoted).collect();
    format!("[{}]", words.join(", "))
}

/// Returns the hash by which a token is known.
pub fn sha256(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Returns a token made of 32 random bytes, which must come from a cryptographic generator.
pub fn token(random: [u8; 32]) -> String {
    format!("{PREFIX}{}", hex::encode(random))
}

/// Checks a token's name, which appears in logs and in rows.
///
/// # Errors
/// The permitted form.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_permitted = |c: char| c.is_ascii_alphanumeric() || "_-.@".contains(c);
    if !name.is_empty() && name.len() <= 64 && name.chars().all(is_permitted) {
        return Ok(());
    }
    Err(format!(
        "invalid name `{name}`: use up to 64 of a-z, A-Z, 0-9, `_`, `-`, `.` and `@`"
    ))
}
