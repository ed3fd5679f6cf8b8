//! HTML pages: one file, no network, no script. The domain computes the values; this module draws them.
//!
//! `maud` escapes every text; only the style is inserted as it is.

pub mod axis;
pub mod bars;
pub mod drift;
pub mod experiment;
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
/// Content-Security-Policy: injected content could neither run nor load anything.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// Renders a whole page. `about` is the text under the title.
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
                // An empty icon, because browsers would request one from a server.
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
