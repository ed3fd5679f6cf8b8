//! `model_chunks`: files, by the sha256 of the whole file, one partition per chunk.
//!
//! A file is streamed in and out with a few chunks in memory. Each written chunk is read back, so
//! that a version row, which is written last, never names bytes that are not available. A chunk
//! that is already stored is not sent again, unless it is so old that it may be purged as unused.

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

use chrono::Utc;
use futures::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use crate::{
    domain::{model::Admitted, problem::Problem},
    failure::Failure,
    store::{Store, driver::error::StoreError},
};

/// Bytes in each chunk but the last.
pub const CHUNK: usize = 512 * 1024;

/// Age up to which a push reuses a stored chunk. An older chunk is written again, since a purge may
/// be about to delete it.
pub const REUSED: Duration = Duration::from_secs(12 * 3600);

/// Chunks in memory at the same time.
const IN_FLIGHT: usize = 4;

const READ: &str = "SELECT data, checksum FROM model_chunks WHERE sha256 = ? AND chunk = ?";
const WRITE: &str = "INSERT INTO model_chunks (sha256, chunk, data, checksum) VALUES (?, ?, ?, ?)";

/// A file as `model_versions` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// sha256 of all bytes.
    pub sha256: [u8; 32],
    pub size: u64,
    pub chunks: i32,
}

/// Why a file could not be uploaded or downloaded.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The content of `model_chunks` is not the file: a chunk is missing or altered.
    #[error("{0}")]
    Damaged(Problem),
    /// A failure of local input or output.
    #[error("{0}")]
    Local(#[from] io::Error),
}

impl From<BlobError> for Failure {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Store(error) => error.into(),
            // Not Exit::System: a retry gives the same result until a user pushes the file again.
            BlobError::Damaged(problem) => Self::no(
                problem.help("push the same file again: it replaces what is missing or altered"),
            ),
            BlobError::Local(error) => {
                Self::input(Problem::new("file.unusable", error.to_string()))
            }
        }
    }
}

impl Blob {
    /// Returns a file of `size` bytes; the number of chunks follows from the size.
    pub fn of_size(sha256: [u8; 32], size: u64) -> Self {
        Self {
            sha256,
            size,
            chunks: i32::try_from(size.div_ceil(CHUNK as u64)).unwrap_or(i32::MAX),
        }
    }

    /// Reads everything once, and returns its sha256, size and chunks.
    ///
    /// # Errors
    /// Errors of the reader.
    pub fn measure(mut reader: impl Read) -> io::Result<Self> {
        let mut hash = Sha256::new();
        let mut size = 0_u64;
        let mut chunks = 0;
        let mut buffer = vec![0; CHUNK];
        loop {
            let length = fill(&mut reader, &mut buffer)?;
            if length == 0 {
                break;
            }
            hash.update(&buffer[..length]);
            size += length as u64;
            chunks += 1;
        }
        Ok(Self {
            sha256: hash.finalize().into(),
            size,
            chunks,
        })
    }
}

/// Reads as many bytes as there are, up to the buffer's length.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl Store {
    /// Ensures that all chunks of a file are stored in Cassandra; returns the number of bytes that
    /// had to be sent. `arrived` is called with the size of each chunk once that chunk is certainly
    /// stored.
    ///
    /// # Errors
    /// The file changed since it was measured, or a chunk cannot be read back.
    pub async fn upload(
        &self,
        mut reader: impl Read,
        blob: &Blob,
        mut arrived: impl FnMut(usize),
    ) -> Result<u64, BlobError> {
        let began = Instant::now();
        let mut hash = Sha256::new();
        let chunks = (0..blob.chunks).map(|chunk| {
            let mut data = vec![0; CHUNK];
            let length = fill(&mut reader, &mut data)?;
            data.truncate(length);
            hash.update(&data);
            Ok::<_, BlobError>((chunk, data))
        });
        let mut sent = 0;
        {
            let mut ensured = stream::iter(chunks)
                .map(|chunk| async {
                    let (chunk, data) = chunk?;
                    let sent = self.ensure_chunk(&blob.sha256, chunk, &data).await?;
                    Ok::<_, BlobError>((data.len(), sent))
                })
                .buffered(IN_FLIGHT);
            while let Some((length, was_sent)) = ensured.try_next().await? {
                arrived(length);
                sent += if was_sent { length as u64 } else { 0 };
            }
        }
        let more = fill(&mut reader, &mut [0])?;
        let found: [u8; 32] = hash.finalize().into();
        if more > 0 || found != blob.sha256 {
            return Err(BlobError::Local(io::Error::other(
                "the file changed while it was pushed",
            )));
        }
        if began.elapsed() > REUSED {
            return Err(BlobError::Local(io::Error::other(
                "the push took so long that its first chunks may be gone; push again: stored chunks are not sent again",
            )));
        }
        Ok(sent)
    }

    /// Writes a chunk unless it is stored; returns `true` if it had to be written.
    async fn ensure_chunk(
        &self,
        sha256: &[u8; 32],
        chunk: i32,
        data: &[u8],
    ) -> Result<bool, BlobError> {
        let checksum: [u8; 32] = Sha256::digest(data).into();
        let stands = |found: Option<(Vec<u8>, Vec<u8>)>| {
            found.is_some_and(|(found, sum)| found == data && sum == checksum)
        };
        if stands(self.chunk(sha256, chunk).await?) {
            let written = self.chunk_written(sha256, chunk).await?;
            let reused = Utc::now().timestamp_micros() - REUSED.as_micros() as i64;
            if written.is_some_and(|at| at > reused) {
                return Ok(false);
            }
        }
        let values = (sha256.as_slice(), chunk, data, checksum.as_slice());
        self.write(WRITE, values).await?;
        if stands(self.chunk(sha256, chunk).await?) {
            return Ok(true);
        }
        Err(damaged(
            "model.chunk_altered",
            format!(
                "chunk {chunk} of {} was written and is not there: is there a newer delete, or a clock that runs ahead?",
                hex::encode(sha256)
            ),
        ))
    }

    async fn chunk(
        &self,
        sha256: &[u8],
        chunk: i32,
    ) -> Result<Option<(Vec<u8>, Vec<u8>)>, StoreError> {
        type Row = (Option<Vec<u8>>, Option<Vec<u8>>);
        let row: Option<Row> = self.row(READ, (sha256, chunk)).await?;
        Ok(row.map(|(data, checksum)| (data.unwrap_or_default(), checksum.unwrap_or_default())))
    }

    /// Passes all bytes of a file to `sink`, in order. Each chunk is checked before, and the whole
    /// file at the end, so the bytes are valid only once this returns `Ok`.
    ///
    /// # Errors
    /// [`BlobError::Damaged`] for a missing or altered chunk, more or fewer bytes than the row
    /// states, or another sha256.
    pub async fn download(
        &self,
        blob: &Blob,
        mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), BlobError> {
        let name = hex::encode(blob.sha256);
        let mut hash = Sha256::new();
        let mut size = 0_u64;
        let mut chunks = stream::iter(0..blob.chunks)
            .map(|chunk| async move {
                Ok::<_, StoreError>((chunk, self.chunk(&blob.sha256, chunk).await?))
            })
            .buffered(IN_FLIGHT);
        while let Some((chunk, found)) = chunks.try_next().await? {
            let data = checked(&name, chunk, found)?.ok_or_else(|| {
                damaged(
                    "model.chunk_missing",
                    format!("chunk {chunk} of {} of {name} is missing", blob.chunks),
                )
            })?;
            size += data.len() as u64;
            if size > blob.size {
                break;
            }
            hash.update(&data);
            sink(&data)?;
        }
        if size != blob.size {
            let relation = if size > blob.size { "more" } else { "fewer" };
            return Err(damaged(
                "model.altered",
                format!(
                    "the chunks of {name} hold {relation} bytes than the {} of its row",
                    blob.size
                ),
            ));
        }
        settled(&name, hash, &blob.sha256)
    }

    /// Returns the bytes of an admitted version, in memory: exactly those that were admitted.
    ///
    /// # Errors
    /// As [`Store::download`]; not enough memory.
    pub async fn model_bytes(&self, admitted: &Admitted) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        // The scorer appends the merge; reserving for it avoids a second allocation of a large
        // model.
        let room = usize::try_from(admitted.size)
            .unwrap_or(usize::MAX)
            .saturating_add(admitted.merge.len());
        bytes.try_reserve_exact(room).map_err(|_| {
            Failure::system(Problem::new(
                "system.memory",
                format!("no memory for a model of {} bytes", admitted.size),
            ))
        })?;
        let blob = Blob::of_size(admitted.sha256, admitted.size);
        self.download(&blob, |chunk| {
            bytes.extend_from_slice(chunk);
            Ok(())
        })
        .await?;
        Ok(bytes)
    }

    /// Downloads a small file of unknown length (golden rows): chunks are read until one is
    /// missing.
    ///
    /// # Errors
    /// As [`Store::download`]; also if the file is longer than `limit` bytes.
    pub async fn download_small(
        &self,
        sha256: &[u8; 32],
        limit: usize,
    ) -> Result<Vec<u8>, BlobError> {
        let name = hex::encode(sha256);
        let mut bytes = Vec::new();
        for chunk in 0.. {
            let Some(data) = checked(&name, chunk, self.chunk(sha256, chunk).await?)? else {
                break;
            };
            bytes.extend_from_slice(&data);
            if bytes.len() > limit {
                return Err(damaged(
                    "model.altered",
                    format!("{name} is longer than {limit} bytes"),
                ));
            }
        }
        if bytes.is_empty() {
            return Err(damaged(
                "model.chunk_missing",
                format!("chunk 0 of {name} is missing"),
            ));
        }
        settled(&name, Sha256::new_with_prefix(&bytes), sha256)?;
        Ok(bytes)
    }
}

fn damaged(code: &str, message: String) -> BlobError {
    BlobError::Damaged(Problem::new(code, message))
}

fn checked(
    name: &str,
    chunk: i32,
    found: Option<(Vec<u8>, Vec<u8>)>,
) -> Result<Option<Vec<u8>>, BlobError> {
    match found {
        None => Ok(None),
        Some((data, checksum)) if Sha256::digest(&data).as_slice() == checksum => Ok(Some(data)),
        Some(_) => Err(damaged(
            "model.chunk_altered",
            format!("chunk {chunk} of {name} was altered"),
        )),
    }
}

fn settled(name: &str, hash: Sha256, wanted: &[u8; 32]) -> Result<(), BlobError> {
    let found: [u8; 32] = hash.finalize().into();
    if found == *wanted {
        return Ok(());
    }
    Err(damaged(
        "model.altered",
        format!(
            "the chunks of {name} have sha256 {} together",
            hex::encode(found)
        ),
    ))
}
