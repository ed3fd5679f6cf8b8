//! Output files: the targets of `-o` and `--html`.
//!
//! A regular file appears whole or not at all: it is written under another name first. An existing
//! file keeps its mode and owner. A link stays a link: its target is written. Pipes and devices are
//! never replaced: the bytes go straight into them, as they do to standard output (`-`).

use std::{
    fs::{File, Metadata, Permissions},
    io::{self, IsTerminal, Seek, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::{
    domain::problem::Problem,
    failure::Failure,
    output::{self, Answer, Format},
};

/// Who can read a file that did not exist before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Only the owner (0600): keys and predictions of people.
    Personal,
    /// Everyone whom the umask does not exclude.
    Public,
}

/// What to do with an existing file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    Replace,
    /// Fail with `file.exists`.
    Keep,
}

/// Maximum length of a chain of links, which is the kernel's own limit.
const MAX_LINKS: usize = 40;

/// An open output. A regular file that is dropped unfinished leaves nothing behind.
#[derive(Debug)]
pub struct WholeFile {
    /// The path as the user wrote it.
    name: String,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Stdout(io::Stdout),
    /// A pipe or a device.
    Direct(File),
    /// A temporary file beside its target.
    Temporary(Box<Temporary>),
}

#[derive(Debug)]
struct Temporary {
    file: NamedTempFile,
    /// The target, with links resolved.
    path: PathBuf,
    /// The file at the target, if there is one.
    before: Option<Metadata>,
    existing: Existing,
}

/// Returns whether `path` names standard output: `-`, or a device for it.
pub fn is_stdout(path: &Path) -> bool {
    let names = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
    names.iter().any(|name| path == Path::new(name))
}

impl WholeFile {
    /// Opens the output at `path`; an existing regular file stays unchanged until [`Self::finish`].
    ///
    /// # Errors
    /// Exit 2: the path can't be written, or the file exists and must be kept.
    pub fn begin(path: &Path, content: Content, existing: Existing) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let sink = match is_stdout(path) {
            true => Sink::Stdout(io::stdout()),
            false => open(path, content, existing).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => exists(&name),
                _ => unwritable(&name, &error),
            })?,
        };
        Ok(Self { name, sink })
    }

    /// Returns whether the output is a terminal.
    pub fn is_terminal(&self) -> bool {
        match &self.sink {
            Sink::Stdout(stdout) => stdout.is_terminal(),
            Sink::Direct(file) => file.is_terminal(),
            Sink::Temporary(_) => false,
        }
    }

    /// Refuses to write binary data to a terminal.
    ///
    /// # Errors
    /// Exit 2: the output is a terminal.
    pub fn refuse_terminal(&self, what: &str) -> Result<(), Failure> {
        if !self.is_terminal() {
            return Ok(());
        }
        let problem = Problem::new(
            "file.terminal",
            format!("{what} is binary and can't be written to a terminal"),
        );
        Err(Failure::input(problem.at(self.name.clone()).help(
            "write to a file (-o FILE), or redirect standard output",
        )))
    }

    /// Moves a regular file to its target; flushes any other output.
    ///
    /// # Errors
    /// Exit 2: the disk is full, the reader has closed the pipe, the target was created meanwhile.
    pub fn finish(self) -> Result<(), Failure> {
        let Self { name, sink } = self;
        finish(sink).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(&name),
            _ => unwritable(&name, &error),
        })
    }

    /// Opens the page of `--html`.
    ///
    /// # Errors
    /// As [`WholeFile::begin`]; exit 2: standard output is reserved for the JSON object.
    pub fn begin_page(path: &Path, format: Format) -> Result<Self, Failure> {
        if is_stdout(path) && format == Format::Json {
            let message = "stdout is reserved for the JSON object of --output json";
            return Err(Failure::input(
                Problem::new("file.stdout", message)
                    .at("--html")
                    .help("write to a file: --html FILE"),
            ));
        }
        Self::begin(path, Content::Personal, Existing::Replace)
    }

    /// Writes `page` and names the file in the answer; on standard output the page replaces the text.
    ///
    /// # Errors
    /// As [`WholeFile::finish`].
    pub fn finish_page(mut self, page: &str, answer: &mut Answer) -> Result<(), Failure> {
        match self.sink {
            Sink::Stdout(_) => answer.text.clear(),
            _ => answer.text.push_str(&format!("\n\npage: {}", self.name)),
        }
        answer.result["html"] = self.name.clone().into();
        let written = match self.is_terminal() {
            true => self.write_all(output::lines(page).as_bytes()),
            false => self.write_all(page.as_bytes()),
        };
        written.map_err(|error| unwritable(&self.name, &error))?;
        self.finish()
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.sink {
            Sink::Stdout(stdout) => stdout.write(bytes),
            Sink::Direct(file) => file.write(bytes),
            Sink::Temporary(temporary) => temporary.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Stdout(stdout) => stdout.flush(),
            Sink::Direct(file) => file.flush(),
            Sink::Temporary(temporary) => temporary.file.flush(),
        }
    }
}

fn open(path: &Path, content: Content, existing: Existing) -> io::Result<Sink> {
    let path = resolve_links(path)?;
    let before = match std::fs::metadata(&path) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    match &before {
        Some(metadata) if metadata.is_dir() => {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Some(metadata) if !metadata.is_file() => {
            return Ok(Sink::Direct(File::options().write(true).open(&path)?));
        }
        Some(_) if existing == Existing::Keep => return Err(io::ErrorKind::AlreadyExists.into()),
        // Replacing the file would circumvent a mode that forbids writing.
        Some(_) => drop(File::options().write(true).open(&path)?),
        None => {}
    }
    let mode = match (&before, content) {
        (None, Content::Public) => 0o666,
        // An existing file's mode is set at the end, so that no one can read half of it.
        _ => 0o600,
    };
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return Err(io::ErrorKind::IsADirectory.into()),
    };
    // The kernel applies the umask.
    let file = tempfile::Builder::new()
        .prefix(".helenus-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)?;
    Ok(Sink::Temporary(Box::new(Temporary {
        file,
        path,
        before,
        existing,
    })))
}

/// Resolves all links of `path`; the last target need not exist.
fn resolve_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    // A pipe may have no other name than its link in /proc.
    if std::fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
        return Ok(path);
    }
    for _ in 0..MAX_LINKS {
        let is_link = std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink());
        if !is_link {
            return Ok(path);
        }
        let target = std::fs::read_link(&path)?;
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

fn finish(sink: Sink) -> io::Result<()> {
    let Temporary {
        file,
        path,
        before,
        existing,
    } = match sink {
        Sink::Stdout(mut stdout) => return stdout.flush(),
        Sink::Direct(mut file) => return file.flush(),
        Sink::Temporary(temporary) => *temporary,
    };
    if let Some(before) = &before {
        if before.nlink() > 1 || !take_owner(file.as_file(), before) {
            return copy_into(&file, &path);
        }
        let mode = Permissions::from_mode(before.mode() & 0o7777);
        file.as_file().set_permissions(mode)?;
    }
    file.as_file().sync_all()?;
    match existing {
        Existing::Replace => file.persist(&path),
        Existing::Keep => file.persist_noclobber(&path),
    }
    .map_err(|error| error.error)?;
    Ok(())
}

/// Gives `file` the user and group of the file before; returns whether it has them.
fn take_owner(file: &File, before: &Metadata) -> bool {
    let is_same = file
        .metadata()
        .is_ok_and(|now| (now.uid(), now.gid()) == (before.uid(), before.gid()));
    is_same || std::os::unix::fs::fchown(file, Some(before.uid()), Some(before.gid())).is_ok()
}

/// Replaces the content of a file that has other names, or an owner that it could not keep.
fn copy_into(file: &NamedTempFile, path: &Path) -> io::Result<()> {
    let mut into = File::options().write(true).truncate(true).open(path)?;
    let mut from = file.as_file();
    from.rewind()?;
    io::copy(&mut from, &mut into)?;
    into.sync_all()
}

fn exists(name: &str) -> Failure {
    Failure::input(
        Problem::new("file.exists", "the file already exists")
            .at(name)
            .help("use --force to replace it"),
    )
}

fn unwritable(name: &str, error: &io::Error) -> Failure {
    Failure::input(
        Problem::new("file.unwritable", format!("cannot write the file: {error}")).at(name),
    )
}
