//! A file that appears whole or not at all: it is written under another name first.

use std::{
    fs::{File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::{domain::problem::Problem, failure::Failure};

/// A file under way beside its place; dropped, nothing of it stays.
#[derive(Debug)]
pub struct WholeFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl WholeFile {
    /// Begins the file that will stand at `path`; what stands there stays until the end.
    ///
    /// # Errors
    /// Exit 2: nothing can be written there.
    pub fn begin(path: &Path) -> Result<Self, Failure> {
        let no_file = || unwritable(path, &io::Error::other("it is no file"));
        let folder = match path.parent() {
            Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
            Some(folder) => folder,
            None => return Err(no_file()),
        };
        if path.is_dir() {
            return Err(no_file());
        }
        let file = tempfile::Builder::new()
            .prefix(".helenus-")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(folder)
            .map_err(|error| unwritable(path, &error))?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Where to write.
    pub fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// Exit 2: the disk is full, the place is taken by something else.
    pub fn finish(self) -> Result<(), Failure> {
        let Self { file, path } = self;
        let synced = file.as_file().sync_all();
        synced.map_err(|error| unwritable(&path, &error))?;
        file.persist(&path)
            .map_err(|error| unwritable(&path, &error.error))?;
        Ok(())
    }

    /// Writes `content` as all of it.
    ///
    /// # Errors
    /// As [`WholeFile::finish`].
    pub fn finish_with(mut self, content: &str) -> Result<(), Failure> {
        use io::Write;
        let written = self.file.write_all(content.as_bytes());
        written.map_err(|error| unwritable(&self.path, &error))?;
        self.finish()
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let problem = Problem::new("file.unwritable", format!("cannot be written: {error}"));
    Failure::input(problem.at(path.display().to_string()))
}
