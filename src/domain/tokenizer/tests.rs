use super::*;

const WORDS: &str = r#"{"version": "1.0", "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
  "padding": null, "added_tokens": [{"id": 0, "content": "[PAD]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
  "normalizer": NORMALIZER, "pre_tokenizer": PRE, "post_processor": POST, "decoder": null,
  "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "\#\#", "max_input_chars_per_word": 100,
            "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4, "b": 5, "\#\#b": 6}}}"#;

/// Post-processor that adds `[CLS]` and `[SEP]`, the latter under the given id.
fn bert(separator: u32) -> String {
    format!(r#"{{"type": "BertProcessing", "sep": ["[SEP]", {separator}], "cls": ["[CLS]", 2]}}"#)
}

fn words(
    normalizer: &str,
    pre_tokenizer: &str,
    post_processor: &str,
) -> Result<Tokenizer, Problem> {
    let json = WORDS
        .replace(r"\#\#", "##")
        .replace("NORMALIZER", normalizer)
        .replace("PRE", pre_tokenizer)
        .replace("POST", post_processor);
    Tokenizer::parse(json.as_bytes())
}

fn plain() -> Tokenizer {
    words("null", r#"{"type": "Whitespace"}"#, &bert(3)).unwrap()
}

fn shape(max_length: usize, truncation: Truncation, padding: Side) -> TokenShape {
    TokenShape {
        max_length,
        truncation,
        padding,
        pad: ("[PAD]".to_owned(), 0),
        special_tokens: true,
    }
}

fn ids(tokenizer: &Tokenizer, shape: &TokenShape, text: &str) -> Result<Vec<u32>, TokenFault> {
    let tokens = tokenizer.shaped(shape).unwrap().encode(text)?;
    Ok(tokens.ids)
}

#[test]
fn the_jobs_length_replaces_the_files() {
    let tokenizer = plain();
    let right = shape(6, Truncation::Cut(Side::Right), Side::Right);
    assert_eq!(ids(&tokenizer, &right, "a ab"), Ok(vec![2, 4, 4, 6, 3, 0]));
    assert_eq!(
        ids(&tokenizer, &right, "a b a b a"),
        Ok(vec![2, 4, 5, 4, 5, 3])
    );
    let left = shape(5, Truncation::Cut(Side::Left), Side::Left);
    assert_eq!(ids(&tokenizer, &left, "a a b a b"), Ok(vec![2, 5, 4, 5, 3]));
    assert_eq!(ids(&tokenizer, &left, ""), Ok(vec![0, 0, 0, 2, 3]));
    let tokens = tokenizer.shaped(&left).unwrap().encode("a").unwrap();
    assert_eq!(tokens.mask, [0, 0, 1, 1, 1]);
    assert_eq!(tokens.types, [0; 5]);
}

#[test]
fn long_texts_are_rejected_where_the_job_says_so() {
    let reject = shape(4, Truncation::Reject, Side::Right);
    assert_eq!(ids(&plain(), &reject, "a b"), Ok(vec![2, 4, 5, 3]));
    let fault = TokenFault::TooManyTokens { got: 5, room: 4 };
    assert_eq!(ids(&plain(), &reject, "a b b"), Err(fault));
    let huge = "a".repeat(MAX_TEXT + 1);
    assert_eq!(
        ids(&plain(), &reject, &huge),
        Err(TokenFault::TooLong(MAX_TEXT + 1))
    );
}

#[test]
fn a_length_without_room_is_refused() {
    let full = shape(2, Truncation::Cut(Side::Right), Side::Right);
    assert!(plain().shaped(&full).is_err());
}

#[test]
fn equal_shapes_share_a_tokenizer() {
    let (tokenizer, one) = (plain(), shape(9, Truncation::Reject, Side::Left));
    let (a, b) = (
        tokenizer.shaped(&one).unwrap(),
        tokenizer.shaped(&one).unwrap(),
    );
    assert!(Arc::ptr_eq(&a, &b));
}

#[test]
fn ids_of_the_post_processor_count() {
    assert_eq!(plain().facts().max_id, 6);
    let odd = words("null", r#"{"type": "Whitespace"}"#, &bert(70)).unwrap();
    assert_eq!(odd.facts().max_id, 70);
    assert_eq!(odd.facts().pad, Some(("[PAD]".to_owned(), 0)));
    assert_eq!(odd.facts().special_tokens, 2);
}

#[test]
fn patterns_that_could_run_away_are_refused() {
    let split = |pattern: &str| {
        format!(
            r#"{{"type": "Split", "pattern": {{"Regex": "{pattern}"}}, "behavior": "Isolated", "invert": false}}"#
        )
    };
    for pattern in ["(a+)+(?!b)", r"(a)\\1", "("] {
        let problem = words("null", &split(pattern), "null").unwrap_err();
        assert_eq!(problem.code, "artifact.tokenizer");
        let nested = format!(
            r#"{{"type": "Sequence", "pretokenizers": [{}]}}"#,
            split(pattern)
        );
        assert!(words("null", &nested, "null").is_err());
    }
    let replace = r#"{"type": "Replace", "pattern": {"Regex": "(?<=a)b"}, "content": "c"}"#;
    assert!(words(replace, "null", "null").is_err());
    assert!(words("null", &split(r"\\s+(?!\\S)|a"), "null").is_ok());
}

#[test]
fn a_run_of_spaces_beyond_the_matchers_stack_is_rejected() {
    let looks_ahead = words("null", r#"{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}"#, "null").unwrap();
    let cut = shape(4, Truncation::Cut(Side::Right), Side::Right);
    let spaces = " ".repeat(MAX_SPACES + 1);
    assert_eq!(
        ids(&looks_ahead, &cut, &spaces),
        Err(TokenFault::Spaces(MAX_SPACES + 1))
    );
    assert!(ids(&looks_ahead, &cut, &" ".repeat(MAX_SPACES)).is_ok());
    assert!(ids(&plain(), &cut, &spaces).is_ok());
}

#[test]
fn files_that_are_no_tokenizers_or_are_random_are_refused() {
    for json in [
        "{}",
        r#"{"model": {"type": "WordPiece", "vocab": 1}}"#,
        "[]",
        "",
    ] {
        assert!(Tokenizer::parse(json.as_bytes()).is_err(), "{json}");
    }
    let dropout = r#"{"model": {"type": "BPE", "dropout": 0.1, "vocab": {"a": 0}, "merges": []}, "added_tokens": []}"#;
    let problem = Tokenizer::parse(dropout.as_bytes()).unwrap_err();
    assert!(problem.message.contains("random"), "{problem:?}");
    let deep = format!(
        "{{\"model\": {}1{}, \"added_tokens\": []}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(Tokenizer::parse(deep.as_bytes()).is_err());
}
