//! Maps columns to places of inputs: features by name, never by position.

mod order;
mod prepared;
mod rule;
mod vectors;

use std::collections::BTreeMap;

use super::manifest::{Feature, Manifest, VersionWish, key};
use crate::{
    codec::schema::{Column, TableSchema},
    domain::{
        job::{Conversion, InputMapping, Place},
        model::{Input, ReadyVersion},
        names::{as_identifier, nearest},
        problem::Problem,
    },
};

/// Resolves the manifest's features against the source, one version at a time.
pub struct Mapper<'a> {
    manifest: &'a Manifest,
    source: &'a TableSchema,
    /// Feature name -> its entry in the manifest, or the default derived from its name.
    features: BTreeMap<String, Feature>,
    /// Problems found so far, without duplicates.
    pub problems: Vec<Problem>,
    /// Inputs of the current version whose order only `[wide]` gives.
    by_manifest: Vec<String>,
    used: BTreeMap<String, bool>,
}

pub struct Mapped {
    /// The places of each input, in signature order.
    pub inputs: NamedInputs,
    /// Names of inputs of several features whose order only `[wide]` gives.
    pub ordered_by_manifest: Vec<String>,
}

/// A version's inputs with places by column name; indices are assigned once all versions are
/// mapped.
pub type NamedInputs = Vec<Vec<(Place, String)>>;

impl<'a> Mapper<'a> {
    /// Checks that every column that `[features]` names exists.
    pub fn new(manifest: &'a Manifest, source: &'a TableSchema) -> Self {
        let features = manifest.features.clone().unwrap_or_default();
        let mut mapper = Self {
            manifest,
            source,
            used: features.keys().map(|name| (name.clone(), false)).collect(),
            features,
            problems: Vec::new(),
            by_manifest: Vec::new(),
        };
        for (name, feature) in mapper.features.clone() {
            if source.column(&feature.column).is_none() {
                let known = mapper.columns().map(|column| column.name.as_str());
                let help = match nearest(&feature.column, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "write the exact name, without quotes".to_owned(),
                };
                mapper.report(
                    Problem::new(
                        "job.unknown_column",
                        format!(
                            "table {} has no column `{}`",
                            name_of(source),
                            feature.column
                        ),
                    )
                    .at(format!("features.{}", key(&name)))
                    .help(help),
                );
            }
        }
        mapper
    }

    /// Returns every column that the job reads, by name: all that `[features]` lists, or all that
    /// the versions mapped so far use.
    pub fn columns_read(&self) -> Vec<Column> {
        let mut columns: Vec<Column> = self
            .features
            .values()
            .filter_map(|feature| self.source.column(&feature.column).cloned())
            .collect();
        columns.sort_by(|a, b| a.name.cmp(&b.name));
        columns.dedup();
        columns
    }

    /// Returns the features that `[features]` lists and no version uses.
    pub fn unused(&self) -> impl Iterator<Item = &str> {
        self.used
            .iter()
            .filter(|(_, used)| !**used)
            .map(|(name, _)| name.as_str())
    }

    /// Maps the inputs of one version. `asked` are the manifest's names for the version. Problems
    /// are added to `problems`; the result is then incomplete.
    pub fn map(&mut self, version: &ReadyVersion, asked: &[VersionWish]) -> Mapped {
        let signature = &version.admitted.signature;
        let mut names = self.file_names(version);
        self.check_wide(version, asked);
        let inputs = signature.inputs.iter();
        let inputs = inputs
            .map(|input| {
                let order = self.order(version, asked, input, names.as_mut());
                self.place(version, input, &order)
            })
            .collect();
        Mapped {
            inputs,
            ordered_by_manifest: std::mem::take(&mut self.by_manifest),
        }
    }

    /// Returns the number of values that a feature fills, as far as it is known.
    fn width_of(&mut self, name: &str) -> usize {
        let Some(feature) = self.find(name) else {
            return 1;
        };
        let width = feature.width;
        let column = feature.column.clone();
        width.unwrap_or_else(|| self.source.column(&column).map_or(1, Column::width))
    }

    fn place(
        &mut self,
        version: &ReadyVersion,
        input: &Input,
        order: &[String],
    ) -> Vec<(Place, String)> {
        let mut places = Vec::new();
        let mut complete = !order.is_empty();
        for name in order {
            match self.place_one(version, input, name) {
                Some(place) => places.push(place),
                None => complete = false,
            }
        }
        let filled: usize = places.iter().map(|(place, _)| place.width).sum();
        if complete && filled != input.width() {
            self.report(
                Problem::new(
                    "job.width",
                    format!(
                        "version {}: input `{}` takes {} values, but its features fill {filled}",
                        version.version,
                        input.name,
                        input.width()
                    ),
                )
                .at(match self.manifest.wide.contains_key(&input.name) {
                    true => format!("wide.{}.order", key(&input.name)),
                    false => "features".to_owned(),
                })
                .help(format!(
                    "check its features: {}",
                    listed(order.iter().map(String::as_str))
                )),
            );
        }
        places
    }

    fn place_one(
        &mut self,
        version: &ReadyVersion,
        input: &Input,
        name: &str,
    ) -> Option<(Place, String)> {
        let Some(feature) = self.find(name).cloned() else {
            self.missing(version, input, name);
            return None;
        };
        self.used.insert(name.to_owned(), true);
        // An unknown column was reported when the manifest was read.
        let column = self.source.column(&feature.column)?;
        if feature.prepared.is_some() {
            let place = self.place_prepared(version, input, (name, &feature), column)?;
            return Some((place, feature.column));
        }
        match rule::rule(name, &feature, column, input.element) {
            Ok((rule, width)) => Some((
                Place {
                    feature: name.to_owned(),
                    column: 0,
                    width,
                    conversion: Conversion::Cell(rule),
                },
                feature.column,
            )),
            Err(problems) => {
                problems
                    .into_iter()
                    .for_each(|problem| self.report(problem));
                None
            }
        }
    }

    /// Finds a feature by name; without `[features]` by the column of that name.
    fn find(&mut self, name: &str) -> Option<&Feature> {
        if self.manifest.features.is_none() && !self.features.contains_key(name) {
            let wanted = as_identifier(name);
            let source = self.source;
            let mut alike = source
                .key()
                .chain(&source.statics)
                .chain(&source.regulars)
                .filter(|column| as_identifier(&column.name) == wanted);
            let column = alike.next()?;
            if let Some(other) = alike.next() {
                let problem = Problem::new(
                    "job.ambiguous",
                    format!(
                        "feature `{name}` is ambiguous: column `{}` or `{}`",
                        column.name, other.name
                    ),
                )
                .at("features")
                .help("name the column in a [features] section");
                self.report(problem);
            }
            let taken = self
                .features
                .iter()
                .find(|(_, feature)| feature.column == column.name);
            if let Some((other, _)) = taken {
                let problem = Problem::new(
                    "job.ambiguous",
                    format!(
                        "features `{name}` and `{other}` both match column `{}`",
                        column.name
                    ),
                )
                .at("features")
                .help("name the columns in a [features] section");
                self.report(problem);
            }
            let feature = Feature {
                column: column.name.clone(),
                ..Feature::default()
            };
            self.features.insert(name.to_owned(), feature);
        }
        self.features.get(name)
    }

    fn missing(&mut self, version: &ReadyVersion, input: &Input, name: &str) {
        let what = match input.name == name {
            true => format!("version {} takes input `{name}`", version.version),
            false => format!(
                "version {} takes feature `{name}` in input `{}`",
                version.version, input.name
            ),
        };
        let problem = if self.manifest.features.is_some() {
            let carried = self.carried(version);
            let known = self.features.keys().map(String::as_str);
            let help = match (carried, nearest(name, known)) {
                (Some(cure), _) => cure,
                (None, Some(near)) => format!("did you mean `{near}`?"),
                (None, None) => format!("add {} = \"column\"{}", key(name), self.alone(input)),
            };
            Problem::new(
                "job.feature_missing",
                format!("{what}, which is missing in [features]"),
            )
            .help(help)
        } else {
            let known = self.columns().map(|column| column.name.as_str());
            let near = nearest(name, known);
            let column = near.map_or("column".to_owned(), str::to_owned);
            Problem::new(
                "job.feature_missing",
                format!(
                    "{what}, but table {} has no column `{}`",
                    name_of(self.source),
                    as_identifier(name)
                ),
            )
            .help(format!(
                "add to [features]: {} = \"{column}\"{}",
                key(name),
                self.alone(input)
            ))
        };
        self.report(problem.at("features"));
    }

    fn columns(&self) -> impl Iterator<Item = &'a Column> + use<'a> {
        let source = self.source;
        source.key().chain(&source.statics).chain(&source.regulars)
    }

    fn report(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

/// Sets the index of each place into the job's columns.
pub fn with_indices(inputs: NamedInputs, columns: &[Column]) -> Vec<InputMapping> {
    let index = |name: &str| columns.iter().position(|column| column.name == name);
    inputs
        .into_iter()
        .map(|places| InputMapping {
            places: places
                .into_iter()
                .filter_map(|(place, column)| {
                    index(&column).map(|column| Place { column, ..place })
                })
                .collect(),
        })
        .collect()
}

/// Returns `keyspace.table`.
pub fn name_of(table: &TableSchema) -> String {
    format!("{}.{}", table.keyspace, table.table)
}

/// Returns `a`, `b` and `c`; of many, the first twelve.
pub fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [first @ .., last] if names.len() <= 12 => format!("{} and {last}", first.join(", ")),
        _ => format!("{} and {} more", names[..12].join(", "), names.len() - 12),
    }
}
