//! Refuses outputs that the cluster's release of Cassandra cannot store.

use super::CompiledJob;
use crate::{
    codec::cql_type::CqlType,
    domain::{
        cassandra::{Release, ServerFeature},
        problem::Problem,
    },
};

impl CompiledJob {
    /// Returns whether a release that lacks something might be unable to store the outputs.
    pub fn needs_server_features(&self) -> bool {
        let mut outputs = self.target.outputs.iter();
        outputs.any(|column| column.index.is_some() || is_vector(&column.cql_type))
    }

    /// Returns a problem for each output that `release` cannot store or index.
    pub fn unsupported_outputs(&self, release: &Release) -> Vec<Problem> {
        let mut problems = Vec::new();
        for column in &self.target.outputs {
            let name = &column.name;
            if is_vector(&column.cql_type) && !release.has(ServerFeature::Vectors) {
                problems.push(
                    Problem::new(
                        "job.server_lacks_vector",
                        format!(
                            "column `{name}` is a {}; Cassandra {release} has no vectors",
                            column.cql_type
                        ),
                    )
                    .at("outputs")
                    .help("store single values of it in [outputs.columns] or name up to 32 in outputs.classes, leave it out with outputs.omit, or upgrade to Cassandra 5.0"),
                );
            }
            if column.index.is_some() && !release.has(ServerFeature::Sai) {
                problems.push(
                    Problem::new(
                        "job.server_lacks_sai",
                        format!("column `{name}` has an index; Cassandra {release} has no SAI indexes"),
                    )
                    .at("outputs.columns")
                    .help("remove `index = true`, or upgrade to Cassandra 5.0: older indexes cannot compare scores"),
                );
            }
        }
        problems
    }
}

fn is_vector(cql_type: &CqlType) -> bool {
    matches!(cql_type.thawed(), CqlType::Vector(..))
}
