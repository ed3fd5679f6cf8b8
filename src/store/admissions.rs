//! `admissions`: what the worker found out about a version. Planning, promotion and scoring trust
//! these rows, and only while the version row is still the one that was admitted.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use scylla::{DeserializeRow, value::CqlTimestamp};

use super::{
    Store,
    error::{StoreError, StoreErrorKind},
    migrate::now,
    models::VersionRow,
    names::MODEL,
};
use crate::{
    domain::{
        model::{AdmissionState, Admitted, ReadyVersion},
        problem::Problem,
    },
    process,
};

const COLUMNS: &str = "version, state, sha256, reason, warnings, signature, feature_names, class_names, class_names_source, opsets, runtime_version, admitted, version_row_hash, decided_by, decided_at";
const FIRST: &str = "INSERT INTO admissions (name, version, state, sha256, reason, warnings, signature, feature_names, class_names, class_names_source, opsets, runtime_version, admitted, version_row_hash, decided_by, decided_at) VALUES (:name, :version, :state, :sha256, :reason, :warnings, :signature, :feature_names, :class_names, :class_names_source, :opsets, :runtime_version, :admitted, :version_row_hash, :decided_by, :decided_at) IF NOT EXISTS";
const AGAIN: &str = "UPDATE admissions SET state = :state, sha256 = :sha256, reason = :reason, warnings = :warnings, signature = :signature, feature_names = :feature_names, class_names = :class_names, class_names_source = :class_names_source, opsets = :opsets, runtime_version = :runtime_version, admitted = :admitted, version_row_hash = :version_row_hash, decided_by = :decided_by, decided_at = :decided_at WHERE name = :name AND version = :version IF state = :over_state AND decided_at = :over_decided_at";
const MOVE: &str = "UPDATE admissions SET state = ?, reason = ?, decided_by = ?, decided_at = ? WHERE name = ? AND version = ? IF state = ?";

/// A row of `admissions`.
#[derive(Debug, Clone, PartialEq)]
pub struct Admission {
    /// The version it is about.
    pub version: i32,
    /// What was decided.
    pub state: AdmissionState,
    /// sha256 of the bytes that were looked at.
    pub sha256: Option<Vec<u8>>,
    /// Why it was rejected, retired or found altered.
    pub reason: Option<String>,
    /// Lasting warnings.
    pub warnings: Vec<String>,
    /// For people: inputs and outputs.
    pub signature: Option<String>,
    /// Names of the places of wide inputs.
    pub feature_names: Vec<String>,
    /// Class names.
    pub class_names: Vec<String>,
    /// Where they come from.
    pub class_names_source: Option<String>,
    /// Operator sets by domain.
    pub opsets: BTreeMap<String, i64>,
    /// ONNX Runtime's version that looked at it.
    pub runtime_version: Option<String>,
    /// What planning and scoring use; there for ready, retired and tampered versions.
    pub admitted: Option<Admitted>,
    /// [`VersionRow::hash`] of the row that was admitted.
    pub version_row_hash: Option<Vec<u8>>,
    /// Which process decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<CqlTimestamp>,
}

impl Admission {
    /// When it was decided, for people.
    pub fn decided_at(&self) -> Option<DateTime<Utc>> {
        self.decided_at
            .and_then(|at| DateTime::from_timestamp_millis(at.0))
    }
}

/// What admission decided about a version row.
#[derive(Debug, Clone)]
pub enum Decision {
    /// May score.
    Ready(Box<Admitted>),
    /// May not, for this reason.
    Rejected {
        /// For people, all problems in one text.
        reason: String,
        /// The library that looked at it, if one did.
        runtime_version: Option<String>,
    },
}

/// Whether a version may score.
#[derive(Debug, Clone, PartialEq)]
pub enum Readiness {
    /// It may.
    Ready(Box<ReadyVersion>),
    /// There is no such version.
    Missing,
    /// No worker has decided yet.
    Undecided,
    /// Admission said no, for this reason.
    Rejected(String),
    /// It was taken out of service.
    Retired,
    /// Its row or its chunks are not what was admitted.
    Tampered(String),
}

impl Readiness {
    /// Why it may not score; `None` if it may.
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
struct Row {
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

impl TryFrom<Row> for Admission {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = |detail: String| {
            StoreError::corrupt(
                format!("admission of version {}: {detail}", row.version),
                "admissions",
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
    /// What was decided about a version, after every decided conditional write.
    pub async fn admission(
        &self,
        name: &str,
        version: i32,
    ) -> Result<Option<Admission>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM admissions WHERE name = ? AND version = ?");
        let row: Option<Row> = self.serial_row(&cql, (name, version)).await?;
        row.map(Admission::try_from).transpose()
    }

    /// What was decided about all versions of a model, the newest first.
    pub async fn admissions(&self, name: &str) -> Result<Vec<Admission>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM admissions WHERE name = ?");
        let rows: Vec<Row> = self.rows(&cql, (name,)).await?;
        rows.into_iter().map(Admission::try_from).collect()
    }

    /// Writes a decision about the version as `row` says it. `over` is the admission that this one
    /// replaces (a library of another minor version looked again); `None`: there was none.
    /// Gives the admission that stands: another worker's, if that was faster.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unknown`] when it can't be read back either.
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
                .map_err(|error| StoreError::corrupt(error.to_string(), FIRST))?,
            version_row_hash: row.hash(),
            decided_by: process::spoken(process::identity()),
            decided_at: now(),
        };
        let outcome = match over {
            None => self.apply(FIRST, &columns).await,
            Some(over) => {
                let again = Again {
                    columns: &columns,
                    over_state: over.state.to_string(),
                    over_decided_at: over.decided_at,
                };
                self.apply(AGAIN, &again).await
            }
        };
        match outcome {
            Ok(_) => {}
            Err(error) if error.kind == StoreErrorKind::Unknown => {}
            Err(error) => return Err(error),
        }
        self.admission(&row.name, row.version)
            .await?
            .ok_or_else(|| StoreError {
                kind: StoreErrorKind::Unknown,
                detail: "the admission was not written".to_owned(),
                cql: FIRST.to_owned(),
            })
    }

    /// Moves an admission from one state to another; `false` when it was not in the first.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unknown`] when it can't be read back either.
    pub async fn move_admission(
        &self,
        name: &str,
        version: i32,
        from: AdmissionState,
        to: AdmissionState,
        reason: Option<&str>,
    ) -> Result<bool, StoreError> {
        let by = process::spoken(process::identity());
        let values = (
            to.to_string(),
            reason,
            by,
            now(),
            name,
            version,
            from.to_string(),
        );
        match self.apply(MOVE, values).await {
            Ok(applied) => Ok(applied.yes()),
            Err(error) if error.kind == StoreErrorKind::Unknown => {
                let standing = self.admission(name, version).await?;
                Ok(standing.is_some_and(|admission| admission.state == to))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a version may score now. A row that was altered since its admission is told as
    /// tampered, whatever its admission says.
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
                    "admissions",
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
    decided_at: CqlTimestamp,
}

#[derive(scylla::SerializeRow)]
struct Again<'a> {
    #[scylla(flatten)]
    columns: &'a Columns<'a>,
    over_state: String,
    over_decided_at: Option<CqlTimestamp>,
}
