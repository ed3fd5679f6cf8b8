//! `aliases.toml`.

use serde::Deserialize;

use super::entries;
use crate::domain::{
    folder::{AliasTarget, DesiredAlias, MovedBy},
    model::{alias::PREVIOUS, check_name},
    problem::Problem,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AliasEntry {
    version: AliasVersion,
    moved_by: String,
    coverage: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "write \"folder\", or the number of a version")]
enum AliasVersion {
    Number(i32),
    Word(String),
}

/// Reads `aliases.toml`: `[MODEL.ALIAS]`.
///
/// # Errors
/// All its mistakes.
pub fn aliases(text: &str) -> Result<Vec<DesiredAlias>, Vec<Problem>> {
    entries(text, |model, alias, raw: AliasEntry| {
        let mut problems = Vec::new();
        problems.extend(check_name("a model", model).err());
        problems.extend(check_name("an alias", alias).err());
        let mut wrong = |place: &str, message: String, help: &str| {
            problems.push(Problem::new("folder.alias", message).at(place).help(help));
        };
        if alias == PREVIOUS {
            let help = "move `champion`: `previous` is always the version before it";
            wrong(
                "alias",
                "the alias `previous` can't be set".to_owned(),
                help,
            );
        }
        let target = match raw.version {
            AliasVersion::Number(number) if number > 0 => AliasTarget::Number(number),
            AliasVersion::Word(word) if word == "folder" => AliasTarget::Folder,
            _ => {
                let help = "write \"folder\" for the folder's version, or a version's number";
                wrong("version", "invalid version".to_owned(), help);
                AliasTarget::Folder
            }
        };
        let moved_by = match raw.moved_by.as_str() {
            "git" => MovedBy::Git,
            "people" => MovedBy::People,
            other => {
                let help = "write \"git\" if every apply moves the alias, or \"people\"";
                wrong("moved_by", format!("invalid value `{other}`"), help);
                MovedBy::People
            }
        };
        let coverage = raw.coverage.unwrap_or_else(|| "when_covered".to_owned());
        if !["full", "when_covered", "now"].contains(&coverage.as_str()) {
            let help = "write full, when_covered or now, as for `helenus model promote`";
            wrong("coverage", format!("invalid value `{coverage}`"), help);
        }
        match problems.is_empty() {
            true => Ok(DesiredAlias {
                model: model.to_owned(),
                alias: alias.to_owned(),
                target,
                moved_by,
                coverage,
            }),
            false => Err(problems),
        }
    })
}
