//! The documentation is executed: what it shows is what helenus takes.

use std::{fs, path::Path};

use helenus::domain::manifest::Manifest;

/// A fenced block of a Markdown file: the words behind the fence, its text, its first line.
struct Block {
    words: String,
    text: String,
    place: String,
}

/// All fenced blocks of a file of the repository, in order.
fn blocks(file: &str) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match (line.strip_prefix("```"), &mut open) {
            (Some(words), None) => {
                open = Some(Block {
                    words: words.trim().to_owned(),
                    text: String::new(),
                    place: format!("{file}:{number}"),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{file}: a block never ends");
    blocks
}

#[test]
fn every_manifest_shown_is_one_and_every_fragment_fits_into_one() {
    let mut seen = 0;
    for block in blocks("docs/manifest.md") {
        let text = match block.words.as_str() {
            "toml" => block.text,
            "toml fragment" => {
                let source = match block.text.contains("[source]") {
                    true => "",
                    false => "source = { table = 'k.t' }\n",
                };
                format!(
                    "job = 'j'\nmodel = 'm'\nversions = [1]\n{source}{}",
                    block.text
                )
            }
            _ => continue,
        };
        if let Err(problems) = Manifest::parse(&text) {
            panic!("{}: {problems:#?}", block.place);
        }
        seen += 1;
    }
    assert!(seen > 8, "{seen} manifests in docs/manifest.md");
}
