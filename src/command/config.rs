//! `helenus config`.

use serde_json::json;

use super::Context;
use crate::{
    failure::Failure,
    output::{self, Answer},
};

/// Print each setting and where it comes from
///
/// A setting is looked for on the command line, in the environment (`HELENUS_` and its name), and
/// in the first of --config, $HELENUS_CONFIG, ./helenus.toml, /etc/helenus/helenus.toml that
/// exists; files are never merged. Secrets are masked.
///
/// Example of a helenus.toml:
///
///     contact_points = ["10.0.0.1", "10.0.0.2"]
///     local_datacenter = "dc1"
///     username = "helenus"
///     password_file = "/run/secrets/helenus"
///     [tls]
///     enabled = true
///     ca = "/etc/helenus/ca.pem"
///
/// JSON result: {"file": path or null, "settings": {name: {"value": …, "origin": …}}}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {}

/// Prints the settings.
///
/// # Errors
/// None of its own: mistakes were found when they were read.
pub fn run(_: Args, context: &Context) -> Result<Answer, Failure> {
    let mut settings = serde_json::Map::new();
    let mut rows = Vec::new();
    for shown in context.config.shown() {
        let origin = shown.origin.to_string();
        settings.insert(
            shown.name.to_owned(),
            json!({"value": shown.value, "origin": origin}),
        );
        let value = shown.value.clone().unwrap_or_else(|| "-".to_owned());
        rows.push([shown.name.to_owned(), value, origin]);
    }
    let file = context.config.file();
    let read = file.map_or_else(
        || "no configuration file was read".to_owned(),
        |path| format!("configuration file: {}", path.display()),
    );
    Ok(Answer::new(
        json!({"file": file, "settings": settings}),
        format!(
            "{}\n\n{read}",
            output::table(["SETTING", "VALUE", "FROM"], rows)
        ),
    ))
}
