//! What another process needs to prepare the same: the rules, and the tokenizers' files.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    super::{Conversion, Place},
    BytesRule, ImageRule, Preparation, PreparationKind, TokenPart, TokensRule,
};
use crate::{
    codec::cql_type::CqlType,
    domain::{
        model::tensor::Element,
        problem::Problem,
        tokenizer::{TokenShape, Tokenizer},
    },
};

/// The prepared inputs of a version.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct PreparationPlan {
    inputs: Vec<PlannedInput>,
    /// The bytes of each `tokenizer.json`. They are large and sent by themselves.
    #[serde(skip)]
    pub tokenizers: Vec<Arc<[u8]>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PlannedInput {
    input: usize,
    column: usize,
    feature: String,
    width: usize,
    element: Element,
    cql_type: CqlType,
    kind: PlannedKind,
}

#[derive(Debug, Serialize, Deserialize)]
enum PlannedKind {
    Bytes(BytesRule),
    Image(ImageRule),
    Tokens {
        name: String,
        sha256: [u8; 32],
        /// Index into the tokenizers.
        tokenizer: usize,
        shape: TokenShape,
        part: TokenPart,
    },
}

impl PreparationPlan {
    pub(super) fn add(&mut self, input: usize, place: &Place, preparation: &Preparation) {
        let kind = match &preparation.kind {
            PreparationKind::Bytes(rule) => PlannedKind::Bytes(rule.clone()),
            PreparationKind::Image(rule) => PlannedKind::Image(rule.clone()),
            PreparationKind::Tokens(rule) => PlannedKind::Tokens {
                name: rule.name.clone(),
                sha256: rule.sha256,
                tokenizer: self.tokenizer(rule.tokenizer.file()),
                shape: rule.tokenizer.shape().clone(),
                part: rule.part,
            },
        };
        self.inputs.push(PlannedInput {
            input,
            column: place.column,
            feature: place.feature.clone(),
            width: place.width,
            element: preparation.element,
            cql_type: preparation.cql_type.clone(),
            kind,
        });
    }

    fn tokenizer(&mut self, file: &Arc<[u8]>) -> usize {
        let known = self.tokenizers.iter().position(|known| known == file);
        known.unwrap_or_else(|| {
            self.tokenizers.push(Arc::clone(file));
            self.tokenizers.len() - 1
        })
    }

    /// Returns each input and its place.
    ///
    /// # Errors
    /// A tokenizer cannot be read, or is missing.
    pub(super) fn places(&self) -> Result<Vec<(usize, Place)>, Problem> {
        let read = self.tokenizers.iter().map(|file| Tokenizer::parse(file));
        let tokenizers: Vec<Tokenizer> = read.collect::<Result<_, _>>()?;
        let inputs = self.inputs.iter();
        inputs
            .map(|input| Ok((input.input, input.place(&tokenizers)?)))
            .collect()
    }
}

impl PlannedInput {
    fn place(&self, tokenizers: &[Tokenizer]) -> Result<Place, Problem> {
        let kind = match &self.kind {
            PlannedKind::Bytes(rule) => PreparationKind::Bytes(rule.clone()),
            PlannedKind::Image(rule) => PreparationKind::Image(rule.clone()),
            PlannedKind::Tokens {
                name,
                sha256,
                tokenizer,
                shape,
                part,
            } => {
                let wrong = |why: String| Problem::new("artifact.tokenizer", why);
                let found = tokenizers.get(*tokenizer);
                let found = found.ok_or_else(|| wrong("a tokenizer is missing".to_owned()))?;
                PreparationKind::Tokens(TokensRule {
                    name: name.clone(),
                    sha256: *sha256,
                    tokenizer: found.shaped(shape).map_err(wrong)?,
                    part: *part,
                })
            }
        };
        Ok(Place {
            feature: self.feature.clone(),
            column: self.column,
            width: self.width,
            conversion: Conversion::Prepared(Preparation {
                element: self.element,
                cql_type: self.cql_type.clone(),
                kind,
            }),
        })
    }
}
