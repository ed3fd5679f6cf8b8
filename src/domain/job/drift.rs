//! The manifest's `[drift]`, and the names under which features and outputs are profiled.

use std::collections::BTreeMap;

use crate::{
    codec::cql_type::CqlType,
    domain::{
        evidence::drift::Thresholds,
        job::feature_places::place_labels,
        job::{CompiledVersion, Conversion, OutputColumn},
        model::{Input, tensor::Element},
    },
};

/// The name of the share of rejected rows among features and outputs.
pub const REJECTED: &str = "(rejected)";
/// Begins the names of outputs.
const OUTPUT: &str = "out.";

/// The manifest's `[drift]`.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftRules {
    /// `profile`: whether runs count what they read.
    pub is_profiled: bool,
    /// `psi` and `share`.
    pub thresholds: Thresholds,
    /// `[drift.features]` by name.
    pub features: BTreeMap<String, FeatureThresholds>,
    /// `segment`: a source column whose values are judged separately, too.
    pub segment: Option<String>,
}

/// Thresholds of one feature or output; `None`: those of all others.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FeatureThresholds {
    pub psi: Option<f64>,
    pub share: Option<f64>,
}

impl DriftRules {
    /// Returns the thresholds for a feature or output. Those of `embedding` are also those of
    /// `embedding[3]`.
    pub fn thresholds_of(&self, name: &str) -> Thresholds {
        let of_all = || self.features.get(name.rsplit_once('[')?.0);
        let own = self.features.get(name).or_else(of_all);
        let own = own.copied().unwrap_or_default();
        Thresholds {
            psi: own.psi.unwrap_or(self.thresholds.psi),
            share: own.share.unwrap_or(self.thresholds.share),
        }
    }
}

/// Where a profiled feature is in a version's inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureAt {
    pub name: String,
    /// Index of the input.
    pub input: usize,
    /// Index of the place in the input.
    pub place: usize,
    /// Index of the value in the place.
    pub value: usize,
    /// The input's element type; of a measure, the type of its values.
    pub element: Element,
}

/// Returns the features of a version, one for each value of a row, in the order of its inputs. A
/// feature of one value has its mapping's name. The values of a column that fills an input alone
/// have the model's names for them, if it has any; otherwise they are `embedding[0]`,
/// `embedding[1]` … A prepared feature has what is measured of its content: `page[bytes]`,
/// `page[width]`.
pub fn features(version: &CompiledVersion) -> Vec<FeatureAt> {
    let admitted = &version.ready.admitted;
    let inputs = &admitted.signature.inputs;
    let wide: usize = inputs
        .iter()
        .map(Input::width)
        .filter(|width| *width > 1)
        .sum();
    let named = place_labels(&admitted.feature_names, wide).unwrap_or_default();
    let mut features = Vec::new();
    let mut passed = 0;
    for (at, (input, mapping)) in inputs.iter().zip(&version.inputs).enumerate() {
        let width = input.width();
        let names = match width > 1 {
            true => named.get(passed..passed + width),
            false => None,
        };
        passed += if width > 1 { width } else { 0 };
        let alone = mapping.places.len() == 1;
        for (index, place) in mapping.places.iter().enumerate() {
            // A byte or a pixel by itself means nothing; the size of a document does.
            if let Conversion::Prepared(preparation) = &place.conversion {
                let measures = preparation.kind.measures().iter().enumerate();
                features.extend(measures.map(|(value, measure)| FeatureAt {
                    name: format!("{}[{}]", place.feature, measure.name()),
                    input: at,
                    place: index,
                    value,
                    element: measure.element(),
                }));
                continue;
            }
            for value in 0..place.width {
                let name = match (place.width, names) {
                    (1, _) => place.feature.clone(),
                    (_, Some(names)) if alone => names[value].clone(),
                    _ => format!("{}[{value}]", place.feature),
                };
                features.push(FeatureAt {
                    name,
                    input: at,
                    place: index,
                    value,
                    element: input.element,
                });
            }
        }
    }
    features
}

/// Whether a profiled output is a number or a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    Number,
    Label,
}

/// Returns the kind of an output column; `None` for vectors, which are not profiled.
pub fn output_kind(column: &OutputColumn) -> Option<OutputKind> {
    match column.cql_type.thawed() {
        CqlType::Float | CqlType::Double => Some(OutputKind::Number),
        CqlType::Text | CqlType::Ascii | CqlType::Bigint | CqlType::Int | CqlType::Boolean => {
            Some(OutputKind::Label)
        }
        _ => None,
    }
}

/// Returns the name under which an output column is profiled.
pub fn output_name(column: &OutputColumn) -> String {
    format!("{OUTPUT}{}", column.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{fixture, job::InputMapping};

    #[test]
    fn features_have_their_mappings_names_and_vectors_the_models() {
        let mut version = fixture::version();
        let names = |version: &CompiledVersion| -> Vec<String> {
            features(version).into_iter().map(|one| one.name).collect()
        };
        assert_eq!(names(&version), ["a", "b", "city"]);
        let mut vector = fixture::place("X", 0, "vector<float, 2>", Element::Float);
        vector.width = 2;
        version.inputs[0] = InputMapping {
            places: vec![vector],
        };
        assert_eq!(names(&version), ["X[0]", "X[1]", "city"]);
        version.ready.admitted.feature_names = vec!["radius".to_owned(), "area".to_owned()];
        assert_eq!(names(&version), ["radius", "area", "city"]);
    }

    #[test]
    fn thresholds_of_a_vector_are_those_of_its_values() {
        let own = FeatureThresholds {
            psi: Some(0.5),
            share: None,
        };
        let rules = DriftRules {
            is_profiled: true,
            thresholds: Thresholds::default(),
            features: [("v".to_owned(), own), ("out.p".to_owned(), own)].into(),
            segment: None,
        };
        for name in ["v", "v[3]", "out.p"] {
            assert_eq!(rules.thresholds_of(name).psi, 0.5, "{name}");
            assert_eq!(rules.thresholds_of(name).share, 0.05, "{name}");
        }
        assert_eq!(rules.thresholds_of("w[3]").psi, 0.2);
    }
}
