//! Changes the text of `tokens.toml` and keeps everything else in it, such as comments.

use super::{TokenEntry, parse};

const HEADER: &str = "[[token]]";

/// Returns the text with one more entry at its end.
pub fn append(text: &str, entry: &TokenEntry) -> String {
    let gap = match text {
        "" => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    format!("{text}{gap}{}", entry.render())
}

/// Returns the text without the entry of this name; `None` if the file is written in a way in
/// which the entry's lines cannot be told from others.
pub fn remove(text: &str, name: &str) -> Option<String> {
    let before = parse("", text).ok()?;
    let number = before.iter().position(|entry| entry.name == name)?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut headers = lines.iter().enumerate().filter(|(_, line)| is_header(line));
    let (first, _) = headers.nth(number)?;
    let next = headers.next().map_or(lines.len(), |(at, _)| at);
    // Comments directly above the next entry belong to it.
    let own = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let end = first + 1 + lines[first + 1..next].iter().rposition(own)?;
    let rest = lines[..first].concat() + &lines[end + 1..].concat();
    let after = parse("", &rest).ok()?;
    let others = before.iter().filter(|entry| entry.name != name);
    after.iter().eq(others).then_some(rest)
}

fn is_header(line: &str) -> bool {
    let code = line.split('#').next().unwrap_or_default();
    code.split_whitespace().collect::<String>() == HEADER
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::token::{Right, sha256};

    fn entry(name: &str) -> TokenEntry {
        TokenEntry {
            name: name.to_owned(),
            sha256: sha256(name),
            rights: vec![Right::Score],
            jobs: None,
            models: None,
            expires: None,
        }
    }

    #[test]
    fn an_entry_is_removed_with_its_lines_and_nothing_else() {
        let mut text = "# Who may call.\n".to_owned();
        for name in ["first", "second", "third"] {
            text = append(&format!("{text}# for {name}"), &entry(name));
        }
        let rest = remove(&text, "second").unwrap();
        let names: Vec<_> = parse("", &rest).unwrap();
        assert_eq!(names, [entry("first"), entry("third")]);
        for kept in ["# Who may call.", "# for first", "# for third"] {
            assert!(rest.contains(kept), "{kept}\n{rest}");
        }
        let rest = remove(&rest, "third").unwrap();
        let rest = remove(&rest, "first").unwrap();
        assert_eq!(parse("", &rest), Ok(Vec::new()));
        assert_eq!(remove(&rest, "first"), None);
    }

    #[test]
    fn a_file_whose_entries_are_not_lines_of_their_own_is_not_edited() {
        let hash = hex::encode(sha256("x"));
        let inline = format!("token = [{{name = 'x', sha256 = '{hash}', rights = ['read']}}]\n");
        assert_eq!(parse("", &inline).unwrap().len(), 1);
        assert_eq!(remove(&inline, "x"), None);
    }
}
