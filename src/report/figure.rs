//! A picture with its heading, its description and its key.

use maud::{Markup, html};

use super::axis::WIDTH;

/// One version in a picture.
#[derive(Debug, Clone)]
pub struct Series {
    /// The position, which determines colour, dashes and mark.
    pub at: usize,
    /// The name in the key.
    pub name: String,
}

#[derive(Debug)]
pub struct Figure<'a> {
    /// Unique on the page; letters, digits and hyphens.
    pub id: String,
    pub title: &'a str,
    /// Description for screen readers.
    pub words: String,
    /// Note below the picture.
    pub note: &'a str,
    /// Height in units of the picture.
    pub height: f64,
}

impl Figure<'_> {
    /// Renders the picture with `inside` and the key of `series`.
    pub fn draw(&self, series: &[Series], inside: &Markup) -> Markup {
        let key = html! {
            @for one in series {
                li {
                    svg .sample viewBox="0 0 34 12" aria-hidden="true" {
                        line .line.(class(one.at)) x1="1" x2="33" y1="6" y2="6" {}
                        (mark(one.at, 17.0, 6.0))
                    }
                    (one.name)
                }
            }
        };
        self.draw_with(&key, inside)
    }

    /// Renders the picture with `inside` and a key of these items.
    pub fn draw_with(&self, key: &Markup, inside: &Markup) -> Markup {
        let (title, words) = (format!("{}-title", self.id), format!("{}-words", self.id));
        html! {
            figure id=(self.id) {
                figcaption { (self.title) }
                svg viewBox={ "0 0 " (WIDTH) " " (self.height) } role="img" aria-labelledby={ (title) " " (words) } {
                    title id=(title) { (self.title) }
                    desc id=(words) { (self.words) }
                    (inside)
                }
                @if !key.0.is_empty() { ul .key { (key) } }
                @if !self.note.is_empty() { p .note { (self.note) } }
            }
        }
    }
}

/// Returns the CSS class of a series.
pub fn class(at: usize) -> &'static str {
    ["s0", "s1", "s2", "s3", "s4", "s5"][at % 6]
}

/// Draws a mark whose shape identifies the series without its colour.
pub fn mark(at: usize, x: f64, y: f64) -> Markup {
    let class = class(at);
    let [left, right, top, bottom] = [x - 4.0, x + 4.0, y - 4.0, y + 4.0];
    html! {
        @match at % 4 {
            0 => circle .mark.(class) cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="4" {},
            1 => rect .mark.(class) x=(format!("{:.1}", x - 3.5)) y=(format!("{:.1}", y - 3.5)) width="7" height="7" {},
            2 => path .mark.(class) d=(format!("M{x:.1} {top:.1}L{right:.1} {bottom:.1}L{left:.1} {bottom:.1}Z")) {},
            _ => path .mark.(class) d=(format!("M{x:.1} {top:.1}L{right:.1} {y:.1}L{x:.1} {bottom:.1}L{left:.1} {y:.1}Z")) {},
        }
    }
}
