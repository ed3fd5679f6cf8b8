//! `admissions`: the worker's decision about each version. Planning, promotion and scoring trust
//! these rows, but only while the version row is still the one that was admitted.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use scylla::{DeserializeRow, value::CqlTimestamp};

use super::models::VersionRow;
use crate::{
    domain::{
        model::{AdmissionState, Admitted, ReadyVersion},
        problem::Problem,
    },
    process,
    store::{
        Store,
        driver::{
            columns::{Cell, insert, update},
            error::StoreError,
            names::MODEL,
        },
    },
};

const TABLE: &str = "admissions";
const COLUMNS: &str = "version, state, sha256, reason, warnings, signature, feature_names, class_names, class_names_source, opsets, runtime_version, admitted, version_row_hash, decided_by, decided_at";
const MOVE: &str = "UPDATE admissions SET state = ?, reason = ?, decided_by = ?, decided_at = ? WHERE name = ? AND version = ? IF state = ?";

/// A row of `admissions`.
#[derive(Debug, Clone, PartialEq)]
pub struct Admission {
    pub version: i32,
    pub state: AdmissionState,
    /// sha256 of the bytes that were examined.
    pub sha256: Option<Vec<u8>>,
    /// Why it was rejected, retired or found altered.
    pub reason: Option<String>,
    pub warnings: Vec<String>,
    /// Inputs and outputs, as text for users.
    pub signature: Option<String>,
    /// Names of the features at each position of wide inputs.
    pub feature_names: Vec<String>,
    pub class_names: Vec<String>,
    /// Where the class names come from.
    pub class_names_source: Option<String>,
    pub opsets: BTreeMap<String, i64>,
    /// Version of the ONNX Runtime that examined it.
    pub runtime_version: Option<String>,
    /// Facts that planning and scoring use; set for ready, retired and tampered versions.
    pub admitted: Option<Admitted>,
    /// [`VersionRow::hash`] of the row that was admitted.
    pub version_row_hash: Option<Vec<u8>>,
    pub decided_by: Option<String>,
    pub decided_at: Option<CqlTimestamp>,
}

impl Admission {
    /// Returns when it was decided, for users.
    pub fn decided_at(&self) -> Option<DateTime<Utc>> {
        self.decided_at.cell()
    }
}

/// Admission's decision about a version row.
#[derive(Debug, Clone)]
pub enum Decision {
    /// The version may score.
    Ready(Box<Admitted>),
    /// The version must not score, for this reason.
    Rejected {
        /// All problems in one text, for users.
        reason: String,
        /// Version of the library that examined it, if one did.
        runtime_version: Option<String>,
    },
}

/// Whether a version may score.
#[derive(Debug, Clone, PartialEq)]
pub enum Readiness {
    Ready(Box<ReadyVersion>),
    /// The version does not exist.
    Missing,
    /// No worker has decided yet.
    Undecided,
    /// Admission rejected it, for this reason.
    Rejected(String),
    /// It was taken out of service.
    Retired,
    /// Its row or its chunks are not what was admitted.
    Tampered(String),
}

impl Readiness {
    /// Returns why the version must not score, or `None` if it may.
    pub fn problem(&self, model: &str, version: i32) -> Option<Problem> {
        let name = format!("version {version} of model `{model}`");
        Some(match self {
            Self::Ready(_) => return None,
            Self::Missing => Problem::new("model.no_version", format!("there is no {name}")).help(
                format!("`helenus model list {model}` shows those there are"),
            ),
            Self::Undecided => {
                Problem::new("model.undecided", format!("{name} is not admitted yet"))
                    .help("a worker decides within a minute; `helenus worker --once` does it now")
            }
            Self::Rejected(reason) => {
                Problem::new("model.rejected", format!("{name} was rejected: {reason}"))
            }
            Self::Retired => Problem::new("model.retired", format!("{name} is retired")),
            Self::Tampered(reason) => Problem::new(
                "model.tampered",
                format!("{name} is not what was admitted: {reason}"),
            )
            .help("push the file again as a new version"),
        })
    }
}

#[derive(DeserializeRow)]
struct AdmissionColumns {
    version: i32,
    state: Option<String>,
    sha256: Option<Vec<u8>>,
    reason: Option<String>,
    warnings: Option<Vec<String>>,
    signature: Option<String>,
    feature_names: Option<Vec<String>>,
    class_names: Option<Vec<String>>,
    class_names_source: Option<String>,
    opsets: Option<BTreeMap<String, i64>>,
    runtime_version: Option<String>,
    admitted: Option<String>,
    version_row_hash: Option<Vec<u8>>,
    decided_by: Option<String>,
    decided_at: Option<CqlTimestamp>,
}

impl TryFrom<AdmissionColumns> for Admission {
    type Error = StoreError;

    fn try_from(row: AdmissionColumns) -> Result<Self, StoreError> {
        let corrupt = |detail: String| {
            StoreError::corrupt(
                format!("admission of version {}: {detail}", row.version),
                TABLE,
            )
        };
        let state = row.state.clone().unwrap_or_default();
        let admitted = match &row.admitted {
            None => None,
            Some(json) => {
                Some(serde_json::from_str(json).map_err(|error| corrupt(error.to_string()))?)
            }
        };
        Ok(Self {
            version: row.version,
            state: state.parse().map_err(corrupt)?,
            sha256: row.sha256,
            reason: row.reason,
            warnings: row.warnings.unwrap_or_default(),
            signature: row.signature,
            feature_names: row.feature_names.unwrap_or_default(),
            class_names: row.class_names.unwrap_or_default(),
            class_names_source: row.class_names_source,
            opsets: row.opsets.unwrap_or_default(),
            runtime_version: row.runtime_version,
            admitted,
            version_row_hash: row.version_row_hash,
            decided_by: row.decided_by,
            decided_at: row.decided_at,
        })
    }
}

impl Store {
    /// Returns the admission of a version, after every decided conditional write.
    pub async fn admission(
        &self,
        name: &str,
        version: i32,
    ) -> Result<Option<Admission>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM admissions WHERE name = ? AND version = ?");
        let row: Option<AdmissionColumns> = self.serial_row(&cql, (name, version)).await?;
        row.map(Admission::try_from).transpose()
    }

    /// Returns the admissions of all versions of a model, newest first.
    pub async fn admissions(&self, name: &str) -> Result<Vec<Admission>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM admissions WHERE name = ?");
        let rows: Vec<AdmissionColumns> = self.rows(&cql, (name,)).await?;
        rows.into_iter().map(Admission::try_from).collect()
    }

    /// Writes a decision about the version in `row`, and returns the stored admission: another
    /// worker's, if that was faster. `over` is the admission that this one replaces (a library of
    /// another minor version examined the version again); `None`: there was none.
    ///
    /// # Errors
    /// As [`Store::apply`], if the admission cannot be read back either.
    pub async fn decide(
        &self,
        row: &VersionRow,
        decision: &Decision,
        over: Option<&Admission>,
    ) -> Result<Admission, StoreError> {
        self.note_name(MODEL, &row.name).await?;
        let (state, reason, admitted) = match decision {
            Decision::Ready(admitted) => (AdmissionState::Ready, None, Some(admitted)),
            Decision::Rejected { reason, .. } => (AdmissionState::Rejected, Some(reason), None),
        };
        let runtime_version = match decision {
            Decision::Ready(admitted) => Some(&admitted.runtime_version),
            Decision::Rejected {
                runtime_version, ..
            } => runtime_version.as_ref(),
        };
        let classes = admitted.and_then(|admitted| {
            let mut outputs = admitted.signature.outputs.iter();
            outputs.find_map(|output| output.classes.as_ref())
        });
        let columns = Columns {
            name: &row.name,
            version: row.version,
            state: state.to_string(),
            sha256: row.sha256.as_deref(),
            reason,
            warnings: admitted.map(|admitted| &admitted.warnings),
            signature: admitted.map(|admitted| admitted.signature.to_string()),
            feature_names: admitted.map(|admitted| &admitted.feature_names),
            class_names: classes.map(|classes| &classes.names),
            class_names_source: classes.map(|classes| classes.source.to_string()),
            opsets: admitted.map(|admitted| &admitted.opsets),
            runtime_version,
            admitted: admitted
                .map(serde_json::to_string)
                .transpose()
                .map_err(|error| StoreError::corrupt(error.to_string(), TABLE))?,
            version_row_hash: row.hash(),
            decided_by: process::readable(process::identity()),
            decided_at: Utc::now(),
        };
        let all = format!("name, {COLUMNS}");
        match over {
            None => {
                let cql = insert(TABLE, &all) + " IF NOT EXISTS";
                self.apply_ignoring_unknown(&cql, &columns).await?;
            }
            Some(over) => {
                let again = Again {
                    columns: &columns,
                    over_state: over.state.to_string(),
                    over_decided_at: over.decided_at,
                };
                let condition = "state = :over_state AND decided_at = :over_decided_at";
                let cql = update(TABLE, &all, &["name", "version"], condition);
                self.apply_ignoring_unknown(&cql, &again).await?;
            }
        }
        let standing = self.admission(&row.name, row.version).await?;
        standing.ok_or_else(|| StoreError::unknown("the admission was not written", TABLE))
    }

    /// Moves an admission from one state to another; returns `false` if it was not in the first.
    ///
    /// # Errors
    /// As [`Store::apply`], if the admission cannot be read back either.
    pub async fn move_admission(
        &self,
        name: &str,
        version: i32,
        from: AdmissionState,
        to: AdmissionState,
        reason: Option<&str>,
    ) -> Result<bool, StoreError> {
        let by = process::readable(process::identity());
        let values = (
            to.to_string(),
            reason,
            by,
            Utc::now(),
            name,
            version,
            from.to_string(),
        );
        self.apply_or_read_back(MOVE, values, async {
            let standing = self.admission(name, version).await?;
            Ok(Some(
                standing.is_some_and(|admission| admission.state == to),
            ))
        })
        .await
    }

    /// Returns whether a version may score now. A row that was altered since its admission is
    /// reported as tampered, whatever its admission says.
    pub async fn readiness(&self, name: &str, version: i32) -> Result<Readiness, StoreError> {
        let Some(row) = self.version(name, version).await? else {
            return Ok(Readiness::Missing);
        };
        let Some(admission) = self.admission(name, version).await? else {
            return Ok(Readiness::Undecided);
        };
        let reason = || admission.reason.clone().unwrap_or_default();
        Ok(match (admission.state, admission.admitted) {
            (AdmissionState::Admitting, _) => Readiness::Undecided,
            (AdmissionState::Rejected, _) => Readiness::Rejected(reason()),
            (AdmissionState::Retired, _) => Readiness::Retired,
            (AdmissionState::Tampered, _) => Readiness::Tampered(reason()),
            (AdmissionState::Ready, Some(admitted)) => {
                if admission.version_row_hash.as_deref() != Some(row.hash().as_slice()) {
                    Readiness::Tampered("its row in model_versions was altered".to_owned())
                } else {
                    Readiness::Ready(Box::new(ReadyVersion {
                        model: name.to_owned(),
                        version,
                        admitted,
                    }))
                }
            }
            (AdmissionState::Ready, None) => {
                return Err(StoreError::corrupt(
                    format!("version {version} of `{name}` is ready without what was admitted"),
                    TABLE,
                ));
            }
        })
    }
}

#[derive(scylla::SerializeRow)]
struct Columns<'a> {
    name: &'a str,
    version: i32,
    state: String,
    sha256: Option<&'a [u8]>,
    reason: Option<&'a String>,
    warnings: Option<&'a Vec<String>>,
    signature: Option<String>,
    feature_names: Option<&'a Vec<String>>,
    class_names: Option<&'a Vec<String>>,
    class_names_source: Option<String>,
    opsets: Option<&'a BTreeMap<String, i64>>,
    runtime_version: Option<&'a String>,
    admitted: Option<String>,
    version_row_hash: [u8; 32],
    decided_by: String,
    decided_at: DateTime<Utc>,
}

#[derive(scylla::SerializeRow)]
struct Again<'a> {
    #[scylla(flatten)]
    columns: &'a Columns<'a>,
    over_state: String,
    over_decided_at: Option<CqlTimestamp>,
}
