//! Reads `tokenizer.json`, which may be hostile: it is data from outside.

use serde::Deserialize;
use serde_json::Value;
use tokenizers::PostProcessor;

use super::{
    Tokenizer, TokenizerFacts, guarded,
    pattern::{PatternKind, kind},
};
use crate::domain::{printable::printable, problem::Problem};

/// Tokens that fill short texts where the file has no `padding`.
const PAD_TOKENS: [&str; 3] = ["[PAD]", "<pad>", "<|padding|>"];

/// Texts that an accepted tokenizer must survive.
const TRIALS: [&str; 6] = [
    "",
    " ",
    "a",
    "Größe, naïve",
    "東京\u{202e}👩‍👩‍👧\u{0}",
    "x\t\r\n  y",
];

/// What is checked beside what the library reads. A huge vocabulary is not kept twice.
#[derive(Deserialize)]
struct Outline {
    model: ModelOutline,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    padding: Option<PaddingOutline>,
}

#[derive(Deserialize)]
struct ModelOutline {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    dropout: Option<f64>,
    #[serde(default)]
    alpha: Option<f64>,
}

#[derive(Deserialize)]
struct PaddingOutline {
    pad_id: u32,
    pad_token: String,
}

pub(super) fn read(json: &[u8]) -> Result<(tokenizers::Tokenizer, TokenizerFacts), Problem> {
    let outline: Outline =
        serde_json::from_slice(json).map_err(|error| refused(error.to_string()))?;
    if outline.model.dropout.is_some_and(|dropout| dropout > 0.0)
        || outline.model.alpha.is_some_and(|alpha| alpha > 0.0)
    {
        let help = "remove `dropout` or `alpha` from its model: they are for training";
        return Err(refused("its tokens are random".to_owned()).help(help));
    }
    let mut looks_ahead = false;
    check_patterns(&outline.normalizer, &mut looks_ahead)?;
    check_patterns(&outline.pre_tokenizer, &mut looks_ahead)?;
    let mut inner = guarded(|| tokenizers::Tokenizer::from_bytes(json))
        .map_err(|fault| refused(fault.to_string()))?;
    guarded(|| {
        inner.with_padding(None);
        inner.with_truncation(None).map(|_| ())
    })
    .map_err(|fault| refused(fault.to_string()))?;
    let vocabulary = inner.get_vocab(true);
    let max_id = vocabulary.values().max().copied();
    let mut max_id = max_id.ok_or_else(|| refused("it has no tokens".to_owned()))?;
    let mut max_type = 0;
    for text in TRIALS {
        let tried = guarded(|| inner.encode_fast(text, true));
        let tried = tried.map_err(|fault| refused(format!("{text:?} {fault}")))?;
        // A post-processor may name ids that the vocabulary has not.
        max_id = tried.get_ids().iter().copied().fold(max_id, u32::max);
        max_type = tried
            .get_type_ids()
            .iter()
            .copied()
            .fold(max_type, u32::max);
    }
    let named = outline.padding.map(|pad| (pad.pad_token, pad.pad_id));
    let known = PAD_TOKENS.iter().find_map(|token| {
        let id = vocabulary.get(*token)?;
        Some(((*token).to_owned(), *id))
    });
    let facts = TokenizerFacts {
        model: outline.model.kind.unwrap_or_else(|| "unknown".to_owned()),
        tokens: vocabulary.len(),
        max_id,
        max_type,
        pad: named.or(known),
        special_tokens: inner
            .get_post_processor()
            .map_or(0, |processor| processor.added_tokens(false)),
        looks_ahead,
    };
    Ok((inner, facts))
}

/// Checks every regular expression of a normalizer or pre-tokenizer. `looks_ahead` becomes `true`
/// if one of them does.
fn check_patterns(part: &Value, looks_ahead: &mut bool) -> Result<(), Problem> {
    match part {
        Value::Array(parts) => {
            for part in parts {
                check_patterns(part, looks_ahead)?;
            }
        }
        Value::Object(fields) => {
            // Its pattern is the library's own.
            let is_byte_level = fields.get("type").and_then(Value::as_str) == Some("ByteLevel");
            if is_byte_level && fields.get("use_regex") != Some(&Value::Bool(false)) {
                *looks_ahead = true;
            }
            if let Some(pattern) = fields.get("Regex").and_then(Value::as_str) {
                let found = kind(pattern).map_err(|why| {
                    refused(format!(
                        "its pattern `{}` may need unbounded time: {why}",
                        printable(pattern)
                    ))
                    .help("only patterns without look-around and back-references are accepted, and \\s+(?!\\S)")
                })?;
                *looks_ahead |= found == PatternKind::LooksAhead;
            }
            for part in fields.values() {
                check_patterns(part, looks_ahead)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn refused(why: String) -> Problem {
    Problem::new(
        "artifact.tokenizer",
        format!("the tokenizer cannot be used: {why}"),
    )
}

impl Tokenizer {
    /// Returns whether a JSON file has the outline of a tokenizer.
    pub fn is_outlined(json: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Keys {
            #[serde(rename = "model")]
            _model: ModelOutline,
            #[serde(rename = "added_tokens")]
            _added_tokens: serde::de::IgnoredAny,
        }
        serde_json::from_slice::<Keys>(json).is_ok()
    }
}
