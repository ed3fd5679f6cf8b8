//! Confusion matrices.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{
    number::{count, percent},
    parts,
};

/// Maximum number of classes drawn as a square; with more, the most common errors are listed.
const MAX_SQUARE: usize = 16;
/// Maximum number of errors listed.
const MAX_LISTED: usize = 25;

/// Rows by (true class, predicted class).
pub type Cells = BTreeMap<(u16, u16), u64>;

/// Draws a table with one row per true class; the shade shows the share within the row.
pub fn draw(caption: &str, classes: &[String], cells: &Cells) -> Markup {
    let name = |class: u16| classes.get(usize::from(class)).map_or("", String::as_str);
    if classes.len() > MAX_SQUARE {
        let mut wrong: Vec<_> = cells
            .iter()
            .filter(|((truth, predicted), _)| truth != predicted)
            .collect();
        wrong.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let rows = wrong
            .iter()
            .take(MAX_LISTED)
            .map(|((truth, predicted), rows)| {
                [
                    name(*truth).to_owned(),
                    name(*predicted).to_owned(),
                    count(**rows),
                ]
            });
        let caption = format!(
            "{caption}: the most common of {} kinds of errors",
            wrong.len()
        );
        return parts::table(&caption, ["Truth", "Predicted", "Rows"], rows);
    }
    html! {
        div .scroll tabindex="0" role="region" aria-label=(caption) {
            table .matrix {
                caption { (caption) }
                thead {
                    tr {
                        th scope="col" { "Truth" }
                        @for class in classes { th scope="col" { "predicted " (class) } }
                        th scope="col" { "right" }
                    }
                }
                tbody {
                    @for (truth, class) in (0_u16..).zip(classes) {
                        @let count_of = |predicted: u16| cells.get(&(truth, predicted)).copied().unwrap_or(0);
                        @let all: u64 = (0_u16..).zip(classes).map(|(predicted, _)| count_of(predicted)).sum();
                        tr {
                            th scope="row" { (class) }
                            @for (predicted, _) in (0_u16..).zip(classes) {
                                @let share = count_of(predicted) as f64 / all.max(1) as f64;
                                td .(format!("shade{}", (share * 8.0).ceil())).right[predicted == truth] {
                                    (count(count_of(predicted)))
                                    @if all > 0 { small { (percent(share)) } }
                                }
                            }
                            td { @if all > 0 { (percent(count_of(truth) as f64 / all as f64)) } @else { "–" } }
                        }
                    }
                }
            }
        }
    }
}
