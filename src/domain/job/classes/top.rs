//! `[outputs] top_k`: the classes with the highest scores, instead of the scores of all.

use std::sync::Arc;

use super::{Filled, Named};
use crate::{
    codec::cql_type::CqlType,
    domain::{
        job::{
            manifest::TopK,
            postprocess::{Postprocess, Top, TopValue},
        },
        model::artifact::Artifacts,
        problem::Problem,
    },
};

const PLACE: &str = "outputs.top_k";

impl Named<'_> {
    /// Returns the columns `label_1`, `p_1` and so on; none without `top_k`. `requested` are the
    /// columns that the manifest names itself.
    pub(super) fn top(&mut self, artifacts: &Artifacts, requested: &[Filled]) -> Vec<Filled> {
        let Some(wanted) = &self.manifest.top_k else {
            return Vec::new();
        };
        let columns = self.top_columns(wanted, artifacts);
        let columns = columns.and_then(|columns| {
            let at = columns.first().map(|column| column.cell.output);
            let mut named = requested.iter();
            match named.find(|filled| Some(filled.cell.output) == at) {
                Some(named) => Err(Problem::new(
                    "job.output_twice",
                    format!("column `{}` holds the output of `top_k`", named.column.name),
                )
                .at(PLACE)
                .help("remove the column, or top_k")),
                None => Ok(columns),
            }
        });
        columns.unwrap_or_else(|problem| {
            self.report(problem);
            Vec::new()
        })
    }

    fn top_columns(&self, wanted: &TopK, artifacts: &Artifacts) -> Result<Vec<Filled>, Problem> {
        let at = self.top_output(wanted)?;
        let output = &self.outputs[at];
        let width = output.width();
        if wanted.k > width {
            let message = format!(
                "`k` is {}, but output `{}` has {width} scores",
                wanted.k, output.public_name
            );
            return Err(Problem::new("job.top_k", message).at("outputs.top_k.k"));
        }
        let names: Arc<[String]> = match &wanted.labels {
            Some(artifact) => artifacts
                .labels(artifact)
                .map_err(|problem| problem.at("outputs.top_k.labels"))?
                .clone(),
            None => self.classes.get(&at).cloned().unwrap_or_default().into(),
        };
        if names.len() != width {
            let (labels, name) = (names.len(), &output.public_name);
            let message =
                format!("{labels} labels are named, but output `{name}` has {width} scores");
            return Err(Problem::new("job.top_k", message)
                .at("outputs.top_k.labels")
                .help("push the version with --artifact labels=FILE, one label per line, and write labels = \"labels\""));
        }
        let prefix = if output.simplex { "p" } else { "score" };
        let column = |rank: usize, name: &str, value: TopValue| {
            let mut filled = self.filled(format!("{name}_{}", rank + 1), at, 0, 1, Vec::new());
            if let TopValue::Label(_) = &value {
                filled.column.cql_type = CqlType::Text;
            }
            filled.cell.width = width;
            filled.cell.postprocess = Postprocess::Top(Top { rank, value });
            filled
        };
        let ranks = (0..wanted.k).flat_map(|rank| {
            [
                column(rank, "label", TopValue::Label(names.clone())),
                column(rank, prefix, TopValue::Score),
            ]
        });
        Ok(ranks.collect())
    }

    fn top_output(&self, wanted: &TopK) -> Result<usize, Problem> {
        let scores: Vec<usize> = (0..self.outputs.len())
            .filter(|at| self.is_scores(*at) && self.outputs[*at].dims.len() == 1)
            .collect();
        let named = wanted.output.as_deref();
        let found = match named {
            Some(name) => self.resolve(name).filter(|at| scores.contains(at)),
            None => scores.first().copied().filter(|_| scores.len() == 1),
        };
        found.ok_or_else(|| {
            let message = match named {
                Some(name) => format!("version {} has no scores `{name}`", self.version),
                None => format!(
                    "version {} has {} outputs of several scores, not one",
                    self.version,
                    scores.len()
                ),
            };
            let help = format!("name one by `output`; its outputs: {}", self.described());
            Problem::new("job.top_k", message).at(PLACE).help(help)
        })
    }
}
