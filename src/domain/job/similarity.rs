//! Indexes on output columns, and which vectors an index for search by similarity can hold.
//!
//! Cassandra refuses a vector that its index cannot hold only after it has logged the write, and says
//! no more than that the write failed. So such a vector is found before it is sent.

use super::rejection::Rejection;
use crate::codec::schema::TableIndex;

/// Largest absolute value of a vector's component that an SAI index accepts (Cassandra 5.0).
const MAX_COMPONENT: f32 = 1e17;
/// The index option that names the function.
const OPTION: &str = "similarity_function";

/// Kind of index on an output column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputIndex {
    /// `index = true`: for comparisons.
    Comparison,
    /// `index = "cosine"` and the like: for the nearest vectors.
    Similarity(Similarity),
}

impl OutputIndex {
    /// Returns the similarity function, if the index has one.
    pub fn similarity(self) -> Option<Similarity> {
        match self {
            Self::Comparison => None,
            Self::Similarity(similarity) => Some(similarity),
        }
    }
}

/// The function by which an index compares vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Similarity {
    /// By the angle alone. A zero vector has none.
    Cosine,
    /// For vectors of length 1, of which it is the cosine.
    DotProduct,
    /// By the distance.
    Euclidean,
}

impl Similarity {
    /// All functions by their names in the manifest, which are Cassandra's.
    pub const ALL: [(&str, Self); 3] = [
        ("cosine", Self::Cosine),
        ("dot_product", Self::DotProduct),
        ("euclidean", Self::Euclidean),
    ];

    /// Returns the name in the manifest and in `similarity_function`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::DotProduct => "dot_product",
            Self::Euclidean => "euclidean",
        }
    }

    /// Returns the function of a live index on a vector column; `None` for another kind of index.
    pub fn of_index(index: &TableIndex) -> Option<Self> {
        // Cassandra's default is the cosine.
        let name = index.options.get(OPTION);
        let name = name.map_or("cosine", String::as_str).to_ascii_lowercase();
        let known = Self::ALL.iter().find(|(known, _)| *known == name);
        known.map(|(_, similarity)| *similarity)
    }

    /// Checks that an index with this function can hold the vector, given by its cell: the
    /// components of a `vector<float, n>`, big-endian.
    ///
    /// # Errors
    /// `vector_not_finite`, `vector_out_of_range`, or for the cosine `zero_vector`.
    pub fn check(self, output: &str, cell: &[u8]) -> Result<(), Rejection> {
        let reject = |code, what: &str| {
            let message =
                format!("output `{output}` {what}, which the index of its column cannot hold");
            Err(Rejection::new(code, message))
        };
        let mut squares = 0.0_f32;
        for component in components(cell) {
            if !component.is_finite() {
                return reject("vector_not_finite", "has a NaN or an infinity");
            }
            if component.abs() > MAX_COMPONENT {
                return reject("vector_out_of_range", "has a component above 1e17");
            }
            squares += component * component;
        }
        // So short that its squares vanish: its cosine with any vector would be NaN.
        if self == Self::Cosine && squares == 0.0 {
            return reject("zero_vector", "is a zero vector, without a direction");
        }
        Ok(())
    }
}

/// Returns the components of a cell of a `vector<float, n>`.
fn components(cell: &[u8]) -> impl Iterator<Item = f32> + '_ {
    let (components, _) = cell.as_chunks::<4>();
    components.iter().map(|bytes| f32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn checked(similarity: Similarity, vector: &[f32]) -> Result<(), &'static str> {
        let cell: Vec<u8> = vector.iter().flat_map(|v| v.to_be_bytes()).collect();
        let checked = similarity.check("v", &cell);
        checked.map_err(|rejection| match rejection.code {
            Cow::Borrowed(code) => code,
            Cow::Owned(code) => panic!("{code}"),
        })
    }

    #[test]
    fn only_the_cosine_refuses_a_zero_vector() {
        for zero in [[0.0, -0.0], [1e-30, 0.0]] {
            assert_eq!(checked(Similarity::Cosine, &zero), Err("zero_vector"));
            assert_eq!(checked(Similarity::DotProduct, &zero), Ok(()));
            assert_eq!(checked(Similarity::Euclidean, &zero), Ok(()));
        }
        assert_eq!(checked(Similarity::Cosine, &[1e-10, 0.0]), Ok(()));
    }

    #[test]
    fn no_index_holds_what_is_not_finite_or_too_large() {
        for (_, similarity) in Similarity::ALL {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let vector = [1.0, bad];
                assert_eq!(checked(similarity, &vector), Err("vector_not_finite"));
            }
            let vector = [1.0, -1.1e17];
            assert_eq!(checked(similarity, &vector), Err("vector_out_of_range"));
            assert_eq!(checked(similarity, &[1e17, 0.0]), Ok(()));
        }
    }

    #[test]
    fn a_live_index_tells_its_function_in_any_case() {
        let index = |options: &[(&str, &str)]| TableIndex {
            name: "i".to_owned(),
            column: "v".to_owned(),
            options: options
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        };
        let of = |options: &[(&str, &str)]| Similarity::of_index(&index(options));
        assert_eq!(of(&[]), Some(Similarity::Cosine));
        assert_eq!(of(&[(OPTION, "EUCLIDEAN")]), Some(Similarity::Euclidean));
        assert_eq!(of(&[(OPTION, "dot_product")]), Some(Similarity::DotProduct));
        assert_eq!(of(&[(OPTION, "hamming")]), None);
    }
}
