//! `helenus token revoke`.

use serde_json::json;

use super::{Context, FileArg, TokenFile};
use crate::{
    domain::{names::nearest, problem::Problem, token},
    failure::Failure,
    output::Answer,
};

/// Remove a token, so that `helenus serve` refuses it
///
/// Removes the entry from the file of tokens (--file, or the setting serve.tokens). A running
/// server reads the file within a second.
///
/// Example:
///
///     helenus token revoke webshop --file /etc/helenus/tokens.toml
///
/// JSON result: {"name", "file"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The token's name
    name: String,
    #[command(flatten)]
    file: FileArg,
}

/// Removes the token.
///
/// # Errors
/// Exit 2: no file is known, or it has errors or cannot be edited; exit 5: no such token.
pub fn run(args: &Args, context: &Context) -> Result<Answer, Failure> {
    let path = args.file.required(context)?;
    let place = path.display().to_string();
    let file = TokenFile::open(&path)?;
    if !file.has(&args.name) {
        let names = file.entries.iter().map(|entry| entry.name.as_str());
        let message = format!("there is no token `{}`", args.name);
        let problem = Problem::new("tokens.unknown", message).at(place);
        return Err(Failure::not_found(match nearest(&args.name, names) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help("`helenus token list` shows all"),
        }));
    }
    let Some(text) = token::remove(&file.text, &args.name) else {
        let message = format!("the lines of token `{}` cannot be told apart", args.name);
        let problem = Problem::new("tokens.layout", message).at(place);
        return Err(Failure::input(problem.help(
            "remove the entry by hand, or write each as `[[token]]` with its lines",
        )));
    };
    file.replace(&text)?;
    let text = format!("revoked `{}`", args.name);
    Ok(Answer::new(json!({"name": args.name, "file": place}), text))
}
