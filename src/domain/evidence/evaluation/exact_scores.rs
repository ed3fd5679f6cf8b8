//! All labelled scores, so that metrics of their order are exact.

use std::{borrow::Cow, cmp::Ordering};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::score_bins::{Block, ByClass};

/// Rows of one score, group and class.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    score: f64,
    rows: u32,
    group: u8,
    positive: bool,
}

/// Memory per stored score, in bytes.
pub const CELL_BYTES: usize = size_of::<Cell>();

impl Cell {
    /// Orders cells from the highest score down.
    fn order(&self, other: &Self) -> Ordering {
        let place = (self.group, self.positive);
        let score = other.score.total_cmp(&self.score);
        score.then_with(|| place.cmp(&(other.group, other.positive)))
    }

    fn is_beside(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Equal
    }
}

/// Rows by score, group and class, in any order until they are compacted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExactScores {
    cells: Vec<Cell>,
    /// Number of cells at the beginning that are in order and distinct by score, group and class.
    compacted: usize,
}

impl ExactScores {
    /// Adds a row. `score` must not be NaN.
    pub fn add(&mut self, group: u8, positive: bool, score: f64) {
        self.cells.push(Cell {
            // -0.0 and 0.0 are a tie.
            score: score + 0.0,
            rows: 1,
            group,
            positive,
        });
    }

    /// Adds another one's cells.
    pub fn append(&mut self, other: &Self) {
        self.cells.extend_from_slice(&other.cells);
    }

    /// Returns the number of cells; after [`Self::compact`] the number of distinct ones.
    pub fn cells(&self) -> usize {
        self.cells.len()
    }

    /// Merges equal cells.
    pub fn compact(&mut self) {
        if self.compacted == self.cells.len() {
            return;
        }
        self.cells.sort_unstable_by(Cell::order);
        self.cells.dedup_by(|next, kept| {
            let sum = kept.rows.checked_add(next.rows);
            // Beyond 2^32 rows, a second cell counts the rest.
            match sum.filter(|_| kept.is_beside(next)) {
                Some(sum) => kept.rows = sum,
                None => return false,
            }
            true
        });
        self.compacted = self.cells.len();
    }

    fn in_order(&self) -> Cow<'_, [Cell]> {
        if self.compacted == self.cells.len() {
            return Cow::Borrowed(&self.cells);
        }
        let mut own = self.clone();
        own.compact();
        Cow::Owned(own.cells)
    }

    /// Calls `see` for each distinct score with its rows, from the highest score down.
    pub fn blocks(&self, mut see: impl FnMut(Block<'_>)) {
        let mut groups: Vec<(u8, ByClass)> = Vec::new();
        for tied in self.in_order().chunk_by(|a, b| a.score == b.score) {
            groups.clear();
            for cell in tied {
                if groups.last().is_none_or(|(group, _)| *group != cell.group) {
                    groups.push((cell.group, ByClass::default()));
                }
                if let Some((_, rows)) = groups.last_mut() {
                    rows.add(cell.positive, u64::from(cell.rows));
                }
            }
            see(Block {
                score: tied[0].score,
                tied: true,
                groups: &groups,
            });
        }
    }
}

/// Serialised form: scores of CQL `float` take four bytes, and each distinct score is written once.
#[derive(Serialize, Deserialize)]
struct Wire {
    scores: Distinct,
    /// Cells of each score.
    lengths: Vec<u32>,
    /// (2 x group + class, rows).
    cells: Vec<(u8, u32)>,
}

#[derive(Serialize, Deserialize)]
enum Distinct {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

impl Serialize for ExactScores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let cells = self.in_order();
        let (mut scores, mut lengths) = (Vec::new(), Vec::new());
        for tied in cells.chunk_by(|a, b| a.score == b.score) {
            scores.push(tied[0].score);
            lengths.push(u32::try_from(tied.len()).unwrap_or(u32::MAX));
        }
        let is_single = |score: &f64| f64::from(*score as f32) == *score;
        Wire {
            scores: match scores.iter().all(is_single) {
                true => Distinct::Single(scores.iter().map(|score| *score as f32).collect()),
                false => Distinct::Double(scores),
            },
            lengths,
            cells: cells
                .iter()
                .map(|cell| (2 * cell.group + u8::from(cell.positive), cell.rows))
                .collect(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ExactScores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let scores: Vec<f64> = match wire.scores {
            Distinct::Single(scores) => scores.into_iter().map(f64::from).collect(),
            Distinct::Double(scores) => scores,
        };
        let total: u64 = wire.lengths.iter().copied().map(u64::from).sum();
        if scores.len() != wire.lengths.len() || total != wire.cells.len() as u64 {
            return Err(D::Error::custom(
                "the numbers of scores and of their rows differ",
            ));
        }
        let scores = scores.into_iter().zip(wire.lengths);
        let scores = scores.flat_map(|(score, cells)| (0..cells).map(move |_| score));
        let cells = scores.zip(wire.cells).map(|(score, (place, rows))| Cell {
            score,
            rows,
            group: place / 2,
            positive: place % 2 == 1,
        });
        let cells: Vec<Cell> = cells.collect();
        Ok(Self {
            compacted: cells.len(),
            cells,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks_of(scores: &ExactScores) -> Vec<(f64, Vec<(u8, ByClass)>)> {
        let mut told = Vec::new();
        scores.blocks(|block| told.push((block.score, block.groups.to_vec())));
        told
    }

    #[test]
    fn equal_scores_are_one_block_in_memory_and_on_the_way() {
        let mut scores = ExactScores::default();
        for (group, positive, score) in [
            (3, true, 0.5),
            (1, false, 0.5),
            (3, true, 0.5),
            (3, false, 0.5),
            (0, true, 0.0),
            (0, true, -0.0),
            (99, true, 0.1),
        ] {
            scores.add(group, positive, score);
        }
        let rows = |negative, positive| ByClass { negative, positive };
        let expected = vec![
            (0.5, vec![(1, rows(1, 0)), (3, rows(1, 2))]),
            (0.1, vec![(99, rows(0, 1))]),
            (0.0, vec![(0, rows(0, 2))]),
        ];
        assert_eq!(blocks_of(&scores), expected);
        let config = bincode::config::standard();
        let bytes = bincode::serde::encode_to_vec(&scores, config).unwrap();
        let (back, _): (ExactScores, _) =
            bincode::serde::decode_from_slice(&bytes, config).unwrap();
        scores.compact();
        assert_eq!((scores.cells(), &back), (5, &scores));
        back.blocks(|block| assert!(block.tied));
        assert_eq!(blocks_of(&back), expected);
    }

    #[test]
    fn a_score_takes_few_bytes_on_the_way() {
        let mut scores = ExactScores::default();
        for row in 0..10_000_u32 {
            scores.add((row % 100) as u8, row % 3 == 0, f64::from(row as f32 / 7.0));
        }
        let bytes = bincode::serde::encode_to_vec(&scores, bincode::config::standard()).unwrap();
        assert!(bytes.len() <= 7 * 10_000 + 20, "{}", bytes.len());
        assert_eq!(CELL_BYTES, 16);
    }
}
