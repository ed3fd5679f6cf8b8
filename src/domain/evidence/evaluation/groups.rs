//! One partial result per jackknife group; only groups with rows are stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Merge;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Groups<T> {
    groups: BTreeMap<u8, T>,
}

impl<T: Default> Groups<T> {
    /// Returns the group's result, to add to it.
    pub fn entry(&mut self, group: u8) -> &mut T {
        self.groups.entry(group).or_default()
    }
}

impl<T: Merge + Clone + Default> Groups<T> {
    /// Returns all groups merged in ascending order.
    pub fn total(&self) -> T {
        let mut total = T::default();
        self.groups.values().for_each(|group| total.merge(group));
        total
    }

    /// Returns, for each group with rows, all other groups merged, in O(groups) merges.
    pub fn leave_one_out(&self) -> BTreeMap<u8, T> {
        let groups: Vec<_> = self.groups.iter().collect();
        let mut after = vec![T::default(); groups.len() + 1];
        for at in (0..groups.len()).rev() {
            let mut rest = groups[at].1.clone();
            rest.merge(&after[at + 1]);
            after[at] = rest;
        }
        let mut before = T::default();
        let mut left = BTreeMap::new();
        for (at, (group, held)) in groups.iter().enumerate() {
            let mut others = before.clone();
            others.merge(&after[at + 1]);
            left.insert(**group, others);
            before.merge(held);
        }
        left
    }

    /// Returns the number of groups for which `holds` is true.
    pub fn count(&self, holds: impl Fn(&T) -> bool) -> usize {
        self.groups.values().filter(|group| holds(group)).count()
    }
}

impl<T: Merge + Clone> Merge for Groups<T> {
    fn merge(&mut self, other: &Self) {
        for (group, theirs) in &other.groups {
            match self.groups.get_mut(group) {
                Some(mine) => mine.merge(theirs),
                None => {
                    self.groups.insert(*group, theirs.clone());
                }
            }
        }
    }
}
