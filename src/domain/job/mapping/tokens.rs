//! Features of `as = "tokens"`: one column whose tokens fill up to three inputs.

use super::{Mapper, listed};
use crate::{
    codec::{cql_type::CqlType, schema::Column},
    domain::{
        job::{
            Conversion, Place, Preparation, PreparationKind,
            manifest::{Feature, TokensSpec, key},
            prepare::{TokenPart, TokensRule},
        },
        model::{Input, ReadyVersion, tensor::Element},
        problem::Problem,
        tokenizer::{TokenShape, Tokenizer},
    },
};

impl Mapper<'_> {
    /// Returns the name of the feature whose tokens fill an input.
    pub(super) fn tokens_of(&self, input: &str) -> Option<String> {
        let mut features = self.features.iter();
        let found = features.find(|(_, feature)| {
            let spec = feature.tokens.as_ref();
            spec.is_some_and(|spec| spec.part_of(input).is_some())
        });
        found.map(|(name, _)| name.clone())
    }

    /// Reports inputs that the manifest names and the version has not, and inputs that two features
    /// fill.
    pub(super) fn check_tokens(&mut self, version: &ReadyVersion) {
        let inputs = &version.admitted.signature.inputs;
        for (name, feature) in self.features.clone() {
            let Some(spec) = feature.tokens else {
                continue;
            };
            let place = format!("features.{}", key(&name));
            let known = || listed(inputs.iter().map(|input| input.name.as_str()));
            let named = spec.inputs.iter().flatten();
            for (_, missing) in named.filter(|(_, name)| !inputs.iter().any(|it| it.name == *name))
            {
                let message = format!("version {} has no input `{missing}`", version.version);
                let problem = Problem::new("job.unknown_input", message)
                    .at(format!("{place}.inputs"))
                    .help(format!("choose from {}", known()));
                self.report(problem);
            }
            let fills = |input: &&Input| spec.part_of(&input.name).is_some();
            if spec.inputs.is_none() && !inputs.iter().any(|input| fills(&input)) {
                let message = format!(
                    "version {} has no input `input_ids`, `attention_mask` or `token_type_ids`",
                    version.version
                );
                let help = format!(
                    "say what each takes: inputs = {{ ids = \"…\", mask = \"…\" }}; it has {}",
                    known()
                );
                let problem = Problem::new("job.unknown_input", message).at(place.clone());
                self.report(problem.help(help));
            }
            for input in inputs.iter().filter(fills) {
                let other = self.tokens_of(&input.name);
                if let Some(other) = other.filter(|other| *other != name) {
                    let message = format!(
                        "features `{other}` and `{name}` both fill input `{}`",
                        input.name
                    );
                    let problem = Problem::new("job.ambiguous", message).at(place.clone());
                    self.report(problem.help("write `inputs` for each of them"));
                }
            }
        }
    }

    /// Maps a tokenized feature to one of its inputs; `None` after problems were reported.
    pub(super) fn place_tokens(
        &mut self,
        version: &ReadyVersion,
        input: &Input,
        (name, feature): (&str, &Feature),
        column: &Column,
    ) -> Option<Place> {
        let spec = feature.tokens.as_ref()?;
        let place = format!("features.{}", key(name));
        match self.tokens_rule(version, input, spec, column) {
            Ok(rule) => Some(Place {
                feature: name.to_owned(),
                column: 0,
                width: input.width(),
                conversion: Conversion::Prepared(Preparation {
                    element: input.element,
                    cql_type: column.cql_type.clone(),
                    kind: PreparationKind::Tokens(rule),
                }),
            }),
            Err(problem) => {
                let within = problem.place.clone().unwrap_or_default();
                self.report(problem.at(format!("{place}{within}")));
                None
            }
        }
    }

    /// Returns the rule of an input, or a problem whose place is an option, as `.tokenizer`.
    fn tokens_rule(
        &self,
        version: &ReadyVersion,
        input: &Input,
        spec: &TokensSpec,
        column: &Column,
    ) -> Result<TokensRule, Problem> {
        let number = version.version;
        if !matches!(
            column.cql_type.thawed(),
            CqlType::Text | CqlType::Ascii | CqlType::Blob
        ) {
            let message = format!(
                "column `{}` ({}) cannot be tokenized",
                column.name, column.cql_type
            );
            let problem = Problem::new("job.feature_type", message);
            return Err(problem.help("use a text, ascii or blob column"));
        }
        if !matches!(input.element, Element::Int64 | Element::Int32) {
            let message = format!(
                "version {number}: input `{}` takes {}, but tokens are integers",
                input.name,
                input.element.name()
            );
            let problem = Problem::new("job.feature_type", message);
            return Err(problem.help("export the model with inputs of int64 or int32"));
        }
        if input.width() != spec.max_length {
            let (takes, has) = (input.width(), spec.max_length);
            let message = format!(
                "version {number}: input `{}` takes {takes} tokens, but max_length is {has}",
                input.name
            );
            let help = format!(
                "write max_length = {takes}; or, where the file leaves the number open, push it again with --width {}={has}",
                input.name
            );
            return Err(Problem::new("job.width", message)
                .at(".max_length")
                .help(help));
        }
        let found = self.artifacts.tokenizer(&spec.tokenizer);
        let (tokenizer, sha256) = found.map_err(|problem| {
            let message = format!("version {number}: {}", problem.message);
            Problem { message, ..problem }.at(".tokenizer")
        })?;
        let part = spec.part_of(&input.name).unwrap_or(TokenPart::Ids);
        let pad = pad(spec, tokenizer)?;
        self.check_vocabulary(version, input, (part, tokenizer.as_ref()), pad.1)?;
        let shape = TokenShape {
            max_length: spec.max_length,
            truncation: spec.truncation,
            padding: spec.padding,
            pad,
            special_tokens: spec.special_tokens,
        };
        let shaped = tokenizer.shaped(&shape);
        Ok(TokensRule {
            name: spec.tokenizer.clone(),
            sha256,
            tokenizer: shaped
                .map_err(|message| Problem::new("job.width", message).at(".max_length"))?,
            part,
        })
    }

    /// Refuses a tokenizer of another model: one whose ids the graph's table does not have.
    fn check_vocabulary(
        &self,
        version: &ReadyVersion,
        input: &Input,
        (part, tokenizer): (TokenPart, &Tokenizer),
        pad: u32,
    ) -> Result<(), Problem> {
        let facts = tokenizer.facts();
        let (what, largest) = match part {
            TokenPart::Ids => ("token ids", facts.max_id.max(pad)),
            TokenPart::Mask => ("masks", 1),
            TokenPart::Types => ("token types", facts.max_type),
        };
        let limits = &version.admitted.index_limits;
        match limits.get(&input.name) {
            Some(rows) if u64::from(largest) >= *rows => Err(Problem::new(
                "job.vocabulary",
                format!(
                    "version {}: the tokenizer gives {what} up to {largest}, but input `{}` indexes a table of {rows} rows",
                    version.version, input.name
                ),
            )
            .at(".tokenizer")
            .help("push the version with the tokenizer that its model was trained with")),
            _ => Ok(()),
        }
    }
}

/// Returns the token that fills short texts, and its id.
fn pad(spec: &TokensSpec, tokenizer: &Tokenizer) -> Result<(String, u32), Problem> {
    let missing = |message: String| Problem::new("job.pad_token", message).at(".pad_token");
    match &spec.pad_token {
        Some(token) => {
            let id = tokenizer.id(token);
            let id = id.ok_or_else(|| missing(format!("the tokenizer has no token `{token}`")))?;
            Ok((token.clone(), id))
        }
        None => tokenizer.facts().pad.clone().ok_or_else(|| {
            missing("the tokenizer names no token that fills short texts".to_owned()).help(
                "write the one that the model was trained with: pad_token = \"<|endoftext|>\"",
            )
        }),
    }
}
