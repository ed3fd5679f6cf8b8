//! Prepares the cells of a version's rows, in this process or as a [`PreparationPlan`] in another.

use std::{ops::Range, sync::Arc};

use super::super::{CompiledVersion, Conversion, Place, rejection::Rejection};
use super::{CellTokens, PreparationPlan};
use crate::{
    codec::cells::CellBuffer,
    domain::{
        model::{
            Output, Signature,
            tensor::{OutputBatch, TensorData},
        },
        problem::Problem,
    },
};

/// The prepared columns of a version. Clones share them.
#[derive(Debug, Clone, PartialEq)]
pub struct Preparer {
    columns: Arc<[PreparedColumn]>,
    /// Bytes of the tensors that a row's prepared inputs take.
    row_bytes: usize,
}

/// A column that is prepared, and the inputs that it fills alone.
#[derive(Debug, Clone, PartialEq)]
struct PreparedColumn {
    /// Index into the job's columns.
    column: usize,
    /// Index of each input, and its only place.
    places: Vec<(usize, Place)>,
}

/// What a range of rows was prepared to.
#[derive(Debug, Default)]
pub struct PreparedPart {
    /// The values of each prepared input, of the rows that are not rejected.
    pub inputs: Vec<(usize, TensorData)>,
    /// The other rows, ascending.
    pub rejected: Vec<(usize, Rejection)>,
}

impl Default for Preparer {
    fn default() -> Self {
        Self::from_places(std::iter::empty())
    }
}

impl Preparer {
    /// Returns the preparer of a version; it has no columns if nothing is prepared.
    pub fn new(version: &CompiledVersion) -> Self {
        let inputs = version.inputs.iter().enumerate();
        Self::from_places(inputs.flat_map(|(input, mapping)| {
            let places = mapping.places.iter();
            places.map(move |place| (input, place.clone()))
        }))
    }

    /// Returns the preparer of these inputs and their places; places of other kinds are skipped.
    pub fn from_places(places: impl Iterator<Item = (usize, Place)>) -> Self {
        let mut columns: Vec<PreparedColumn> = Vec::new();
        let mut row_bytes = 0;
        for (input, place) in places {
            let Conversion::Prepared(preparation) = &place.conversion else {
                continue;
            };
            row_bytes += place.width * preparation.element.byte_len();
            let known = columns.iter_mut().find(|it| it.column == place.column);
            match known {
                Some(known) => known.places.push((input, place)),
                None => columns.push(PreparedColumn {
                    column: place.column,
                    places: vec![(input, place)],
                }),
            }
        }
        Self {
            columns: columns.into(),
            row_bytes,
        }
    }

    /// Returns the number of columns that are prepared.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// Returns the index of each column among those of the job.
    pub(super) fn source_columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.columns.iter().map(|column| column.column)
    }

    /// Returns the index of each input that is prepared, in the order of [`Preparer::signature`].
    pub fn inputs(&self) -> impl Iterator<Item = usize> + '_ {
        self.places().map(|(input, _)| *input)
    }

    /// Returns the bytes of the tensors that preparing one row takes.
    pub(super) fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    fn places(&self) -> impl Iterator<Item = &(usize, Place)> {
        self.columns.iter().flat_map(|column| &column.places)
    }

    /// Returns the prepared tensors as outputs of a function without other inputs than cells.
    pub fn signature(&self) -> Signature {
        let outputs = self.places().map(|(_, place)| Output {
            name: place.feature.clone(),
            public_name: place.feature.clone(),
            element: place.conversion.element(),
            dims: vec![place.width],
            simplex: false,
            classes: None,
            observed: Default::default(),
        });
        Signature {
            inputs: Vec::new(),
            outputs: outputs.collect(),
            fixed_batch: None,
        }
    }

    /// Returns the features as an error names them: "feature `x`".
    pub fn subject(&self) -> String {
        let mut names: Vec<String> = Vec::new();
        for (_, place) in self.places() {
            let name = format!("`{}`", place.feature);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        match names.len() {
            0 | 1 => format!("feature {}", names.concat()),
            _ => format!("one of the features {}", names.join(", ")),
        }
    }

    /// Returns the rejection of a row whose preparation came to no end, for a reason in words.
    pub fn failed(&self, reason: &str) -> Rejection {
        let message = format!("{} could not be prepared: {reason}", self.subject());
        Rejection::new("unprepared", message)
    }

    /// Prepares a range of rows of `cells`, which have [`Preparer::columns`].
    pub fn prepare(&self, cells: &CellBuffer, rows: Range<usize>) -> PreparedPart {
        let mut part = PreparedPart {
            inputs: self
                .places()
                .map(|(input, place)| (*input, TensorData::new(place.conversion.element())))
                .collect(),
            rejected: Vec::new(),
        };
        for row in rows {
            let before: Vec<usize> = part.inputs.iter().map(|(_, data)| data.len()).collect();
            if let Err(rejection) = self.append(cells, row, &mut part.inputs) {
                for ((_, data), len) in part.inputs.iter_mut().zip(before) {
                    data.truncate(len);
                }
                part.rejected.push((row, rejection));
            }
        }
        part
    }

    /// Returns what another process prepared with this preparer: `outputs` of its signature, and
    /// rejections of rows counted from `first`.
    pub fn part(
        &self,
        first: usize,
        outputs: OutputBatch,
        rejected: Vec<(usize, String)>,
    ) -> PreparedPart {
        let rejected = rejected.into_iter();
        PreparedPart {
            inputs: self.inputs().zip(outputs.outputs).collect(),
            rejected: rejected
                .map(|(row, text)| (first + row, Rejection::parse(&text)))
                .collect(),
        }
    }

    fn append(
        &self,
        cells: &CellBuffer,
        row: usize,
        inputs: &mut [(usize, TensorData)],
    ) -> Result<(), Rejection> {
        let mut inputs = inputs.iter_mut();
        for (at, column) in self.columns.iter().enumerate() {
            let cell = cells.cell(row, at);
            let mut tokens = CellTokens::default();
            for ((_, place), (_, data)) in column.places.iter().zip(inputs.by_ref()) {
                place
                    .append_sharing(cell, data, &mut tokens)
                    .map_err(|fault| fault.reject(place))?;
            }
        }
        Ok(())
    }

    /// Returns what another process needs to prepare the same.
    pub fn plan(&self) -> PreparationPlan {
        let mut plan = PreparationPlan::default();
        for (input, place) in self.places() {
            if let Conversion::Prepared(preparation) = &place.conversion {
                plan.add(*input, place, preparation);
            }
        }
        plan
    }

    /// Returns the preparer of a plan.
    ///
    /// # Errors
    /// Its tokenizers cannot be read.
    pub fn planned(plan: &PreparationPlan) -> Result<Self, Problem> {
        Ok(Self::from_places(plan.places()?.into_iter()))
    }
}
