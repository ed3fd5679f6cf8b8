//! A session of one model version.

use std::{ops::Range, sync::Arc};

use ort::session::{
    HasSelectedOutputs, OutputSelector, RunOptions, Session, builder::SessionBuilder,
};

use super::{
    error_text::{explained, refused},
    image::Image,
    runtime::Runtime,
    shapes::tensor_of,
    tensors::{read, values},
};
use crate::domain::{
    model::{
        Signature,
        tensor::{Element, InputBatch, OutputBatch, TensorData},
    },
    problem::Problem,
};

/// Reason why a batch has no outputs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// ONNX Runtime refused the batch; smaller ones may succeed.
    #[error("{0}")]
    Refused(String),
    /// Not enough memory; smaller batches may succeed.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// The outputs do not have one row per input row, or not the admitted types, so no output of
    /// this version can be trusted.
    #[error("{0}")]
    Misaligned(String),
    /// Stopped through [`Stop`].
    #[error("stopped before it was done")]
    Stopped,
    /// The scoring process crashes on every row.
    #[error("{0}")]
    Died(String),
}

/// Outcomes of the rows of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct RowOutcomes {
    /// Outputs of the accepted rows, in order.
    pub outputs: OutputBatch,
    /// (row index in the input, ONNX Runtime's reason), in order.
    pub refused: Vec<(usize, String)>,
}

/// One session with one intra-op thread. A call has about 2 us of overhead; batches of 256 to 4,096
/// rows are efficient.
#[derive(Debug)]
pub struct Model {
    session: Session,
    signature: Signature,
}

/// Stops a run from another thread as soon as ONNX Runtime checks (between two nodes).
#[derive(Clone)]
pub struct Stop(Arc<Options>);

struct Options(RunOptions<HasSelectedOutputs>);

// SAFETY: `RunOptions` with selected outputs is not `Sync` because two threads could write to
// preallocated outputs. None are preallocated here, and other threads call only `terminate`, which
// is thread-safe.
unsafe impl Sync for Options {}

impl Stop {
    /// Requests the end of the run; inside one node this may take long, or for ever.
    pub fn stop(&self) {
        if let Err(error) = self.0.0.terminate() {
            tracing::warn!("a run could not be stopped: {error}");
        }
    }
}

/// A session's inputs or outputs: name, and element with shape or an unsupported type.
pub(super) type Declared = Vec<(String, Result<(Element, Vec<i64>), String>)>;

impl Model {
    /// Creates the session: parses, checks and optimises the graph.
    ///
    /// `model.runtime_refused` with ONNX Runtime's message.
    /// `model.runtime_refused` with ONNX Runtime's words.
    pub fn load(runtime: &Runtime, image: &Image, signature: &Signature) -> Result<Self, Problem> {
        Ok(Self {
            session: open(runtime, image)?,
            signature: signature.clone(),
        })
    }

    /// Does the same for a large model whose weights must be in memory only once: one session whose
    /// runs use `threads` threads, loaded from a file, so that the bytes released here do not add
    /// to the weights while ONNX Runtime reads them.
    ///
    /// # Errors
    /// As [`Model::load`]; `runtime.temporary_file`.
    pub(super) fn load_once(
        runtime: &Runtime,
        image: Image,
        signature: &Signature,
        threads: usize,
    ) -> Result<Self, Problem> {
        let file = image.into_file()?;
        let session = settings(runtime, threads)
            .and_then(|mut settings| settings.commit_from_file(file.path()))
            .map_err(|error| explained(&error))?;
        Ok(Self {
            session,
            signature: signature.clone(),
        })
    }

    /// Creates a session whose signature is not known yet, and returns its declared tensors.
    pub(super) fn explore(
        runtime: &Runtime,
        image: &Image,
    ) -> Result<(Self, Declared, Declared), Problem> {
        let session = open(runtime, image)?;
        let declared = |outlets: &[ort::value::Outlet]| -> Declared {
            outlets
                .iter()
                .map(|outlet| (outlet.name().to_owned(), tensor_of(outlet.dtype())))
                .collect()
        };
        let (inputs, outputs) = (declared(session.inputs()), declared(session.outputs()));
        let signature = Signature {
            inputs: Vec::new(),
            outputs: Vec::new(),
            fixed_batch: None,
        };
        Ok((Self { session, signature }, inputs, outputs))
    }

    /// Returns the signature that this session must satisfy.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    pub(super) fn set_signature(&mut self, signature: Signature) {
        self.signature = signature;
    }

    /// Returns a handle that can stop one or more calls of [`Model::run`].
    ///
    /// # Errors
    /// Not enough memory.
    pub fn stop(&self) -> Result<Stop, Problem> {
        let outputs = self
            .signature
            .outputs
            .iter()
            .fold(OutputSelector::no_default(), |selector, output| {
                selector.with(&output.name)
            });
        let options = RunOptions::new().map_err(|error| {
            Problem::new(
                "runtime.options",
                format!("cannot create run options: {error}"),
            )
        })?;
        Ok(Stop(Arc::new(Options(options.with_outputs(outputs)))))
    }

    /// Scores all rows or none. A fixed batch is padded with copies of the last row.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn run(&mut self, batch: &InputBatch, stop: &Stop) -> Result<OutputBatch, RunError> {
        let mut outputs = self.no_rows();
        self.run_range(batch, 0..batch.rows, stop, &mut outputs)?;
        Ok(outputs)
    }

    /// Scores every row that ONNX Runtime accepts: a refused batch is halved until the refused rows
    /// are isolated.
    ///
    /// # Errors
    /// [`RunError::Misaligned`] and [`RunError::Stopped`]; never `Refused` nor `OutOfMemory`.
    pub fn run_rows(&mut self, batch: &InputBatch, stop: &Stop) -> Result<RowOutcomes, RunError> {
        let mut outcomes = RowOutcomes {
            outputs: self.no_rows(),
            refused: Vec::new(),
        };
        self.bisect(batch, 0..batch.rows, stop, &mut outcomes)?;
        Ok(outcomes)
    }

    fn bisect(
        &mut self,
        batch: &InputBatch,
        rows: Range<usize>,
        stop: &Stop,
        outcomes: &mut RowOutcomes,
    ) -> Result<(), RunError> {
        let before = outcomes.outputs.rows;
        match self.run_range(batch, rows.clone(), stop, &mut outcomes.outputs) {
            Err(error @ (RunError::Refused(_) | RunError::OutOfMemory(_))) => {
                // A fixed batch may have been partly scored.
                outcomes.outputs.rows = before;
                for (data, output) in outcomes
                    .outputs
                    .outputs
                    .iter_mut()
                    .zip(&self.signature.outputs)
                {
                    data.truncate(before * output.width());
                }
                if rows.len() == 1 {
                    outcomes.refused.push((rows.start, error.to_string()));
                    return Ok(());
                }
                let middle = rows.start + rows.len() / 2;
                self.bisect(batch, rows.start..middle, stop, outcomes)?;
                self.bisect(batch, middle..rows.end, stop, outcomes)
            }
            done => done,
        }
    }

    fn no_rows(&self) -> OutputBatch {
        let outputs = self.signature.outputs.iter();
        OutputBatch {
            rows: 0,
            outputs: outputs
                .map(|output| TensorData::new(output.element))
                .collect(),
        }
    }

    fn run_range(
        &mut self,
        batch: &InputBatch,
        rows: Range<usize>,
        stop: &Stop,
        outputs: &mut OutputBatch,
    ) -> Result<(), RunError> {
        let size = self.signature.fixed_batch.unwrap_or(rows.len()).max(1);
        for start in rows.clone().step_by(size) {
            let chunk = start..rows.end.min(start + size);
            self.run_chunk(batch, chunk, stop, outputs)?;
        }
        Ok(())
    }

    fn run_chunk(
        &mut self,
        batch: &InputBatch,
        rows: Range<usize>,
        stop: &Stop,
        outputs: &mut OutputBatch,
    ) -> Result<(), RunError> {
        let Self { session, signature } = self;
        let padded = signature.fixed_batch.unwrap_or(rows.len());
        let answered = session
            .run_with_options(values(signature, batch, rows.clone(), padded)?, &stop.0.0)
            .map_err(|error| refused(&error))?;
        for (output, data) in signature.outputs.iter().zip(&mut outputs.outputs) {
            let value = answered.get(&output.name).ok_or_else(|| {
                RunError::Misaligned(format!("output `{}` not found", output.name))
            })?;
            read(value, output, rows.len(), padded, data)?;
        }
        outputs.rows += rows.len();
        Ok(())
    }

    /// Returns the element types and shapes of all outputs for these rows: admission's first
    /// observation.
    pub(super) fn observe(
        &mut self,
        batch: &InputBatch,
        stop: &Stop,
    ) -> Result<Vec<(Element, Vec<i64>)>, RunError> {
        let Self { session, signature } = self;
        let padded = signature.fixed_batch.unwrap_or(batch.rows);
        let values = values(signature, batch, 0..batch.rows, padded)?;
        let answered = session
            .run_with_options(values, &stop.0.0)
            .map_err(|error| refused(&error))?;
        signature
            .outputs
            .iter()
            .map(|output| {
                let value = answered.get(&output.name);
                let value = value.ok_or_else(|| {
                    RunError::Misaligned(format!("output `{}` not found", output.name))
                })?;
                tensor_of(value.dtype()).map_err(|kind| {
                    RunError::Misaligned(format!("output `{}` is of type {kind}", output.name))
                })
            })
            .collect()
    }
}

fn open(runtime: &Runtime, image: &Image) -> Result<Session, Problem> {
    settings(runtime, 1)
        .and_then(|mut settings| settings.commit_from_memory(image.bytes()))
        .map_err(|error| explained(&error))
}

fn settings(runtime: &Runtime, threads: usize) -> ort::Result<SessionBuilder> {
    Ok(Session::builder(runtime.environment())?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_log_level(ort::logging::LogLevel::Warning)?
        // Never its own format, whatever the bytes look like: it would not have been checked.
        .with_config_entry("session.load_model_format", "ONNX")?)
}
