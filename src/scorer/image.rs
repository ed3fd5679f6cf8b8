//! A model's bytes in memory, verified to be the admitted ones.

use std::{
    io::{Read, Seek, Write},
    path::Path,
    sync::Arc,
};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::domain::{model::Admitted, problem::Problem};

/// The stored bytes followed by those that admission appends (the ZipMap merge), contiguous. Clones
/// share the bytes, so sessions on several threads need one copy.
#[derive(Debug, Clone)]
pub struct Image {
    bytes: Arc<Vec<u8>>,
}

impl Image {
    /// Reads a file with exactly the admitted bytes.
    ///
    /// # Errors
    /// `model.unreadable`; `model.tampered` if size or sha256 differ.
    pub fn open(path: &Path, admitted: &Admitted) -> Result<Self, Problem> {
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(admitted.size as usize + admitted.merge.len())
            .map_err(|_| no_memory(admitted.size))?;
        std::fs::File::open(path)
            .and_then(|file| file.take(admitted.size + 1).read_to_end(&mut bytes))
            .map_err(|error| unreadable(path, &error))?;
        Self::new(bytes, admitted)
    }

    /// Takes bytes read from chunks; reserve `admitted.merge.len()` more to avoid a copy.
    ///
    /// # Errors
    /// `model.tampered` if size or sha256 differ.
    pub fn new(bytes: Vec<u8>, admitted: &Admitted) -> Result<Self, Problem> {
        let sha256: [u8; 32] = Sha256::digest(&bytes).into();
        if bytes.len() as u64 != admitted.size || sha256 != admitted.sha256 {
            return Err(Problem::new(
                "model.tampered",
                format!(
                    "the stored model has {} bytes and sha256 {}, but {} and {} were admitted",
                    bytes.len(),
                    hex::encode(sha256),
                    admitted.size,
                    hex::encode(admitted.sha256)
                ),
            )
            .help("register the model again as a new version"));
        }
        Ok(Self::merged(bytes, &admitted.merge))
    }

    /// Returns bytes under admission, with the bytes to append.
    pub(super) fn merged(mut bytes: Vec<u8>, merge: &[u8]) -> Self {
        bytes.extend_from_slice(merge);
        Self {
            bytes: Arc::new(bytes),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Moves the bytes to a temporary file and out of memory, unless clones remain.
    pub(super) fn into_file(self) -> Result<NamedTempFile, Problem> {
        let write = || {
            let mut file = tempfile::Builder::new()
                .prefix("helenus-model-")
                .tempfile()?;
            file.write_all(&self.bytes)?;
            file.flush()?;
            Ok(file)
        };
        write().map_err(|error: std::io::Error| {
            Problem::new(
                "runtime.temporary_file",
                format!(
                    "cannot write {} MiB to {}: {error}",
                    self.bytes.len() >> 20,
                    std::env::temp_dir().display()
                ),
            )
            .help("free space there, or set TMPDIR")
        })
    }
}

/// Returns a file's sha256 and size, in constant memory.
///
/// # Errors
/// `model.unreadable`.
pub fn fingerprint(path: &Path) -> Result<([u8; 32], u64), Problem> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    std::fs::File::open(path)
        .and_then(|mut file| {
            file.rewind()?;
            loop {
                let read = file.read(&mut buffer)?;
                if read == 0 {
                    return Ok(());
                }
                hasher.update(&buffer[..read]);
                size += read as u64;
            }
        })
        .map_err(|error| unreadable(path, &error))?;
    Ok((hasher.finalize().into(), size))
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(
        "model.unreadable",
        format!("cannot read {}: {error}", path.display()),
    )
}

fn no_memory(size: u64) -> Problem {
    Problem::new(
        "model.no_memory",
        format!("not enough memory for a model of {size} bytes"),
    )
}
