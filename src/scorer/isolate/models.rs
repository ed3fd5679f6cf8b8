//! What a process loads.

use std::path::{Path, PathBuf};

use super::{
    super::{confined, image::Image, subject::Subject},
    ProcessTally,
};
use crate::domain::{
    job::prepare::{PreparationPlan, Preparer},
    model::Signature,
};

/// What the processes load, and their resource limits.
#[derive(Debug)]
pub struct Models {
    pub(super) program: PathBuf,
    pub(super) library: PathBuf,
    pub(super) memory: u64,
    pub(super) versions: Vec<(Image, Signature)>,
    pub(super) preparation: Option<Preparation>,
    pub(super) tally: ProcessTally,
}

/// What processes load that prepare cells, as a single version.
#[derive(Debug)]
pub(super) struct Preparation {
    pub(super) preparer: Preparer,
    pub(super) plan: PreparationPlan,
    pub(super) signature: Signature,
}

impl Models {
    /// `memory`: limit on a process's address space in bytes; four times the models' size more.
    pub fn new(library: &Path, memory: u64, versions: Vec<(Image, Signature)>) -> Self {
        Self {
            program: confined::program(),
            library: library.to_owned(),
            memory,
            versions,
            preparation: None,
            tally: ProcessTally::default(),
        }
    }

    /// Returns no models, but what prepares cells. `memory`: as in [`Models::new`], with the
    /// tokenizers' size.
    pub(in crate::scorer) fn preparing(memory: u64, preparer: &Preparer) -> Self {
        Self {
            preparation: Some(Preparation {
                plan: preparer.plan(),
                signature: preparer.signature(),
                preparer: preparer.clone(),
            }),
            ..Self::new(Path::new(""), memory, Vec::new())
        }
    }

    /// Returns the models' signatures.
    pub(in crate::scorer) fn signatures(&self) -> Vec<Signature> {
        let versions = 0..self.len();
        versions
            .map(|version| self.signature(version).clone())
            .collect()
    }

    pub(super) fn signature(&self, version: usize) -> &Signature {
        match &self.preparation {
            Some(preparation) => &preparation.signature,
            None => &self.versions[version].1,
        }
    }

    /// Returns the limit on address space, without what is loaded.
    pub(in crate::scorer) fn base_memory(&self) -> u64 {
        self.memory
    }

    /// Returns what the processes do, in words.
    pub(in crate::scorer) fn subject(&self) -> Subject {
        match &self.preparation {
            Some(preparation) => Subject::Preparation(preparation.preparer.clone()),
            None => Subject::Model,
        }
    }

    pub(super) fn memory(&self) -> u64 {
        let models = self.versions.iter().map(|(image, _)| image.bytes().len());
        let plans = self.preparation.iter();
        let tokenizers = plans.flat_map(|preparation| &preparation.plan.tokenizers);
        let sizes = models.chain(tokenizers.map(|file| file.len()));
        let size: u64 = sizes.map(|size| size as u64).sum();
        self.memory.saturating_add(size.saturating_mul(4))
    }

    /// Returns the number of models.
    pub(in crate::scorer) fn len(&self) -> usize {
        match self.preparation {
            Some(_) => 1,
            None => self.versions.len(),
        }
    }
}
