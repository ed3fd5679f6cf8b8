//! Models of several targets, for which the user must name the score.

use super::{columns::Columns, reading::Cell};
use crate::domain::problem::Problem;

impl Columns<'_> {
    /// Returns the score of a class, if there is one.
    ///
    /// # Errors
    /// Several columns have scores of that class.
    pub(super) fn score_of<'s>(
        &self,
        scores: &'s [(String, Cell)],
        class: &str,
    ) -> Result<Option<&'s Cell>, Problem> {
        let of_class = scores.iter().filter(|(known, _)| known == class);
        let cells: Vec<&Cell> = of_class.map(|(_, cell)| cell).collect();
        match cells.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => {
                let what = format!("several scores of class `{class}`");
                Err(self.several(&what, &cells, class))
            }
        }
    }

    /// Checks that all scores are of one output: only then are they scores of alternative classes.
    ///
    /// # Errors
    /// Scores of several outputs.
    pub(super) fn check_one_output(&self, scores: &[(String, Cell)]) -> Result<(), Problem> {
        let output = |cell: &Cell| {
            let kept = self.version.outputs.get(cell.column)?.as_ref();
            kept.map(|kept| kept.output)
        };
        let Some((class, first)) = scores.first() else {
            return Ok(());
        };
        if scores.iter().all(|(_, cell)| output(cell) == output(first)) {
            return Ok(());
        }
        let cells: Vec<&Cell> = scores.iter().map(|(_, cell)| cell).collect();
        Err(self.several("scores of several outputs", &cells, class))
    }

    fn several(&self, what: &str, cells: &[&Cell], class: &str) -> Problem {
        let name = |cell: &&Cell| self.job.target.outputs[cell.column].name.as_str();
        let names: Vec<&str> = cells.iter().map(name).collect();
        let message = format!(
            "version {} has {what}: {}",
            self.version.ready.version,
            names.join(", ")
        );
        Problem::new("evaluate.several_scores", message)
            .at("column")
            .help(format!(
                "name one: --column {} --positive {class}",
                names.first().unwrap_or(&"NAME")
            ))
    }
}
