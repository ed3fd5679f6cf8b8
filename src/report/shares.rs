//! Stacked bars of parts of a whole, one per version.

use maud::{Markup, html};

use super::{
    axis::{Axis, Frame, unit},
    figure::Figure,
    number::percent,
};

/// Height of a bar with its name above it.
const EACH: f64 = 46.0;

/// One bar.
#[derive(Debug)]
pub struct Whole {
    pub name: String,
    /// The count of each part, in the order of the parts' names.
    pub parts: Vec<u64>,
}

/// Draws bars of parts with these names: the first is filled, the next hatched, dotted, hollow.
pub fn draw(figure: Figure<'_>, names: &[&str], wholes: &[Whole]) -> Markup {
    let height = EACH * wholes.len() as f64 + 62.0;
    let mut frame = Frame::new(
        Axis::shares("Share of the source's rows").with_labels(percent),
        Axis::shares(""),
    );
    frame.height = height;
    let inside = html! {
        defs { @for at in 0..names.len() { (texture(&figure.id, at)) } }
        g .axes aria-hidden="true" { (frame.draw_x(56.0)) }
        @for (at, whole) in wholes.iter().enumerate() {
            @let top = 10.0 + EACH * at as f64;
            text .item x="62" y=(unit(top + 15.0)) { (whole.name) }
            @for (part, from, to) in places(&whole.parts) {
                @let (left, right) = (frame.at(from, 0.0).0, frame.at(to, 0.0).0);
                rect .part fill={ "url(#" (figure.id) "-part-" (part) ")" } x=(unit(left)) width=(unit(right - left)) y=(unit(top + 21.0)) height="18" {}
            }
        }
    };
    let drawn = Figure { height, ..figure };
    let key = html! {
        @for (at, name) in names.iter().enumerate() {
            li {
                svg .sample viewBox="0 0 34 12" aria-hidden="true" {
                    rect .part fill={ "url(#" (drawn.id) "-part-" (at) ")" } x="1" y="1" width="32" height="10" {}
                }
                (name)
            }
        }
    };
    drawn.draw_with(&key, &inside)
}

/// Returns (part, from, to) of each part that has rows.
fn places(parts: &[u64]) -> Vec<(usize, f64, f64)> {
    let all = parts.iter().sum::<u64>().max(1) as f64;
    let mut from = 0.0;
    let place = |(part, rows): (usize, &u64)| {
        let to = from + *rows as f64 / all;
        let place = (part, from, to);
        from = to;
        (*rows > 0).then_some(place)
    };
    parts.iter().enumerate().filter_map(place).collect()
}

fn texture(figure: &str, at: usize) -> Markup {
    html! {
        pattern id={ (figure) "-part-" (at) } width="6" height="6" patternUnits="userSpaceOnUse" {
            @match at {
                0 => rect .bar.s0 width="6" height="6" {},
                1 => { rect .empty width="6" height="6" {} path .hatch d="M-1 1L1 -1M0 6L6 0M5 7L7 5" {} },
                2 => { rect .empty width="6" height="6" {} circle .bar.s0 cx="3" cy="3" r="1.3" {} },
                _ => rect .empty width="6" height="6" {},
            }
        }
    }
}
