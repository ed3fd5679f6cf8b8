//! Manifests as people keep them: in files, with their expected rows beside them.

use std::path::Path;

use crate::{
    domain::{
        job::manifest::{Manifest, inline_expect},
        problem::Problem,
    },
    failure::Failure,
};

/// Reads a manifest file as it would be stored, with its expected rows inlined.
///
/// # Errors
/// Exit 2: a file can't be read; all problems of the manifest.
pub fn read_manifest(path: &Path) -> Result<(String, Manifest), Failure> {
    let text = read(path)?;
    let placed = |problems: Vec<Problem>| {
        Failure::inputs(
            problems
                .into_iter()
                .map(|problem| match &problem.place {
                    Some(place) => {
                        let place = format!("{}: {place}", path.display());
                        problem.at(place)
                    }
                    None => problem.at(path.display().to_string()),
                })
                .collect(),
        )
    };
    let manifest = Manifest::parse(&text).map_err(placed)?;
    let file = manifest
        .expect
        .as_ref()
        .filter(|expect| expect.rows.is_none())
        .and_then(|expect| expect.file.clone());
    let Some(file) = file else {
        return Ok((text, manifest));
    };
    let rows = path.parent().unwrap_or(Path::new("")).join(file);
    let text = inline_expect(&text, &read(&rows)?).map_err(|problem| placed(vec![problem]))?;
    let manifest = Manifest::parse(&text).map_err(placed)?;
    Ok((text, manifest))
}

fn read(path: &Path) -> Result<String, Failure> {
    let unusable = |message: String| {
        Failure::input(Problem::new("file.unusable", message).at(path.display().to_string()))
    };
    let bytes = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| unusable("the file is not UTF-8 text".to_owned()))
}
