//! `helenus token …`: the file of tokens that `helenus serve` accepts. No connection to Cassandra.

pub mod list;
pub mod new;
pub mod revoke;

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use clap::Subcommand;

use super::{
    Context,
    whole_file::{Content, Existing, WholeFile},
};
use crate::{
    domain::{
        problem::Problem,
        token::{self, TokenEntry},
    },
    failure::Failure,
    output::Answer,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Token,
}

/// The subcommands. Their help is where their arguments are: a doc comment here would hide it.
#[derive(Debug, Subcommand)]
enum Token {
    New(new::Args),
    List(list::Args),
    Revoke(revoke::Args),
}

/// Runs the subcommand.
///
/// # Errors
/// Those of the subcommand.
pub fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    match args.command {
        Token::New(args) => new::run(args, context),
        Token::List(args) => list::run(&args, context),
        Token::Revoke(args) => revoke::run(&args, context),
    }
}

#[derive(Debug, clap::Args)]
struct FileArg {
    /// The file of tokens [default: the setting serve.tokens]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl FileArg {
    fn path(&self, context: &Context) -> Option<PathBuf> {
        let setting = || context.config.serve.tokens.clone();
        self.file.clone().or_else(setting)
    }

    /// Returns the file's path.
    ///
    /// # Errors
    /// Exit 2: no file is known.
    fn required(&self, context: &Context) -> Result<PathBuf, Failure> {
        self.path(context).ok_or_else(|| {
            Failure::input(
                Problem::new("tokens.no_file", "no file of tokens is known")
                    .at("--file")
                    .help("name it with --file, or with the setting serve.tokens"),
            )
        })
    }
}

/// A file of tokens that no other process changes meanwhile.
struct TokenFile {
    path: PathBuf,
    text: String,
    entries: Vec<TokenEntry>,
    /// Locked until it is closed.
    _folder: File,
}

impl TokenFile {
    /// Locks and reads the file; one that does not exist has no tokens.
    ///
    /// # Errors
    /// Exit 2: the file or its folder cannot be read, or the file has errors.
    fn open(path: &Path) -> Result<Self, Failure> {
        // The folder: the file itself is replaced, and a lock on it would be lost.
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let locked = File::open(folder).and_then(|folder| {
            rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive)?;
            Ok(folder)
        });
        let folder = locked.map_err(|error| unreadable(folder, &error))?;
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            read => read.map_err(|error| unreadable(path, &error))?,
        };
        let name = path.display().to_string();
        let entries = token::parse(&name, &text).map_err(Failure::inputs)?;
        Ok(Self {
            path: path.to_owned(),
            text,
            entries,
            _folder: folder,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    /// Replaces the file as a whole. A new file is readable by its owner only.
    ///
    /// # Errors
    /// Exit 2: the file cannot be written.
    fn replace(self, text: &str) -> Result<(), Failure> {
        let mut file = WholeFile::begin(&self.path, Content::Personal, Existing::Replace)?;
        let written = file.write_all(text.as_bytes());
        written.map_err(|error| unreadable(&self.path, &error))?;
        file.finish()
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let message = format!("the file of tokens: {error}");
    Failure::input(Problem::new("tokens.unreadable", message).at(path.display().to_string()))
}
