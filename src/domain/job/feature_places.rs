//! Feature names of wide inputs, and the number of places that each fills.
//!
//! A name fills one place. The name of a vector among single values carries the number of its
//! places: `embedding[3]`. If there are as many names as places, each fills one, even if it looks
//! like that (`temperature[3]` of a data frame).

/// Returns the names and the number of places of each, in order, if they fill `total` places.
pub fn feature_places(names: &[String], total: usize) -> Option<Vec<(&str, usize)>> {
    if names.len() == total {
        return Some(names.iter().map(|name| (name.as_str(), 1)).collect());
    }
    let places: Vec<_> = names.iter().map(|name| with_width(name)).collect();
    let filled = places
        .iter()
        .fold(0_usize, |sum, (_, width)| sum.saturating_add(*width));
    (filled == total).then_some(places)
}

/// Returns a label for each place: the feature's name, or `embedding[0]`, `embedding[1]` …
pub fn place_labels(names: &[String], total: usize) -> Option<Vec<String>> {
    let places = feature_places(names, total)?;
    let labels = places.into_iter().flat_map(|(name, width)| {
        (0..width).map(move |place| match width {
            1 => name.to_owned(),
            _ => format!("{name}[{place}]"),
        })
    });
    Some(labels.collect())
}

fn with_width(name: &str) -> (&str, usize) {
    let carried = || {
        let (short, width) = name.strip_suffix(']')?.rsplit_once('[')?;
        let width = width.parse().ok().filter(|width| *width > 0)?;
        (!short.is_empty()).then_some((short, width))
    };
    carried().unwrap_or((name, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_name_carries_a_width_only_where_names_alone_are_too_few() {
        let carried = names(&["limit", "v[3]", "avg"]);
        assert_eq!(
            feature_places(&carried, 5),
            Some(vec![("limit", 1), ("v", 3), ("avg", 1)])
        );
        assert_eq!(
            place_labels(&carried, 5),
            Some(names(&["limit", "v[0]", "v[1]", "v[2]", "avg"]))
        );
        // Columns of a data frame may be called so.
        assert_eq!(
            feature_places(&carried, 3),
            Some(vec![("limit", 1), ("v[3]", 1), ("avg", 1)])
        );
        assert_eq!(feature_places(&carried, 4), None);
        for odd in ["v[0]", "v[-1]", "[3]", "v[]", "v[x]", "v3]"] {
            assert_eq!(feature_places(&names(&[odd]), 3), None, "{odd}");
        }
        let huge = names(&["v[18446744073709551615]", "w[2]"]);
        assert_eq!(feature_places(&huge, 1), None);
    }
}
