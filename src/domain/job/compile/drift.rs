//! Checks the names in `[drift]`.

use crate::{
    codec::schema::TableSchema,
    domain::{
        job::{
            OutputColumn,
            drift::{DriftRules, REJECTED, output_name},
            manifest::key,
            mapping::name_of,
        },
        names::nearest,
        problem::Problem,
    },
};

/// Reports thresholds of unknown features and outputs, and an unknown segment column. `features` are
/// the names that versions use.
pub(super) fn check<'a>(
    rules: &DriftRules,
    features: impl Iterator<Item = &'a str>,
    outputs: &[OutputColumn],
    source: &TableSchema,
    problems: &mut Vec<Problem>,
) {
    let mut known: Vec<String> = features.map(str::to_owned).collect();
    known.extend(outputs.iter().map(output_name));
    known.push(REJECTED.to_owned());
    for name in rules.features.keys() {
        let short = name
            .rsplit_once('[')
            .map_or(name.as_str(), |(short, _)| short);
        if known.iter().any(|known| known == name || known == short) {
            continue;
        }
        let help = match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "name a feature, an output as `out.<column>`, or `(rejected)`".to_owned(),
        };
        let message = format!("no version has a feature or output `{name}`");
        problems.push(
            Problem::new("job.unknown_feature", message)
                .at(format!("drift.features.{}", key(name)))
                .help(help),
        );
    }
    let Some(segment) = &rules.segment else {
        return;
    };
    if source.column(segment).is_none() {
        let columns = source.key().chain(&source.statics).chain(&source.regulars);
        let help = match nearest(segment, columns.map(|column| column.name.as_str())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write the exact name, without quotes".to_owned(),
        };
        let message = format!("table {} has no column `{segment}`", name_of(source));
        problems.push(
            Problem::new("job.unknown_column", message)
                .at("drift.segment")
                .help(help),
        );
    }
}
