//! Columns that hold an embedding: `mean_pool` and `l2_normalise` of `[outputs.columns]`.

use super::{Filled, Named, described, is_float, place};
use crate::{
    codec::cql_type::CqlType,
    domain::{
        job::{
            manifest::ColumnSpec,
            mapping::listed,
            postprocess::{Embedding, Postprocess},
        },
        model::tensor::Element,
        problem::Problem,
    },
};

impl Named<'_> {
    /// Makes a requested column an embedding; `None` after a problem was reported.
    pub(super) fn embed(
        &mut self,
        name: &str,
        spec: &ColumnSpec,
        filled: &mut Filled,
    ) -> Option<()> {
        let output = &self.outputs[filled.cell.output];
        let public_name = output.public_name.clone();
        let unfit = |problem: Problem| problem.at(place(name));
        if spec.class.is_some() || spec.labels.is_some() || !is_float(output.element) {
            let message = format!(
                "output `{public_name}` ({}) cannot become an embedding here",
                described(output)
            );
            let help = "use `mean_pool` and `l2_normalise` for a whole output of floats, without `class` and `labels`";
            self.report(unfit(Problem::new("job.embedding", message).help(help)));
            return None;
        }
        let (mask, tokens, width) = match (&spec.mean_pool, output.dims.as_slice()) {
            (None, [width]) => (None, 1, *width),
            (Some(mask), [tokens, width]) => (Some(mask), *tokens, *width),
            (wanted, dims) => {
                let (message, help) = match wanted {
                    Some(_) => (
                        format!(
                            "output `{public_name}` has shape [N{}]; `mean_pool` needs [N, tokens, values]",
                            dims_text(dims)
                        ),
                        "remove `mean_pool`: the model pools already".to_owned(),
                    ),
                    None => (
                        format!(
                            "output `{public_name}` has shape [N{}]; `l2_normalise` alone needs [N, values]",
                            dims_text(dims)
                        ),
                        "add mean_pool = \"attention_mask\" to average the vectors of tokens"
                            .to_owned(),
                    ),
                };
                self.report(unfit(Problem::new("job.embedding", message).help(help)));
                return None;
            }
        };
        let mask = match mask {
            None => None,
            Some(mask) => Some(self.mask(name, mask, tokens)?),
        };
        let scalar = match output.element {
            Element::Double => CqlType::Double,
            _ => CqlType::Float,
        };
        // Too wide a vector is reported with all others.
        let width = u16::try_from(width).unwrap_or(u16::MAX);
        filled.column.cql_type = CqlType::Vector(Box::new(scalar), width);
        filled.column.classes.clear();
        filled.cell.postprocess = Postprocess::Embedding(Embedding {
            mask,
            tokens,
            is_normalised: spec.l2_normalise,
        });
        Some(())
    }

    /// Returns the index of the input with the mask.
    fn mask(&mut self, name: &str, mask: &str, tokens: usize) -> Option<usize> {
        let found = self.inputs.iter().position(|input| input.name == mask);
        let problem = match found.map(|at| (at, &self.inputs[at])) {
            Some((at, input)) if input.width() == tokens && input.element != Element::String => {
                return Some(at);
            }
            Some((_, input)) => Problem::new(
                "job.embedding",
                format!(
                    "input `{mask}` has {} values a row, but the output has {tokens} tokens",
                    input.width()
                ),
            ),
            None => {
                let known = self.inputs.iter().map(|input| input.name.as_str());
                Problem::new(
                    "job.unknown_input",
                    format!("version {} has no input `{mask}`", self.version),
                )
                .help(format!("choose from {}", listed(known)))
            }
        };
        self.report(problem.at(format!("{}.mean_pool", place(name))));
        None
    }

    /// Reports a column of more than one dimension per row.
    pub(super) fn check_rank(&mut self, filled: &Filled) {
        let output = &self.outputs[filled.cell.output];
        if output.dims.len() < 2 || filled.cell.postprocess != Postprocess::Nothing {
            return;
        }
        let output_name = &output.public_name;
        let message = format!(
            "version {}: output `{output_name}` has shape [N{}], more than one dimension per row",
            self.version,
            dims_text(&output.dims)
        );
        let help = format!(
            "average its tokens: write [outputs.columns] embedding = {{ output = {output_name:?}, mean_pool = \"attention_mask\" }}; or omit = [{output_name:?}]"
        );
        self.report(
            Problem::new("job.output_rank", message)
                .at("outputs")
                .help(help),
        );
    }
}

fn dims_text(dims: &[usize]) -> String {
    dims.iter().map(|dim| format!(", {dim}")).collect()
}
