//! Which column feeds which place of which input: features by name, never by position.

mod order;
mod rule;

use std::collections::BTreeMap;

use super::{
    job::{InputMapping, Place},
    manifest::{Feature, Manifest, VersionWish, key},
    model::{Input, ReadyVersion},
    problem::Problem,
    schema::{Column, TableSchema},
    words::{as_identifier, nearest},
};

/// Resolves the manifest's features against the source, for one version after the other.
pub struct Mapper<'a> {
    manifest: &'a Manifest,
    source: &'a TableSchema,
    /// Feature name -> what the manifest says, or what its name means when it says nothing.
    features: BTreeMap<String, Feature>,
    /// What was found wrong so far; the same thing once.
    pub problems: Vec<Problem>,
    /// Lasting warnings.
    pub warnings: Vec<String>,
    used: BTreeMap<String, bool>,
}

/// A version's inputs with places by column name: indices come once all versions are mapped.
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
            warnings: Vec::new(),
        };
        for (name, feature) in mapper.features.clone() {
            if source.column(&feature.column).is_none() {
                let known = mapper.columns().map(|column| column.name.as_str());
                let help = match nearest(&feature.column, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "names are exact, without quotes".to_owned(),
                };
                mapper.say(
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

    /// Every column that the job reads, by name: all that `[features]` lists, or all that the
    /// versions mapped so far use.
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

    /// Features that `[features]` lists and no version took.
    pub fn unused(&self) -> impl Iterator<Item = &str> {
        self.used
            .iter()
            .filter(|(_, used)| !**used)
            .map(|(name, _)| name.as_str())
    }

    /// Maps the inputs of one version. `asked` are the words by which the manifest asks for it.
    /// Problems are added to `problems`; what is returned then is incomplete.
    pub fn map(&mut self, version: &ReadyVersion, asked: &[VersionWish]) -> NamedInputs {
        let signature = &version.admitted.signature;
        let mut names = self.file_names(version);
        self.check_wide(version, asked);
        signature
            .inputs
            .iter()
            .map(|input| {
                let order = self.order(version, asked, input, names.as_mut());
                self.place(version, input, &order)
            })
            .collect()
    }

    /// How many values a feature fills, as far as it is known.
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
            self.say(
                Problem::new(
                    "job.width",
                    format!(
                        "version {}: input `{}` takes {} values, its features fill {filled}",
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
                    "they are {}",
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
        // An unknown column was told about when the manifest was read.
        let column = self.source.column(&feature.column)?;
        match rule::rule(name, &feature, column, input.element) {
            Ok((rule, width)) => Some((
                Place {
                    feature: name.to_owned(),
                    column: 0,
                    width,
                    rule,
                },
                feature.column,
            )),
            Err(problems) => {
                problems.into_iter().for_each(|problem| self.say(problem));
                None
            }
        }
    }

    /// A feature by name; when `[features]` is left out, by the column of that name.
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
                        "feature `{name}` may be column `{}` or `{}`",
                        column.name, other.name
                    ),
                )
                .at("features")
                .help("write a [features] section that says which");
                self.say(problem);
            }
            let taken = self
                .features
                .iter()
                .find(|(_, feature)| feature.column == column.name);
            if let Some((other, _)) = taken {
                let problem = Problem::new(
                    "job.ambiguous",
                    format!(
                        "features `{name}` and `{other}` both mean column `{}`",
                        column.name
                    ),
                )
                .at("features")
                .help("write a [features] section that says which");
                self.say(problem);
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
            let help = match nearest(name, self.features.keys().map(String::as_str)) {
                Some(near) => format!("did you mean it by `{near}`?"),
                None => format!("add {} = \"column\"", key(name)),
            };
            Problem::new(
                "job.feature_missing",
                format!("{what}, which [features] does not list"),
            )
            .help(help)
        } else {
            let known = self.columns().map(|column| column.name.as_str());
            let near = nearest(name, known);
            let column = near.map_or("column".to_owned(), str::to_owned);
            Problem::new(
                "job.feature_missing",
                format!(
                    "{what}, and table {} has no column `{}`",
                    name_of(self.source),
                    as_identifier(name)
                ),
            )
            .help(format!(
                "say it in [features]: {} = \"{column}\"",
                key(name)
            ))
        };
        self.say(problem.at("features"));
    }

    fn columns(&self) -> impl Iterator<Item = &'a Column> + use<'a> {
        let source = self.source;
        source.key().chain(&source.statics).chain(&source.regulars)
    }

    fn say(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

/// Gives each place its index into the job's columns.
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

/// `keyspace.table`.
pub fn name_of(table: &TableSchema) -> String {
    format!("{}.{}", table.keyspace, table.table)
}

/// `a`, `b` and `c`; of many, the first twelve.
pub fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [first @ .., last] if names.len() <= 12 => format!("{} and {last}", first.join(", ")),
        _ => format!("{} and {} more", names[..12].join(", "), names.len() - 12),
    }
}
