//! `mean_pool` and `l2_normalise`, as the Python package `sentence-transformers` computes them.

use super::Embedding;

/// Smallest number of tokens and smallest length that a vector is divided by, as
/// `sentence-transformers` and `torch.nn.functional.normalize` have them: a row without tokens
/// becomes zeros.
const MIN_TOKENS: f64 = 1e-9;
const MIN_LENGTH: f64 = 1e-12;

/// Returns the embedding of a row. `values` are its vectors, token after token; `mask` has a value
/// per token, and is ignored without pooling. Sums are computed in double precision.
pub fn embed_row(rule: &Embedding, values: &[f64], mask: &[bool]) -> Vec<f64> {
    let mut vector = match rule.mask {
        None => values.to_vec(),
        Some(_) => mean(values, values.len() / rule.tokens.max(1), mask),
    };
    if rule.is_normalised {
        let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
        let length = length.max(MIN_LENGTH);
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vector
}

fn mean(values: &[f64], width: usize, mask: &[bool]) -> Vec<f64> {
    let mut sums = vec![0.0; width];
    let mut tokens = 0.0;
    for (vector, _) in values
        .chunks_exact(width)
        .zip(mask)
        .filter(|(_, is_token)| **is_token)
    {
        tokens += 1.0;
        for (sum, value) in sums.iter_mut().zip(vector) {
            *sum += value;
        }
    }
    let tokens = f64::max(tokens, MIN_TOKENS);
    sums.iter_mut().for_each(|sum| *sum /= tokens);
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOLED: Embedding = Embedding {
        mask: Some(0),
        tokens: 3,
        is_normalised: false,
    };

    #[test]
    fn only_tokens_count() {
        let values = [1.0, 2.0, 5.0, 6.0, 100.0, 100.0];
        assert_eq!(
            embed_row(&POOLED, &values, &[true, true, false]),
            [3.0, 4.0]
        );
        let normalised = Embedding {
            is_normalised: true,
            ..POOLED
        };
        let vector = embed_row(&normalised, &values, &[true, true, false]);
        assert_eq!(vector, [0.6, 0.8]);
    }

    #[test]
    fn a_row_without_tokens_is_zeros() {
        let normalised = Embedding {
            is_normalised: true,
            ..POOLED
        };
        assert_eq!(embed_row(&normalised, &[1.0; 6], &[false; 3]), [0.0, 0.0]);
    }
}
