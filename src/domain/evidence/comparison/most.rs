//! The entities that differ most, in a bounded heap.

use std::{cmp::Reverse, collections::BinaryHeap};

use serde::{Deserialize, Serialize};

/// An entity whose predictions by two versions differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Differing {
    /// The absolute score difference; 0 without scores.
    pub distance: f64,
    /// Whether the labels differ.
    pub relabelled: bool,
    /// The key as a WHERE clause.
    pub key: String,
    /// Of the baseline and of the version.
    pub labels: [Option<String>; 2],
    /// Of the baseline and of the version, if the score is one number.
    pub scores: [Option<f64>; 2],
    /// Its segment, if segments were requested.
    pub segment: Option<String>,
}

impl Eq for Differing {}

impl PartialOrd for Differing {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Differing {
    /// The more different one is greater. Of equal ones, it is the one whose key comes first, so
    /// that the list does not depend on the order of rows.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.distance
            .total_cmp(&other.distance)
            .then(self.relabelled.cmp(&other.relabelled))
            .then_with(|| other.key.cmp(&self.key))
    }
}

/// The entities that differ most, up to a maximum number.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Most {
    wanted: usize,
    heap: BinaryHeap<Reverse<Differing>>,
}

impl Most {
    pub fn new(wanted: usize) -> Self {
        Self {
            wanted,
            heap: BinaryHeap::new(),
        }
    }

    /// Returns whether an entity with this difference would be kept; if not, it need not be built.
    pub fn takes(&self, distance: f64, relabelled: bool) -> bool {
        let differs = distance > 0.0 || relabelled;
        let has_room = self.heap.len() < self.wanted;
        let least = self
            .heap
            .peek()
            .map(|least| (least.0.distance, least.0.relabelled));
        differs && (has_room || least.is_some_and(|least| (distance, relabelled) >= least))
    }

    pub fn add(&mut self, entity: Differing) {
        self.heap.push(Reverse(entity));
        if self.heap.len() > self.wanted {
            self.heap.pop();
        }
    }

    pub fn merge(&mut self, other: Self) {
        other.heap.into_iter().for_each(|entity| self.add(entity.0));
    }

    /// Returns the entities, the most different one first.
    pub fn sorted(&self) -> Vec<&Differing> {
        let mut all: Vec<_> = self.heap.iter().map(|entity| &entity.0).collect();
        all.sort_by(|a, b| b.cmp(a));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differing(distance: f64, key: &str) -> Differing {
        Differing {
            distance,
            relabelled: false,
            key: key.to_owned(),
            labels: [None, None],
            scores: [None, None],
            segment: None,
        }
    }

    #[test]
    fn the_list_is_the_same_in_any_order() {
        let all: Vec<_> = (0..100)
            .map(|i| differing(f64::from(i % 10) / 10.0, &format!("id = {i:02}")))
            .collect();
        let of = |entities: &[Differing]| {
            let mut most = Most::new(12);
            for entity in entities {
                if most.takes(entity.distance, entity.relabelled) {
                    most.add(entity.clone());
                }
            }
            most
        };
        let mut backwards = all.clone();
        backwards.reverse();
        let keys = |most: &Most| -> Vec<String> {
            most.sorted()
                .iter()
                .map(|entity| entity.key.clone())
                .collect()
        };
        let whole = of(&all);
        let mut merged = Most::new(12);
        backwards.chunks(7).for_each(|part| merged.merge(of(part)));
        assert_eq!(keys(&whole), keys(&merged));
        assert_eq!(keys(&whole).len(), 12);
        assert_eq!(keys(&whole)[0], "id = 09");
        assert_eq!(keys(&whole)[10], "id = 08");
        assert!(!whole.takes(0.0, false));
    }
}
