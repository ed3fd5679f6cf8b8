//! `helenus bundle`.

use std::{io::BufWriter, path::PathBuf};

use serde_json::json;

use super::{
    Context,
    whole_file::{Content, Existing, WholeFile, is_stdout},
};
use crate::{
    domain::problem::Problem,
    engine::bundle,
    failure::Failure,
    output::{Answer, Format},
};

/// Write a job with its models into a file that `helenus pipe` scores with, without Cassandra
///
/// The file has the manifest, the schemas of source and prediction table, the admissions and the
/// bytes of the models. It has no credentials, no expected rows and no golden rows.
///
/// Examples:
///
///     helenus bundle tumour tumour.bundle
///     helenus bundle tumour tumour.bundle --version champion
///
/// JSON result: {"job", "revision", "versions": [number …], "file", "bytes": bytes of models}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// Output file; an existing one is replaced. `-` is standard output
    file: PathBuf,
    /// Only this version of the job, by number or alias (can be repeated)
    #[arg(long = "version", value_name = "VERSION")]
    versions: Vec<String>,
}

/// Writes the bundle.
///
/// # Errors
/// Exit 5: no such job; exit 2: a version that is not the job's, or the file can't be written.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let to_stdout = is_stdout(&args.file);
    if to_stdout && context.format == Format::Json {
        let message = "standard output is reserved for the JSON object of --output json";
        return Err(Failure::input(Problem::new("usage", message)));
    }
    let store = context.store().await?;
    let header = bundle::describe(&store, &args.job, &args.versions).await?;
    let mut file = WholeFile::begin(&args.file, Content::Public, Existing::Replace)?;
    file.refuse_terminal("a bundle")?;
    let bytes = header.write(&store, BufWriter::new(&mut file)).await?;
    file.finish()?;
    let versions: Vec<i32> = header.scored().map(|version| version.version).collect();
    let result = json!({
        "job": args.job,
        "revision": header.revision,
        "versions": versions,
        "file": args.file,
        "bytes": bytes,
    });
    let numbers: Vec<String> = versions.iter().map(ToString::to_string).collect();
    let text = match to_stdout {
        true => String::new(),
        false => format!(
            "{}: job `{}`, revision {}, versions {}, {bytes} bytes of models",
            args.file.display(),
            args.job,
            header.revision,
            numbers.join(", "),
        ),
    };
    Ok(Answer::new(result, text))
}
