//! Tables of multi-class classification: confusion matrices and figures by class.

use maud::{Markup, html};

use crate::{
    domain::evidence::evaluation::{classes::Classes, target::class_names},
    inspect::evaluate::Evaluated,
    report::{
        figure::Series,
        matrix,
        number::{self, count},
        parts,
    },
};

/// Renders the confusion matrix and the figures of each class, version by version.
pub fn draw(versions: &[(Series, &Classes)], evaluated: &Evaluated) -> Markup {
    let names = class_names(&evaluated.target);
    html! {
        div .matrices {
            @for (series, own) in versions {
                (matrix::draw(&format!("{}: confusion matrix", series.name), &names, own.confusion()))
            }
        }
        @for (series, own) in versions { (by_class(series, own, &names)) }
    }
}

fn by_class(series: &Series, own: &Classes, names: &[String]) -> Markup {
    let share = |part: u64, total: u64| match total {
        0 => "–".to_owned(),
        total => number::value(part as f64 / total as f64),
    };
    let classes = own.by_class();
    let rows = names.iter().zip(&classes).map(|(name, class)| {
        [
            name.clone(),
            count(class.truth),
            count(class.predicted),
            share(class.right, class.predicted),
            share(class.right, class.truth),
            number::value(class.f1()),
        ]
    });
    let header = ["Class", "Rows", "Predicted", "Precision", "Recall", "F1"];
    parts::table(&format!("{}: each class", series.name), header, rows)
}
