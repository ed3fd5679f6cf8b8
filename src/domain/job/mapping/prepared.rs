//! Features that are prepared: a column whose content fills an input alone.

use super::{Mapper, listed};
use crate::{
    codec::{cql_type::CqlType, schema::Column},
    domain::{
        job::{
            Conversion, Place, Preparation, PreparationKind,
            manifest::{Feature, key},
        },
        model::{Input, ReadyVersion, tensor::Element},
        problem::Problem,
    },
};

impl Mapper<'_> {
    /// Returns whether the manifest prepares a feature of that name.
    pub(super) fn is_prepared(&self, name: &str) -> bool {
        let feature = self.features.get(name);
        feature.is_some_and(|feature| feature.prepared.is_some())
    }

    /// Maps a prepared feature to its input; `None` after problems were reported.
    pub(super) fn place_prepared(
        &mut self,
        version: &ReadyVersion,
        input: &Input,
        (name, feature): (&str, &Feature),
        column: &Column,
    ) -> Option<Place> {
        let kind = feature.prepared.clone()?;
        let place = format!("features.{}", key(name));
        let problems = problems(version, input, (name, &kind), column);
        let is_good = problems.is_empty();
        for (code, message, help) in problems {
            self.report(Problem::new(code, message).at(&place).help(help));
        }
        is_good.then(|| Place {
            feature: name.to_owned(),
            column: 0,
            width: input.width(),
            conversion: Conversion::Prepared(Preparation {
                element: input.element,
                cql_type: column.cql_type.clone(),
                kind,
            }),
        })
    }
}

type Finding = (&'static str, String, String);

fn problems(
    version: &ReadyVersion,
    input: &Input,
    (name, kind): (&str, &PreparationKind),
    column: &Column,
) -> Vec<Finding> {
    let mut found = Vec::new();
    if name != input.name {
        found.push((
            "job.prepared_alone",
            format!(
                "feature `{name}` is prepared, but it is only a part of input `{}`",
                input.name
            ),
            format!(
                "a prepared feature fills an input alone: name it {}",
                key(&input.name)
            ),
        ));
    }
    let (columns, elements) = takes(kind);
    if !columns.contains(column.cql_type.thawed()) {
        found.push((
            "job.feature_type",
            format!(
                "column `{}` ({}) cannot be prepared as {}",
                column.name,
                column.cql_type,
                kind.name()
            ),
            format!(
                "use a {} column",
                or(columns.iter().map(ToString::to_string))
            ),
        ));
    }
    if !elements.contains(&input.element) {
        found.push((
            "job.feature_type",
            format!(
                "input `{}` takes {}, but {} gives numbers",
                input.name,
                input.element.name(),
                kind.name()
            ),
            format!(
                "export the model with an input of {}",
                listed(elements.iter().map(|element| element.name()))
            ),
        ));
    }
    found.extend(kind.shape_problem(version.version, input));
    found
}

/// Returns the column types and element types of a kind.
fn takes(kind: &PreparationKind) -> (Vec<CqlType>, &'static [Element]) {
    match kind {
        // Tokens are mapped by `tokens.rs`, whose features fill several inputs.
        PreparationKind::Bytes(_) | PreparationKind::Tokens(_) => (
            vec![CqlType::Blob, CqlType::Text, CqlType::Ascii],
            &[
                Element::Int32,
                Element::Int64,
                Element::Float,
                Element::Double,
            ],
        ),
        PreparationKind::Image(_) => (
            vec![CqlType::Blob],
            &[Element::Float16, Element::Float, Element::Double],
        ),
    }
}

fn or(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(" or ")
}

impl PreparationKind {
    /// Returns `as` in the manifest.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bytes(_) => "bytes",
            Self::Tokens(_) => "tokens",
            Self::Image(_) => "image",
        }
    }

    /// Returns what is wrong if the input has another shape than what is prepared.
    fn shape_problem(&self, version: i32, input: &Input) -> Option<Finding> {
        match self {
            Self::Bytes(rule) => (rule.width() != input.width()).then(|| {
                (
                    "job.width",
                    format!(
                        "version {version}: input `{}` takes {} values, but head and tail give {}",
                        input.name,
                        input.width(),
                        rule.width()
                    ),
                    "write the numbers of bytes that the model was trained on".to_owned(),
                )
            }),
            Self::Tokens(_) => None,
            Self::Image(rule) => {
                let dims = rule.dims()?;
                // A single channel may have no dimension of its own.
                let without_ones = |dims: &[usize]| -> Vec<usize> {
                    dims.iter().copied().filter(|dim| *dim != 1).collect()
                };
                let is_same = input.dims == dims
                    || dims.contains(&1) && without_ones(&input.dims) == without_ones(&dims);
                (!is_same).then(|| {
                    (
                        "job.shape",
                        format!(
                            "version {version}: input `{}` takes {:?}, but the image becomes {dims:?}",
                            input.name, input.dims
                        ),
                        "check crop or resize.exact (the size), layout and channels".to_owned(),
                    )
                })
            }
        }
    }
}
