//! `helenus retraining list`.

use serde_json::json;

use super::{Context, as_json, requests, when};
use crate::{
    failure::Failure,
    output::{self, Answer},
};

/// List retrainings, and what became of the last one
///
/// Examples:
///
///     helenus retraining list
///     helenus retraining list tumour
///
/// JSON result: {"retrainings": [as `helenus retraining show`, with the newest request only …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Only retrainings of this model
    model: Option<String>,
}

/// Lists the retrainings.
///
/// # Errors
/// Exit 3: Cassandra.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let mut rows = store.retrainings().await?;
    let model = args.model.as_deref();
    rows.retain(|row| row.removed != Some(true) && model.is_none_or(|model| model == row.model));
    rows.sort_by(|a, b| (&a.model, &a.name).cmp(&(&b.model, &b.name)));
    let (mut shown, mut lines) = (Vec::new(), Vec::new());
    for row in &rows {
        let status = store.retraining_status(&row.model, &row.name).await?;
        let known = requests(&store, &row.model, &row.name, 1).await?;
        let last = match (status.problems.first(), known.first()) {
            (Some(problem), _) => problem.clone(),
            (None, Some((request, _))) => {
                let reason = request.reason.as_ref().map(|reason| format!(": {reason}"));
                format!("{}{}", request.state.as_str(), reason.unwrap_or_default())
            }
            (None, None) => "-".to_owned(),
        };
        let version = known.first().and_then(|(request, _)| request.version);
        lines.push([
            row.model.clone(),
            row.name.clone(),
            row.trainer.clone().unwrap_or_default(),
            when(row),
            version.map_or_else(|| "-".to_owned(), |version| version.to_string()),
            last,
        ]);
        shown.push(as_json(row, &status, &known));
    }
    let header = ["MODEL", "RETRAINING", "TRAINER", "WHEN", "VERSION", "LAST"];
    let text = match rows.is_empty() {
        true => "no retrainings; add one with `helenus retraining add`".to_owned(),
        false => output::table(header, lines),
    };
    Ok(Answer::new(json!({"retrainings": shown}), text))
}
