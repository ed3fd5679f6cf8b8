//! `model_versions`: versions that users register, each written once, after its chunks.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use scylla::{DeserializeRow, SerializeRow, value::CqlTimestamp};
use sha2::{Digest, Sha256};

use super::chunks::{Blob, CHUNK};
use crate::{
    domain::model::artifact::{MAX_ARTIFACTS, check_artifact_name},
    store::{
        Store,
        driver::{
            codec::encode,
            columns::{Cell, insert},
            error::StoreError,
        },
    },
};

const COLUMNS: &str = "name, version, format, sha256, size, chunks, feature_names, class_names, golden_sha256, rtol, atol, widths, accepts, artifacts, tags, metrics, note, registered_by, registered_at";
/// A row as the client wrote it; only its key is certain to be valid.
#[derive(Debug, Clone, Default, PartialEq, DeserializeRow, SerializeRow)]
pub struct VersionRow {
    pub name: String,
    pub version: i32,
    /// `onnx`.
    pub format: Option<String>,
    pub sha256: Option<Vec<u8>>,
    pub size: Option<i64>,
    pub chunks: Option<i32>,
    pub feature_names: Option<Vec<String>>,
    pub class_names: Option<Vec<String>>,
    pub golden_sha256: Option<Vec<u8>>,
    pub rtol: Option<f64>,
    pub atol: Option<f64>,
    /// Deviations that the registrar accepts although admission would reject them.
    pub accepts: Option<BTreeSet<String>>,
    pub tags: Option<BTreeMap<String, String>>,
    pub metrics: Option<BTreeMap<String, f64>>,
    pub note: Option<String>,
    pub registered_by: Option<String>,
    pub registered_at: Option<CqlTimestamp>,
    /// Values per row of inputs whose width the file leaves open, by name.
    pub widths: Option<BTreeMap<String, i32>>,
    /// sha256 of files that inputs or outputs need, by name; their bytes are chunks, as the model's.
    pub artifacts: Option<BTreeMap<String, Vec<u8>>>,
}

impl VersionRow {
    /// Returns the file that the row names.
    ///
    /// # Errors
    /// Everything that is missing or invalid, one sentence each.
    pub fn blob(&self) -> Result<Blob, Vec<String>> {
        let mut wrong = Vec::new();
        if self.format.as_deref() != Some("onnx") {
            wrong.push(match &self.format {
                None => "format is null; it must be 'onnx'".to_owned(),
                Some(other) => format!("format is '{other}'; only 'onnx' is known"),
            });
        }
        let sha256 = self
            .sha256
            .as_deref()
            .and_then(|sha| <[u8; 32]>::try_from(sha).ok());
        if sha256.is_none() {
            wrong.push(match &self.sha256 {
                None => "sha256 is null".to_owned(),
                Some(other) => format!("sha256 has {} bytes instead of 32", other.len()),
            });
        }
        let size = self
            .size
            .and_then(|size| u64::try_from(size).ok())
            .filter(|size| *size > 0);
        if size.is_none() {
            wrong.push(format!(
                "size is {}; it must be the number of bytes",
                or_null(self.size)
            ));
        }
        let chunks = self.chunks.filter(|chunks| *chunks > 0);
        if chunks.is_none() {
            wrong.push(format!(
                "chunks is {}; it must be their number",
                or_null(self.chunks)
            ));
        }
        for (input, width) in self.widths.iter().flatten() {
            if *width < 1 {
                wrong.push(format!("widths: `{input}` is {width}; it must be from 1"));
            }
        }
        for (name, sha256) in self.artifacts.iter().flatten() {
            if let Err(problem) = check_artifact_name(name) {
                wrong.push(format!("artifacts: {}", problem.message));
            }
            if sha256.len() != 32 {
                wrong.push(format!(
                    "artifacts: the sha256 of `{name}` is not 32 bytes long"
                ));
            }
        }
        let artifacts = self.artifacts.as_ref().map_or(0, BTreeMap::len);
        if artifacts > MAX_ARTIFACTS {
            wrong.push(format!(
                "artifacts has {artifacts}; the limit is {MAX_ARTIFACTS}"
            ));
        }
        if self
            .golden_sha256
            .as_ref()
            .is_some_and(|sha| sha.len() != 32)
        {
            wrong.push("golden_sha256 is not 32 bytes long".to_owned());
        }
        if let (Some(sha256), Some(size), Some(chunks)) = (sha256, size, chunks) {
            let blob = Blob::of_size(sha256, size);
            if blob.chunks != chunks {
                wrong.push(format!(
                    "chunks is {chunks}; {size} bytes are {} chunks of {CHUNK} bytes",
                    blob.chunks
                ));
            } else if wrong.is_empty() {
                return Ok(blob);
            }
        }
        Err(wrong)
    }

    /// Returns the sha256 over the columns that are not null, each with its name. A version whose
    /// row has another hash than when it was admitted was altered. Columns that later schemas add
    /// change the hash only if they are not null.
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut feed = |column: &str, value: Option<Vec<u8>>| {
            if let Some(value) = value {
                hash.update(encode(&(column, value)));
            }
        };
        feed("name", Some(encode(&self.name)));
        feed("version", Some(encode(&self.version)));
        feed("format", self.format.as_ref().map(encode_one));
        feed("sha256", self.sha256.clone());
        feed("size", self.size.as_ref().map(encode_one));
        feed("chunks", self.chunks.as_ref().map(encode_one));
        feed("feature_names", self.feature_names.as_ref().map(encode_one));
        feed("class_names", self.class_names.as_ref().map(encode_one));
        feed("golden_sha256", self.golden_sha256.clone());
        feed("rtol", self.rtol.as_ref().map(encode_one));
        feed("atol", self.atol.as_ref().map(encode_one));
        feed("accepts", self.accepts.as_ref().map(encode_one));
        feed("tags", self.tags.as_ref().map(encode_one));
        feed("metrics", self.metrics.as_ref().map(encode_one));
        feed("note", self.note.as_ref().map(encode_one));
        feed("registered_by", self.registered_by.as_ref().map(encode_one));
        feed("registered_at", self.registered_at.map(|at| encode(&at.0)));
        feed("widths", self.widths.as_ref().map(encode_one));
        feed("artifacts", self.artifacts.as_ref().map(encode_one));
        hash.finalize().into()
    }

    /// Returns the sha256 of each artifact, by name; one of another length is left out.
    pub fn artifact_shas(&self) -> BTreeMap<String, [u8; 32]> {
        let artifacts = self.artifacts.iter().flatten();
        artifacts
            .filter_map(|(name, sha256)| Some((name.clone(), sha256.as_slice().try_into().ok()?)))
            .collect()
    }

    /// Returns when it was registered, for users.
    pub fn registered_at(&self) -> Option<DateTime<Utc>> {
        self.registered_at.cell()
    }
}

fn encode_one<T: serde::Serialize>(value: &T) -> Vec<u8> {
    encode(value)
}

fn or_null(number: Option<impl std::fmt::Display>) -> String {
    number.map_or_else(|| "null".to_owned(), |number| number.to_string())
}

impl Store {
    /// Writes the row as the model's next version, registered now, and returns its number. The
    /// row's `version` and `registered_at` are ignored.
    ///
    /// # Errors
    /// As [`Store::apply`], if the row cannot be read back either.
    pub async fn insert_version(&self, mut row: VersionRow) -> Result<i32, StoreError> {
        let cql = insert("model_versions", COLUMNS) + " IF NOT EXISTS";
        row.registered_at = Some(Utc::now().into());
        loop {
            row.version = self.last_version(&row.name).await? + 1;
            let read_back = async {
                let standing = self.serial_version(&row.name, row.version).await?;
                Ok(standing.map(|standing| standing == row))
            };
            if self.apply_or_read_back(&cql, &row, read_back).await? {
                return Ok(row.version);
            }
            // Another process pushed meanwhile.
        }
    }

    /// Writes the row under its own number unless that is taken, registered now. Returns the stored
    /// row.
    ///
    /// # Errors
    /// Errors of Cassandra; call it again.
    pub async fn insert_reserved_version(
        &self,
        mut row: VersionRow,
    ) -> Result<VersionRow, StoreError> {
        let cql = insert("model_versions", COLUMNS) + " IF NOT EXISTS";
        row.registered_at = Some(Utc::now().into());
        self.apply_ignoring_unknown(&cql, &row).await?;
        let stored = self.serial_version(&row.name, row.version).await?;
        stored.ok_or_else(|| StoreError::unknown("the version was not written", &cql))
    }

    /// Returns the highest number of a version; 0 without one.
    pub async fn last_version(&self, name: &str) -> Result<i32, StoreError> {
        const LAST: &str = "SELECT version FROM model_versions WHERE name = ? LIMIT 1";
        let last: Option<(i32,)> = self.serial_row(LAST, (name,)).await?;
        Ok(last.map_or(0, |(version,)| version.max(0)))
    }

    async fn serial_version(
        &self,
        name: &str,
        version: i32,
    ) -> Result<Option<VersionRow>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM model_versions WHERE name = ? AND version = ?");
        self.serial_row(&cql, (name, version)).await
    }

    pub async fn version(
        &self,
        name: &str,
        version: i32,
    ) -> Result<Option<VersionRow>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM model_versions WHERE name = ? AND version = ?");
        self.row(&cql, (name, version)).await
    }

    /// Returns all versions of a model, newest first.
    pub async fn versions(&self, name: &str) -> Result<Vec<VersionRow>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM model_versions WHERE name = ?");
        self.rows(&cql, (name,)).await
    }

    /// Returns the names of all models that have a version row. Reads one row of each partition of
    /// a small table.
    pub async fn models(&self) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = self
            .rows("SELECT DISTINCT name FROM model_versions", ())
            .await?;
        let mut names: Vec<_> = rows.into_iter().map(|(name,)| name).collect();
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> VersionRow {
        VersionRow {
            name: "tumour".to_owned(),
            version: 1,
            format: Some("onnx".to_owned()),
            sha256: Some(vec![7; 32]),
            size: Some(10),
            chunks: Some(1),
            ..VersionRow::default()
        }
    }

    #[test]
    fn any_altered_column_shows_in_the_hash() {
        let altered = [
            VersionRow {
                version: 2,
                ..row()
            },
            VersionRow {
                size: Some(11),
                ..row()
            },
            VersionRow {
                accepts: Some(["shape_differs".to_owned()].into()),
                ..row()
            },
            VersionRow {
                feature_names: Some(vec![]),
                ..row()
            },
            VersionRow {
                feature_names: Some(vec!["a".to_owned()]),
                ..row()
            },
            VersionRow {
                class_names: Some(vec!["a".to_owned()]),
                ..row()
            },
            VersionRow {
                rtol: Some(0.0),
                ..row()
            },
            VersionRow {
                atol: Some(0.0),
                ..row()
            },
            VersionRow {
                note: Some(String::new()),
                ..row()
            },
            VersionRow {
                widths: Some(BTreeMap::from([("ids".to_owned(), 16)])),
                ..row()
            },
            VersionRow {
                artifacts: Some(BTreeMap::from([("labels".to_owned(), vec![7; 32])])),
                ..row()
            },
        ];
        let mut hashes: Vec<_> = altered.iter().map(VersionRow::hash).collect();
        hashes.push(row().hash());
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), altered.len() + 1);
    }

    #[test]
    fn a_row_by_hand_is_told_all_that_it_lacks() {
        assert!(row().blob().is_ok());
        let bare = VersionRow {
            name: "tumour".to_owned(),
            version: 1,
            ..VersionRow::default()
        };
        assert_eq!(bare.blob().unwrap_err().len(), 4);
        let odd = VersionRow {
            format: Some("pmml".to_owned()),
            sha256: Some(vec![1]),
            size: Some(-1),
            chunks: Some(0),
            golden_sha256: Some(vec![]),
            widths: Some(BTreeMap::from([("ids".to_owned(), 0)])),
            artifacts: Some(BTreeMap::from([("../labels".to_owned(), vec![7])])),
            ..bare
        };
        assert_eq!(odd.blob().unwrap_err().len(), 8);
        let many = VersionRow {
            chunks: Some(2),
            ..row()
        };
        let told = many.blob().unwrap_err();
        assert!(told[0].contains("1 chunks of 524288"), "{told:?}");
    }
}
