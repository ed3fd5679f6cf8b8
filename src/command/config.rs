//! `helenus config`.

use serde_json::json;

use super::Context;
use crate::{
    failure::Failure,
    output::{self, Answer},
};

/// Print each setting and where it comes from
///
/// The command line overrides the environment (`HELENUS_` and the name of the setting), which
/// overrides the file. helenus reads the first file that exists of --config, $HELENUS_CONFIG,
/// ./helenus.toml and /etc/helenus/helenus.toml; files are never merged. Secrets are masked.
///
/// ./helenus.toml must belong to you or to root, and neither group nor others may have permission to
/// write it. Unless you name it (--config, HELENUS_CONFIG), it must not set `onnxruntime`. Nor must
/// it set `contact_points` if the password comes from the environment, the command line or a file
/// outside the directory.
///
/// Example of helenus.toml:
///
///     contact_points = ["10.0.0.1", "10.0.0.2"]
///     local_datacenter = "dc1"
///     username = "helenus"
///     password_file = "/run/secrets/helenus"
///     [tls]
///     enabled = true
///     ca = "/etc/helenus/ca.pem"
///
/// JSON result: {"file": path or null, "file_from_working_directory": bool, "settings": {name:
///   {"value", "origin"}}}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {}

/// Prints the settings.
///
/// # Errors
/// None: errors were found when the settings were read.
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
    let file_text = file.map_or_else(
        || "no configuration file was read".to_owned(),
        |file| match file.is_from_working_directory {
            true => format!(
                "configuration file: {}, found in the working directory",
                file.path.display()
            ),
            false => format!("configuration file: {}", file.path.display()),
        },
    );
    Ok(Answer::new(
        json!({
            "file": file.map(|file| &file.path),
            "file_from_working_directory": file.is_some_and(|file| file.is_from_working_directory),
            "settings": settings,
        }),
        format!(
            "{}\n\n{file_text}",
            output::table(["SETTING", "VALUE", "FROM"], rows)
        ),
    ))
}
