//! The commit that a folder is of.

use std::{
    collections::BTreeSet,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use super::PlanArgs;
use crate::{domain::problem::Problem, failure::Failure};

/// Returns the commit of the folder's work tree, or the one that is given.
///
/// # Errors
/// Exit 2: no work tree, or files of the folder that are not committed.
pub fn of_folder(args: &PlanArgs, allow_dirty: bool) -> Result<String, Failure> {
    if let Some(commit) = &args.commit {
        return Ok(commit.clone());
    }
    let wrong = |message: String, help: &str| {
        let problem = Problem::new("apply.commit", message).at(args.folder.display().to_string());
        Failure::input(problem.help(help))
    };
    let help = "apply a folder within a Git work tree, or give --commit";
    let commit = git(&args.folder, &["rev-parse", "HEAD"])
        .map_err(|why| wrong(format!("the commit of the folder is unknown: {why}"), help))?;
    let commit = commit.trim().to_owned();
    let status = git(&args.folder, &["status", "--porcelain", "--", "."]).map_err(|why| {
        wrong(
            format!("the state of the work tree is unknown: {why}"),
            help,
        )
    })?;
    match (status.trim().is_empty(), allow_dirty) {
        (true, _) => Ok(commit),
        (false, true) => Ok(format!("{commit}+changes")),
        (false, false) => Err(wrong(
            format!(
                "{} files of the folder are not committed",
                status.lines().count()
            ),
            "commit them, so that the history shows what was applied, or use --allow-dirty",
        )),
    }
}

/// Returns those of the commits that the folder's repository has.
pub fn known(folder: &Path, commits: &BTreeSet<String>) -> BTreeSet<String> {
    // Git answers a line for each, `missing` for those that it does not have.
    let asked: String = commits
        .iter()
        .map(|commit| format!("{}\n", commit.trim_end_matches("+changes")))
        .collect();
    let Ok(answer) = git_with(folder, &["cat-file", "--batch-check"], &asked) else {
        return BTreeSet::new();
    };
    let answers = answer.lines();
    commits
        .iter()
        .zip(answers)
        .filter(|(_, line)| line.split(' ').nth(1) == Some("commit"))
        .map(|(commit, _)| commit.clone())
        .collect()
}

fn git(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    git_with(folder, arguments, "")
}

fn git_with(folder: &Path, arguments: &[&str], input: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("git: {error}");
    let mut child = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // Beside the reading: many lines do not fit into a pipe. A Git that ends early tells why.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
        child.wait_with_output()
    });
    let output = output.map_err(failed)?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let line = stderr.lines().next().unwrap_or("it failed");
            Err(line.trim_start_matches("fatal: ").to_owned())
        }
    }
}
