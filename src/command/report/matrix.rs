//! What was predicted against what came true.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{
    number::{count, percent},
    parts,
};

/// Classes that are drawn as a square; with more, the commonest mistakes are listed.
const SQUARE: usize = 16;
/// Mistakes listed.
const LISTED: usize = 25;

/// (truth, predicted) -> rows, by number of the class.
pub type Cells = BTreeMap<(u16, u16), u64>;

/// A table with a row a true class; shades go by the share of the row.
pub fn draw(caption: &str, classes: &[String], cells: &Cells) -> Markup {
    let name = |class: u16| classes.get(usize::from(class)).map_or("", String::as_str);
    if classes.len() > SQUARE {
        let mut wrong: Vec<_> = cells
            .iter()
            .filter(|((truth, said), _)| truth != said)
            .collect();
        wrong.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let rows = wrong.iter().take(LISTED).map(|((truth, said), rows)| {
            [
                name(*truth).to_owned(),
                name(*said).to_owned(),
                count(**rows),
            ]
        });
        let caption = format!(
            "{caption}: the commonest of {} kinds of mistakes",
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
                        @let of = |said: u16| cells.get(&(truth, said)).copied().unwrap_or(0);
                        @let all: u64 = (0_u16..).zip(classes).map(|(said, _)| of(said)).sum();
                        tr {
                            th scope="row" { (class) }
                            @for (said, _) in (0_u16..).zip(classes) {
                                @let share = of(said) as f64 / all.max(1) as f64;
                                td .(format!("shade{}", (share * 8.0).ceil())).right[said == truth] {
                                    (count(of(said)))
                                    @if all > 0 { small { (percent(share)) } }
                                }
                            }
                            td { @if all > 0 { (percent(of(truth) as f64 / all as f64)) } @else { "–" } }
                        }
                    }
                }
            }
        }
    }
}
