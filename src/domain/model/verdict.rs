//! Assessment of a stored prediction when its row is scored again.

use super::{agreement, proof::Prediction, tolerance::Tolerance};
use crate::domain::job::{CompiledVersion, OutputColumn};

/// Assessment of one prediction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the model's prediction of the current row.
    Matching,
    /// Values, model, mapping or outputs have changed since; the next run replaces it.
    Stale,
    /// It is stored as rejected, and the row is still rejected.
    Rejected,
    /// It is stored as rejected, but the model scores the row.
    NoLongerRejected,
    /// It is stored as a prediction, but the row is rejected for this reason.
    NowRejected(String),
    /// Output columns (indices) that differ from the model's prediction of the same values.
    Differing(Vec<usize>),
    /// It has no lineage, so its origin is unknown.
    Unproven,
    /// Its lineage names a model that is not its version's.
    OtherModel,
}

impl Verdict {
    /// Returns whether it contradicts its lineage. A stale prediction does not: its values changed.
    pub fn is_wrong(&self) -> bool {
        !matches!(self, Self::Matching | Self::Stale | Self::Rejected)
    }

    /// Returns the spelling for machines.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Matching => "matching",
            Self::Stale => "stale",
            Self::Rejected => "rejected",
            Self::NoLongerRejected => "no_longer_rejected",
            Self::NowRejected(_) => "now_rejected",
            Self::Differing(_) => "differing",
            Self::Unproven => "unproven",
            Self::OtherModel => "other_model",
        }
    }
}

/// Returns the verdict if the lineage decides it; `None`: the row must be scored again.
/// `input_hash` is that of the current row.
pub fn before_scoring(
    version: &CompiledVersion,
    stored: Prediction<'_>,
    input_hash: u128,
) -> Option<Verdict> {
    let (Some(stored_hash), Some(sha256)) = (stored.input_hash(), stored.model_sha256()) else {
        return Some(Verdict::Unproven);
    };
    if sha256 != version.ready.admitted.sha256 {
        return Some(Verdict::OtherModel);
    }
    (stored_hash != input_hash).then_some(Verdict::Stale)
}

/// Returns the verdict after scoring. `recomputed` are the row's current output cells in the
/// table's order, or the reason of its rejection; `tied` returns whether a label's scores are too
/// close to call.
pub fn after_scoring<'a>(
    version: &CompiledVersion,
    columns: &[OutputColumn],
    tolerance: Tolerance,
    rejected: bool,
    stored: impl Iterator<Item = Option<&'a [u8]>> + Clone,
    recomputed: Result<impl Iterator<Item = Option<&'a [u8]>>, String>,
    tied: impl Fn(usize) -> bool,
) -> Verdict {
    match (rejected, recomputed) {
        (true, Ok(_)) => Verdict::NoLongerRejected,
        (false, Err(reason)) => Verdict::NowRejected(reason),
        (true, Err(_)) => {
            // A rejected row has no outputs.
            let filled = stored.enumerate().filter(|(_, cell)| cell.is_some());
            match filled.map(|(at, _)| at).collect::<Vec<_>>() {
                none if none.is_empty() => Verdict::Rejected,
                filled => Verdict::Differing(filled),
            }
        }
        (false, Ok(recomputed)) => {
            match agreement::differing(version, columns, tolerance, stored, recomputed, tied) {
                none if none.is_empty() => Verdict::Matching,
                differing => Verdict::Differing(differing),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::{cells::CellBuffer, cql_type::CqlType},
        domain::{
            fixture,
            job::OutputCell,
            model::{proof::FIELDS, tensor::Element},
        },
    };

    fn version() -> CompiledVersion {
        let mut version = fixture::version();
        version.ready.admitted.signature.outputs =
            vec![fixture::output("score", Element::Float, &[])];
        version.outputs = vec![Some(OutputCell {
            output: 0,
            offset: 0,
            width: 1,
            rename: None,
            similarity: None,
            postprocess: Default::default(),
        })];
        version
    }

    fn columns() -> [OutputColumn; 1] {
        [OutputColumn {
            name: "score".into(),
            cql_type: CqlType::Float,
            index: None,
            classes: Vec::new(),
        }]
    }

    fn early(sha256: Option<&[u8]>, hash: Option<u128>) -> Option<Verdict> {
        let mut cells = CellBuffer::new(FIELDS.len());
        let hash = hash.map(u128::to_be_bytes);
        cells.push(hash.as_ref().map(<[u8; 16]>::as_slice));
        cells.push(None);
        cells.push(sha256);
        (3..FIELDS.len()).for_each(|_| cells.push(None));
        before_scoring(&version(), Prediction::new(&cells, 0), 7)
    }

    fn late(rejected: bool, stored: Option<f32>, recomputed: Result<f32, &str>) -> Verdict {
        let stored = stored.map(f32::to_be_bytes);
        let recomputed = recomputed.map(f32::to_be_bytes);
        after_scoring(
            &version(),
            &columns(),
            Tolerance::default(),
            rejected,
            std::iter::once(stored.as_ref().map(<[u8; 4]>::as_slice)),
            match &recomputed {
                Ok(bytes) => Ok(std::iter::once(Some(&bytes[..]))),
                Err(reason) => Err((*reason).to_owned()),
            },
            |_| false,
        )
    }

    #[test]
    fn a_lineage_proves_model_and_values_or_nothing() {
        assert_eq!(early(None, Some(7)), Some(Verdict::Unproven));
        assert_eq!(early(Some(&[1; 32]), None), Some(Verdict::Unproven));
        assert_eq!(early(Some(&[2; 32]), Some(7)), Some(Verdict::OtherModel));
        assert_eq!(early(Some(&[1; 32]), Some(8)), Some(Verdict::Stale));
        assert_eq!(early(Some(&[1; 32]), Some(7)), None);
    }

    #[test]
    fn predictions_and_rejections_are_held_against_what_is_scored_now() {
        assert_eq!(late(false, Some(0.5), Ok(0.5)), Verdict::Matching);
        assert_eq!(late(false, Some(0.5), Ok(0.6)), Verdict::Differing(vec![0]));
        assert_eq!(late(false, None, Ok(0.6)), Verdict::Differing(vec![0]));
        assert_eq!(late(true, None, Err("null")), Verdict::Rejected);
        assert_eq!(late(true, None, Ok(0.5)), Verdict::NoLongerRejected);
        let now = late(false, Some(0.5), Err("null"));
        assert_eq!(now, Verdict::NowRejected("null".to_owned()));
        // Outputs beside a rejection were written by somebody else.
        assert_eq!(
            late(true, Some(0.5), Err("null")),
            Verdict::Differing(vec![0])
        );
    }
}
