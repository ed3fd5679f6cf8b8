//! Parts of a page: tables, warnings, cards, and the page's origin.

use maud::{Markup, html};

/// Renders a table whose first column names the row.
pub fn table<const N: usize>(
    caption: &str,
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Markup {
    let header = header.map(str::to_owned);
    wide_table(caption, &header, rows.into_iter().map(Vec::from))
}

/// Renders a table with any number of columns.
pub fn wide_table(
    caption: &str,
    header: &[String],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Markup {
    html! {
        div .scroll tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead { tr { @for name in header { th scope="col" { (name) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (at, cell) in row.iter().enumerate() {
                                @if at == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Renders warnings, each `name: sentence`.
pub fn warnings(warnings: &[String]) -> Markup {
    html! {
        @if !warnings.is_empty() {
            aside .warnings aria-label="Warnings" {
                h2 { "Warnings" }
                ul {
                    @for warning in warnings {
                        @match warning.split_once(": ") {
                            Some((name, sentence)) => li { strong { (name.replace('_', " ")) } " – " (sentence) },
                            None => li { (warning) },
                        }
                    }
                }
            }
        }
    }
}

/// A headline figure.
#[derive(Debug)]
pub struct Card {
    pub name: String,
    pub value: String,
    /// Its interval, and its comparison with the baseline.
    pub notes: Vec<String>,
}

/// Renders cards side by side.
pub fn cards(cards: &[Card]) -> Markup {
    html! {
        div .cards {
            @for card in cards {
                section .card {
                    h3 { (card.name) }
                    p .value { (card.value) }
                    @for note in &card.notes { p { (note) } }
                }
            }
        }
    }
}

/// Renders the facts about the page's origin, and the command that repeats it.
pub fn origin(facts: &[(&str, String)], command: &str) -> Markup {
    html! {
        section .origin {
            h2 { "What produced this page" }
            dl {
                @for (name, fact) in facts {
                    dt { (name) }
                    dd { (fact) }
                }
            }
            p { "To repeat this:" }
            pre tabindex="0" { code { (command) } }
        }
    }
}

/// Quotes `argument` for a POSIX shell.
pub fn shell(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=,:@%+".contains(c);
    match !argument.is_empty() && argument.chars().all(plain) {
        true => argument.to_owned(),
        false => format!("'{}'", argument.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_survives_the_shell() {
        assert_eq!(shell("clinic.outcomes"), "clinic.outcomes");
        assert_eq!(shell("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(shell(""), "''");
    }
}
