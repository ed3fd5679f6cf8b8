//! Values with their intervals, one below the other, such as a metric by segment.

use maud::{Markup, html};

use super::{
    axis::{Axis, Frame, WIDTH, unit},
    figure::{Figure, Series, class, mark},
    number,
};

/// Number of characters of a name that fit the picture.
const NAME: usize = 34;
const HEAD: f64 = 18.0;
const ROW: f64 = 15.0;

/// The values of one segment.
#[derive(Debug)]
pub struct Item {
    pub name: String,
    pub rows: u64,
    /// One value per version, or `None`.
    pub values: Vec<Option<Estimate>>,
}

/// A value and its interval.
#[derive(Debug, Clone, Copy)]
pub struct Estimate {
    pub value: f64,
    /// Ends of the interval.
    pub ends: Option<(f64, f64)>,
}

/// Draws items from top to bottom, with `label` under the axis.
pub fn draw(figure: Figure<'_>, label: &str, series: &[Series], items: &[Item]) -> Markup {
    let all = items.iter().flat_map(|item| item.values.iter().flatten());
    let ends = all.flat_map(|Estimate { value, ends }| {
        let (low, high) = ends.unwrap_or((*value, *value));
        [low, high, *value]
    });
    let (from, to) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), end| {
        (from.min(end), to.max(end))
    });
    if from > to {
        return html! {};
    }
    let each = HEAD + ROW * series.len() as f64 + 8.0;
    let height = each * items.len() as f64 + 60.0;
    let mut frame = Frame::new(Axis::round(from, to, label), Axis::shares(""));
    frame.height = height;
    let place = |x: f64| frame.at(x, 0.0).0;
    let inside = html! {
        g .axes aria-hidden="true" { (frame.draw_x(4.0)) }
        @for (at, item) in items.iter().enumerate() {
            @let top = 10.0 + each * at as f64;
            text .item x="14" y=(unit(top + 13.0)) { (cut(&item.name)) " · " (number::count(item.rows)) " rows" }
            @for (version, value) in item.values.iter().enumerate() {
                @let y = top + HEAD + ROW * (version as f64 + 0.5);
                @if let Some(Estimate { value, ends }) = value {
                    @if let Some((low, high)) = ends {
                        line .whisker.(class(version)) x1=(unit(place(*low))) x2=(unit(place(*high))) y1=(unit(y)) y2=(unit(y)) {}
                    }
                    (mark(version, place(*value), y))
                }
            }
            @if at > 0 { line .grid x1="4" x2=(WIDTH - 12.0) y1=(unit(top)) y2=(unit(top)) {} }
        }
    };
    Figure { height, ..figure }.draw(series, &inside)
}

fn cut(name: &str) -> String {
    match name.char_indices().nth(NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}
