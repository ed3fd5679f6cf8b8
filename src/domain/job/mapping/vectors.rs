//! Vector and list columns in wide inputs: alone, or beside single values.

use super::{Mapper, listed};
use crate::{
    codec::{cql_type::CqlType, schema::Column},
    domain::{
        job::manifest::key,
        model::{Input, ReadyVersion},
        problem::Problem,
    },
};

impl Mapper<'_> {
    /// Returns whether `[features]` maps one column to the whole input by the input's name, and has
    /// none of the file's names for its places.
    pub(super) fn fills_alone(&mut self, input: &Input, names: &[(&str, usize)]) -> bool {
        let listed = &self.manifest.features;
        let said = listed.as_ref().is_some_and(|features| {
            features.contains_key(&input.name)
                && !names.iter().any(|(name, _)| features.contains_key(*name))
        });
        said && input.width() > 1 && self.width_of(&input.name) == input.width()
    }

    /// Returns whether a feature of that name is a column of several values, of any kind and width.
    pub(super) fn is_composed(&mut self, name: &str) -> bool {
        let column = self.find(name).map(|feature| feature.column.clone());
        let column = column.and_then(|column| self.source.column(&column));
        column.is_some_and(|column| {
            matches!(
                column.cql_type.thawed(),
                CqlType::List(_) | CqlType::Set(_) | CqlType::Vector(..)
            )
        })
    }

    /// Checks that names with a width in the file have columns of that width.
    pub(super) fn in_width(
        &mut self,
        version: &ReadyVersion,
        names: Vec<(&str, usize)>,
    ) -> Vec<String> {
        for (name, places) in &names {
            let known = self.find(name).is_some();
            let width = self.width_of(name);
            if known && *places > 1 && width != *places {
                self.report(
                    Problem::new(
                        "job.width",
                        format!(
                            "version {}: feature `{name}` takes {places} values, but its column has {width}",
                            version.version
                        ),
                    )
                    .at(format!("features.{}", key(name)))
                    .help(format!(
                        "name a vector column of {places} values, or a list with width = {places}"
                    )),
                );
            }
        }
        names.into_iter().map(|(name, _)| name.to_owned()).collect()
    }

    /// Returns a remedy if one column may fill the whole input: a line of `[features]`.
    pub(super) fn alone(&self, input: &Input) -> String {
        let width = input.width();
        if width == 1 {
            return String::new();
        }
        let fits = |column: &&Column| match column.cql_type.thawed() {
            CqlType::Vector(_, has) => usize::from(*has) == width,
            CqlType::List(_) => true,
            _ => false,
        };
        let line = |column: &Column| match column.cql_type.thawed() {
            CqlType::List(_) => format!(
                "{} = {{ column = {:?}, width = {width} }}",
                key(&input.name),
                column.name
            ),
            _ => format!("{} = {:?}", key(&input.name), column.name),
        };
        let lines: Vec<String> = self.columns().filter(fits).take(3).map(line).collect();
        match lines.is_empty() {
            true => String::new(),
            false => format!(
                "; if one column fills it, write in [features]: {}",
                lines.join(" or ")
            ),
        }
    }

    /// Returns a remedy if a vector takes the place of several names.
    pub(super) fn carried(&mut self, version: &ReadyVersion) -> Option<String> {
        let names = &version.admitted.feature_names;
        let features = self.manifest.features.as_ref()?;
        let strangers: Vec<String> = features
            .keys()
            .filter(|name| !names.contains(name))
            .cloned()
            .collect();
        let inputs = &version.admitted.signature.inputs;
        let wide: Vec<String> = strangers
            .into_iter()
            .filter(|name| !inputs.iter().any(|input| input.name == *name))
            .filter(|name| self.width_of(name) > 1)
            .collect();
        let first = wide.first()?;
        let width = self.width_of(first);
        Some(format!(
            "replace the {width} names of {} by one with its width, `{first}[{width}]` (--features at push), or list the features in order in [wide.X]",
            listed(wide.iter().map(String::as_str))
        ))
    }
}
