//! Pages for people: one file, no network, no script. What is drawn comes from the domain; here it
//! only gets its form.
//!
//! Every text goes through `maud`, which escapes it; the style alone is put in as it is.

pub mod axis;
pub mod bars;
pub mod figure;
pub mod intervals;
pub mod lines;
pub mod matrix;
pub mod metric;
pub mod number;
pub mod parts;
pub mod shares;

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("page.css");
/// Whatever slipped in would neither run nor load anything.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// A whole page. `about` is one sentence under the title.
pub fn page(title: &str, about: &str, body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "helenus " (env!("CARGO_PKG_VERSION")) };
                title { (title) }
                // An icon of its own, or browsers ask a server for one.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title) }
                    p .about { (about) }
                }
                main { (body) }
            }
        }
    }
    .into_string()
}
