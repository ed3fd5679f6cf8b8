//! How people name a model of MLflow.

use std::path::PathBuf;

use crate::{domain::problem::Problem, failure::Failure};

/// A model of MLflow by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MlflowSource {
    Folder(PathBuf),
    Version { name: String, version: String },
    Alias { name: String, alias: String },
}

impl MlflowSource {
    /// Reads `mlflow:models:/NAME@ALIAS`, `mlflow:models:/NAME/VERSION`, or a folder.
    ///
    /// # Errors
    /// Exit 2: none of them.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let Some(uri) = text.strip_prefix("mlflow:") else {
            return Ok(Self::Folder(text.into()));
        };
        let wrong =
            || {
                let problem = Problem::new("mlflow.source", format!("invalid source `{text}`"));
                Failure::input(problem.help(
                    "write mlflow:models:/NAME@ALIAS, mlflow:models:/NAME/VERSION, or a folder",
                ))
            };
        let model = uri.strip_prefix("models:/").ok_or_else(wrong)?;
        let source = match (model.split_once('@'), model.split_once('/')) {
            (Some((name, alias)), _) => Self::Alias {
                name: name.to_owned(),
                alias: alias.to_owned(),
            },
            (None, Some((name, version))) if version.chars().all(|c| c.is_ascii_digit()) => {
                Self::Version {
                    name: name.to_owned(),
                    version: version.to_owned(),
                }
            }
            _ => return Err(wrong()),
        };
        match &source {
            Self::Alias { name, alias } if name.is_empty() || alias.is_empty() => Err(wrong()),
            Self::Version { name, version } if name.is_empty() || version.is_empty() => {
                Err(wrong())
            }
            _ => Ok(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_version_an_alias_or_a_folder() {
        let version = |name: &str, version: &str| MlflowSource::Version {
            name: name.to_owned(),
            version: version.to_owned(),
        };
        let alias = MlflowSource::Alias {
            name: "a b".to_owned(),
            alias: "champion".to_owned(),
        };
        let parse = |text: &str| MlflowSource::parse(text).unwrap();
        assert_eq!(parse("mlflow:models:/tumour/3"), version("tumour", "3"));
        assert_eq!(parse("mlflow:models:/a b@champion"), alias);
        assert_eq!(parse("runs/x"), MlflowSource::Folder("runs/x".into()));
        for wrong in [
            "mlflow:tumour",
            "mlflow:models:/tumour",
            "mlflow:models:/tumour/latest",
            "mlflow:models:/@x",
            "mlflow:models:/x@",
            "mlflow:models://3",
        ] {
            assert!(MlflowSource::parse(wrong).is_err(), "{wrong}");
        }
    }
}
