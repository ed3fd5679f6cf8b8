//! The command line that repeats a comparison.

use super::Args;
use crate::report::parts::shell;

/// Returns the command line, quoted for a shell.
pub fn command(args: &Args) -> String {
    let mut words = vec!["helenus".to_owned(), "compare".to_owned(), args.job.clone()];
    let mut put = |option: &str, value: Option<String>| {
        words.extend(
            value
                .into_iter()
                .flat_map(|value| [option.to_owned(), value]),
        );
    };
    put("--versions", Some(args.versions.join(",")));
    put("--segment", args.segment.clone());
    put("--score", args.score.clone());
    put("--top", Some(args.top.to_string()));
    put("--max-rate", args.max_rate.map(|rate| rate.to_string()));
    put(
        "--html",
        args.html.as_ref().map(|file| file.display().to_string()),
    );
    let words: Vec<_> = words.iter().map(|word| shell(word)).collect();
    words.join(" ")
}
