//! `helenus model retire`.

use super::{super::Context, ask, no_version};
use crate::{
    domain::model::check_name, failure::Failure, output::Answer,
    store::registry::alias_requests::AliasRequest,
};

/// Take a version out of service
///
/// New runs no longer use the version, and no alias can point at it. Its predictions, its bytes and
/// its lineage stay. Refused while an alias points at it.
///
/// Example:
///
///     helenus model retire tumour 1 --why "trained before the scanner was replaced"
///
/// JSON result: {"model", "alias": null, "version", "request": {"day", "id"}, "answer", "reason"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    name: String,
    /// The version's number
    version: i32,
    /// Reason, stored with the version
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    wait: ask::Wait,
}

/// Requests the retirement and returns its answer.
///
/// # Errors
/// Exit 5: no such version; exit 4: the version is in use or not ready.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    check_name("a model", &args.name).map_err(Failure::input)?;
    let store = context.store().await?;
    if store.version(&args.name, args.version).await?.is_none() {
        return Err(no_version(&args.name, Some(args.version)));
    }
    let request = AliasRequest {
        action: Some("retire".to_owned()),
        model: Some(args.name),
        version: Some(args.version),
        why: args.why,
        ..AliasRequest::default()
    };
    ask::ask(&store, context, request, args.wait).await
}
