//! Names for people: similar known names, and identifiers made of names.

use uuid::Uuid;

/// Cassandra's limit for names of indexes.
const MAX_INDEX_NAME: usize = 48;

/// Returns the known name that was probably meant.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(name);
    known
        .map(|candidate| {
            let likeness = match fold(candidate) {
                same if same == folded => 1.0,
                other => strsim::jaro_winkler(&folded, &other),
            };
            (candidate, likeness)
        })
        .filter(|(_, likeness)| *likeness > 0.8)
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(candidate, _)| candidate)
}

fn fold(name: &str) -> String {
    as_identifier(name).to_lowercase()
}

/// Replaces every character but ASCII letters, digits and `_` by `_`.
pub fn as_identifier(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

/// Does the same in lower case, as class and output names become columns.
pub fn as_column(name: &str) -> String {
    as_identifier(&name.to_lowercase())
}

/// Returns the name of the index that helenus makes on a column of a prediction table.
pub fn index_name(table: &str, column: &str) -> String {
    let plain = as_identifier(&format!("{table}_{column}_idx"));
    if plain.len() <= MAX_INDEX_NAME {
        return plain;
    }
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{table}.{column}").as_bytes());
    format!("helenus_{}", id.simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_one_that_could_be_meant() {
        let known = ["mean_radius", "mean_area", "city"];
        assert_eq!(
            nearest("mean radius", known.into_iter()),
            Some("mean_radius")
        );
        assert_eq!(nearest("meanarea", known.into_iter()), Some("mean_area"));
        assert_eq!(nearest("Citi", known.into_iter()), Some("city"));
        assert_eq!(nearest("xyz", known.into_iter()), None);
    }

    #[test]
    fn classes_become_lower_case_identifiers() {
        assert_eq!(as_column("Château d'Or (2)"), "ch_teau_d_or__2_");
        assert_eq!(as_identifier("od280/od315"), "od280_od315");
    }
}
