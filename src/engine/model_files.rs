//! The files that people keep beside a model: feature names and golden rows.

use std::path::Path;

use crate::{
    domain::{csv, model::golden::Golden, problem::Problem},
    failure::Failure,
};

/// Reads feature names, one per line; blank lines at the end are ignored.
///
/// # Errors
/// Exit 2: the file cannot be read, is empty, or has an empty line in the middle.
pub fn feature_names(path: &Path) -> Result<Vec<String>, Failure> {
    let text = text(path)?;
    let mut names = Vec::new();
    for (at, line) in text.trim_end().lines().enumerate() {
        let name = line.trim_end_matches('\r');
        if name.trim().is_empty() {
            return Err(Failure::input(
                Problem::new(
                    "features.empty_line",
                    "the line is empty; each line must be a feature name",
                )
                .at(format!("{}: line {}", path.display(), at + 1)),
            ));
        }
        names.push(name.to_owned());
    }
    if names.is_empty() {
        return Err(Failure::input(
            Problem::new("features.empty", "the file has no feature names")
                .at(path.display().to_string()),
        ));
    }
    Ok(names)
}

/// Reads golden rows as text.
///
/// # Errors
/// Exit 2: the file cannot be read, is not CSV, or has columns other than `in.` and `out.`.
pub fn golden_text(path: &Path) -> Result<String, Failure> {
    let text = text(path)?;
    Golden::parse(&text).map_err(|mut problems| {
        name_file(&mut problems, path);
        Failure::inputs(problems)
    })?;
    Ok(text)
}

fn text(path: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::input(Problem::new(
            "file.unreadable",
            format!("cannot read {}: {error}", path.display()),
        ))
    })?;
    csv::decode(&bytes).map(str::to_owned).map_err(|problem| {
        let place = problem.place.clone().unwrap_or_default();
        Failure::input(problem.at(format!("{}: {place}", path.display())))
    })
}

/// Adds the file to the place of problems of golden rows, which have only a line.
pub fn name_file(problems: &mut [Problem], file: &Path) {
    for problem in problems {
        let golden = ["golden.", "csv."]
            .iter()
            .any(|code| problem.code.starts_with(code));
        if let (true, Some(place)) = (golden, &problem.place) {
            problem.place = Some(format!("{}: {place}", file.display()));
        }
    }
}
