//! One session of one model version: batches in, batches out.

use std::{ops::Range, sync::Arc};

use half::f16;
use ndarray::{ArrayD, ArrayViewD, IxDyn};
use ort::{
    ErrorCode,
    session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue},
    value::{DynTensorValueType, DynValue, PrimitiveTensorElementType, Tensor, TensorRef},
};

use super::{image::Image, runtime::Runtime, shapes::tensor_of};
use crate::{
    domain::{
        model::{Output, Signature},
        problem::Problem,
        tensor::{Element, InputBatch, OutputBatch, TensorData},
    },
    each_tensor,
};

/// Why a batch has no outputs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// ONNX Runtime refused what it was given; smaller batches may go through.
    #[error("{0}")]
    Refused(String),
    /// The outputs are not one row an input row, or not of the admitted types: nothing of this
    /// version can be trusted.
    #[error("{0}")]
    Misaligned(String),
    /// Stopped through [`Stop`].
    #[error("stopped before it was done")]
    Stopped,
}

/// What came of each row of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct RowOutcomes {
    /// The accepted rows, in order, without the refused ones.
    pub outputs: OutputBatch,
    /// (row index in the input, ONNX Runtime's reason), in order.
    pub refused: Vec<(usize, String)>,
}

/// One session with one intra thread. Calls are about 2 us apart; batches of 256 to 4,096 rows pay.
#[derive(Debug)]
pub struct Model {
    session: Session,
    signature: Signature,
}

/// Ends a run from another thread, as soon as ONNX Runtime looks (between two nodes).
#[derive(Clone)]
pub struct Stop(Arc<Options>);

struct Options(RunOptions<HasSelectedOutputs>);

// SAFETY: `RunOptions` with selected outputs is not `Sync` because preallocated outputs could be
// written by two threads. None are preallocated here, and what other threads call, `terminate`, is
// made for being called from other threads.
unsafe impl Sync for Options {}

impl Stop {
    /// Asks the run to end; it may take a while, or for ever inside one node.
    pub fn stop(&self) {
        if let Err(error) = self.0.0.terminate() {
            tracing::warn!("a run could not be stopped: {error}");
        }
    }
}

/// What a session says of its inputs or outputs: name, and element with shape or an unsupported type.
pub(super) type Declared = Vec<(String, Result<(Element, Vec<i64>), String>)>;

impl Model {
    /// Creates the session: parses, checks and optimises the graph.
    ///
    /// # Errors
    /// `model.runtime_refused` with ONNX Runtime's words.
    pub fn load(runtime: &Runtime, image: &Image, signature: &Signature) -> Result<Self, Problem> {
        Ok(Self {
            session: open(runtime, image)?,
            signature: signature.clone(),
        })
    }

    /// A session whose signature is yet to be found out, and what it declares.
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

    /// What this session is held to.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    pub(super) fn set_signature(&mut self, signature: Signature) {
        self.signature = signature;
    }

    /// A new handle for one or more calls of [`Model::run`], able to stop them.
    ///
    /// # Errors
    /// Only when memory is out.
    pub fn stop(&self) -> Result<Stop, Problem> {
        let outputs = self
            .signature
            .outputs
            .iter()
            .fold(OutputSelector::no_default(), |selector, output| {
                selector.with(&output.name)
            });
        let options = RunOptions::new()
            .map_err(|error| Problem::new("runtime.options", format!("no run options: {error}")))?;
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

    /// Scores every row that ONNX Runtime accepts: a refused batch is halved until the rows stand
    /// alone.
    ///
    /// # Errors
    /// [`RunError::Misaligned`] and [`RunError::Stopped`]; never `Refused`.
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
            Err(RunError::Refused(reason)) => {
                // A fixed batch may have got half-way.
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
                    outcomes.refused.push((rows.start, reason));
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
            let value = answered
                .get(&output.name)
                .ok_or_else(|| RunError::Misaligned(format!("no output `{}`", output.name)))?;
            read(value, output, rows.len(), padded, data)?;
        }
        outputs.rows += rows.len();
        Ok(())
    }

    /// Shapes of all outputs for these rows, whatever they are: admission's first look.
    pub(super) fn look(
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
                let value = value
                    .ok_or_else(|| RunError::Misaligned(format!("no output `{}`", output.name)))?;
                tensor_of(value.dtype()).map_err(|kind| {
                    RunError::Misaligned(format!("output `{}` is of type {kind}", output.name))
                })
            })
            .collect()
    }
}

fn open(runtime: &Runtime, image: &Image) -> Result<Session, Problem> {
    let build = || -> ort::Result<Session> {
        Session::builder(runtime.environment())?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_log_level(ort::logging::LogLevel::Warning)?
            // Never its own format, whatever the bytes look like: those were not walked.
            .with_config_entry("session.load_model_format", "ONNX")?
            .commit_from_memory(image.bytes())
    };
    build().map_err(|error| explained(&error))
}

/// ONNX Runtime's refusal of a whole model, with what to do where that is known.
fn explained(error: &ort::Error) -> Problem {
    let whole = error.to_string();
    // "… Current official support for domain ai.onnx is till opset 26."
    if let Some((before, newest)) = whole.split_once(" is till opset ") {
        let domain = before.rsplit(' ').next().unwrap_or_default();
        let newest: String = newest.chars().take_while(char::is_ascii_digit).collect();
        return Problem::new(
            "model.opset",
            format!("the model needs a newer opset of `{domain}` than ONNX Runtime's, {newest}"),
        )
        .help(format!(
            "export with target_opset={newest} or older for `{domain}`"
        ));
    }
    let said = first_line(&whole);
    let problem = Problem::new(
        "model.runtime_refused",
        format!("ONNX Runtime refuses the model: {said}"),
    );
    if said.contains("Unsupported model IR version") {
        return Problem {
            code: "model.ir_version".to_owned(),
            ..problem
        }
        .help(
            "export with an older target_opset, or set model.ir_version to the number named here",
        );
    }
    if said.contains("locale") {
        return problem.help("install the locale on every worker, or export with locale='C'");
    }
    if error.code() == ErrorCode::NotImplemented {
        return problem.help("export with operators of the CPU provider");
    }
    problem
}

fn refused(error: &ort::Error) -> RunError {
    let said = error.to_string();
    if said.contains("terminate flag") {
        return RunError::Stopped;
    }
    RunError::Refused(first_line(&said))
}

/// What went wrong, without source paths and node names, in at most 300 characters.
fn first_line(said: &str) -> String {
    let said = said
        .rsplit_once("Status Message: ")
        .map_or(said, |(_, message)| message);
    let line = said.trim().lines().next().unwrap_or("no reason given");
    let line = match line.find("/onnxruntime_src/") {
        Some(at) => format!("{}{}", &line[..at], behind_the_source(&line[at..])),
        None => line.to_owned(),
    };
    line.chars().take(300).collect()
}

/// All inputs of a call, by name.
fn values<'v>(
    signature: &'v Signature,
    batch: &'v InputBatch,
    rows: Range<usize>,
    padded: usize,
) -> Result<Vec<(&'v str, SessionInputValue<'v>)>, RunError> {
    if signature.inputs.len() != batch.inputs.len() {
        return Err(RunError::Misaligned(format!(
            "{} inputs were given, {} are wanted",
            batch.inputs.len(),
            signature.inputs.len()
        )));
    }
    let pairs = signature.inputs.iter().zip(&batch.inputs);
    pairs
        .map(|(input, data)| {
            let width = input.width();
            if data.element() != input.element || data.len() != batch.rows * width {
                return Err(RunError::Misaligned(format!(
                    "input `{}` was given {} values of {:?}, {} of {:?} are wanted",
                    input.name,
                    data.len(),
                    data.element(),
                    batch.rows * width,
                    input.element
                )));
            }
            let shape: Vec<usize> = [padded].iter().chain(&input.dims).copied().collect();
            let value = value_of(data, rows.clone(), width, padded, IxDyn(&shape))
                .map_err(|why| RunError::Refused(format!("input `{}`: {why}", input.name)))?;
            Ok((input.name.as_str(), value))
        })
        .collect()
}

/// What follows `/onnxruntime_src/file.cc:46 void f(const std::string&) const [with T = int] x was false. `:
/// the path and the signature of the C++ function that complained, and what it had assumed.
fn behind_the_source(text: &str) -> &str {
    fn closed(text: &str, open: char, close: char) -> Option<usize> {
        let mut depth = 0;
        text.char_indices()
            .find(|(_, c)| {
                depth += i32::from(*c == open) - i32::from(*c == close);
                depth == 0 && *c == close
            })
            .map(|(at, _)| at + 1)
    }
    let Some(mut rest) = closed(text, '(', ')').map(|end| &text[end..]) else {
        return text;
    };
    // `::<lambda()>` and the like.
    rest = rest.find(' ').map_or("", |at| &rest[at..]).trim_start();
    rest = rest.strip_prefix("const ").unwrap_or(rest);
    if rest.starts_with("[with") {
        rest = closed(rest, '[', ']')
            .map_or("", |end| &rest[end..])
            .trim_start();
    }
    if let Some((_, why)) = rest.split_once(" was false. ") {
        rest = why;
    }
    if rest.is_empty() { text } else { rest }
}

/// A view of `rows`, or a copy of them padded to `padded` rows with the last one.
fn value_of<'v>(
    data: &'v TensorData,
    rows: Range<usize>,
    width: usize,
    padded: usize,
    shape: IxDyn,
) -> Result<SessionInputValue<'v>, String> {
    fn number<T>(
        values: &[T],
        rows: Range<usize>,
        width: usize,
        padded: usize,
        shape: IxDyn,
    ) -> ort::Result<SessionInputValue<'_>>
    where
        T: PrimitiveTensorElementType + Clone + std::fmt::Debug + 'static,
    {
        let chunk = &values[rows.start * width..rows.end * width];
        if rows.len() == padded {
            let view = ArrayViewD::from_shape(shape, chunk).map_err(ort::Error::wrap)?;
            return Ok(TensorRef::from_array_view(view)?.into());
        }
        let array =
            ArrayD::from_shape_vec(shape, pad(chunk, width, padded)).map_err(ort::Error::wrap)?;
        Ok(Tensor::from_array(array)?.into())
    }
    let value = match data {
        TensorData::Float16(values) => number::<f16>(values, rows, width, padded, shape),
        TensorData::Float(values) => number(values, rows, width, padded, shape),
        TensorData::Double(values) => number(values, rows, width, padded, shape),
        TensorData::Int32(values) => number(values, rows, width, padded, shape),
        TensorData::Int64(values) => number(values, rows, width, padded, shape),
        TensorData::Bool(values) => number(values, rows, width, padded, shape),
        TensorData::String(values) => {
            let chunk = &values[rows.start * width..rows.end * width];
            if chunk.iter().any(|text| text.contains('\0')) {
                return Err("text with a NUL character cannot go to ONNX Runtime".to_owned());
            }
            let view = |texts: &[String]| -> ort::Result<SessionInputValue<'v>> {
                let view = ArrayViewD::from_shape(shape, texts).map_err(ort::Error::wrap)?;
                Ok(Tensor::from_string_array(view)?.into())
            };
            if rows.len() == padded {
                view(chunk)
            } else {
                view(&pad(chunk, width, padded))
            }
        }
    };
    value.map_err(|error| first_line(&error.to_string()))
}

fn pad<T: Clone>(chunk: &[T], width: usize, padded: usize) -> Vec<T> {
    let mut values = chunk.to_vec();
    let last = &chunk[chunk.len() - width..];
    while values.len() < padded * width {
        values.extend_from_slice(last);
    }
    values
}

/// Appends the first `rows` rows of an output of `padded` rows.
fn read(
    value: &DynValue,
    output: &Output,
    rows: usize,
    padded: usize,
    data: &mut TensorData,
) -> Result<(), RunError> {
    let misaligned =
        |what: String| RunError::Misaligned(format!("output `{}` {what}", output.name));
    let (element, shape) =
        tensor_of(value.dtype()).map_err(|kind| misaligned(format!("is of type {kind}")))?;
    let wanted: Vec<i64> = std::iter::once(padded)
        .chain(output.dims.iter().copied())
        .map(|dim| dim as i64)
        .collect();
    if element != output.element || shape != wanted {
        return Err(misaligned(format!(
            "came back as {element:?} {shape:?} for {padded} rows, admitted was {:?} {wanted:?}",
            output.element
        )));
    }
    let take = rows * output.width();
    let failed = |error: ort::Error| misaligned(format!("cannot be read: {error}"));
    match data {
        TensorData::Float16(values) => {
            values.extend_from_slice(&value.try_extract_tensor::<f16>().map_err(failed)?.1[..take])
        }
        TensorData::Float(values) => {
            values.extend_from_slice(&value.try_extract_tensor::<f32>().map_err(failed)?.1[..take])
        }
        TensorData::Double(values) => {
            values.extend_from_slice(&value.try_extract_tensor::<f64>().map_err(failed)?.1[..take])
        }
        TensorData::Int32(values) => {
            values.extend_from_slice(&value.try_extract_tensor::<i32>().map_err(failed)?.1[..take])
        }
        TensorData::Int64(values) => {
            values.extend_from_slice(&value.try_extract_tensor::<i64>().map_err(failed)?.1[..take])
        }
        TensorData::Bool(values) => values.extend(
            truths(value, padded * output.width()).map_err(failed)?[..take]
                .iter()
                .map(|byte| *byte != 0),
        ),
        TensorData::String(values) => {
            let (_, texts) = value.try_extract_strings().map_err(|error| {
                RunError::Refused(format!(
                    "output `{}`: {}",
                    output.name,
                    first_line(&error.to_string())
                ))
            })?;
            values.extend(texts.into_iter().take(take));
        }
    }
    debug_assert!(each_tensor!(data, values => values.len()) % output.width().max(1) == 0);
    Ok(())
}

/// The bytes of a bool tensor: a model may have put others than 0 and 1 there, which no Rust `bool`
/// may be.
fn truths(value: &DynValue, len: usize) -> ort::Result<&[u8]> {
    let tensor = value.view().downcast::<DynTensorValueType>()?;
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: the caller has checked that this is a bool tensor of exactly `len` values, which ONNX
    // Runtime keeps as one byte each, on the CPU (the only provider registered); the slice lives no
    // longer than the value.
    Ok(unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<u8>(), len) })
}

#[cfg(test)]
mod tests {
    use super::first_line;

    #[test]
    fn reasons_come_without_source_paths() {
        for (said, wanted) in [
            (
                "Non-zero status code returned while running OneHotEncoder node. Name:'' Status Message: Unknown Category and zeros = 0.",
                "Unknown Category and zeros = 0.",
            ),
            (
                "/onnxruntime_src/onnxruntime/core/graph/model_load_utils.h:46 void onnxruntime::model_load_utils::Validate(const std::unordered_map<std::string, int>&, const bool, int) ONNX Runtime only *guarantees* support",
                "ONNX Runtime only *guarantees* support",
            ),
            (
                "Exception during initialization: /onnxruntime_src/a/string_normalizer.cc:235 onnxruntime::Locale::Locale(const std::string&)::<lambda()> Failed to construct locale with name:en_US.UTF-8",
                "Exception during initialization: Failed to construct locale with name:en_US.UTF-8",
            ),
            (
                "/onnxruntime_src/a.cc:1 void f(int) const [with T = int; U = std::array<int, 2>] x == y was false. Why not",
                "Why not",
            ),
            (
                "/onnxruntime_src/a.cc:1 nothing known",
                "/onnxruntime_src/a.cc:1 nothing known",
            ),
            ("", "no reason given"),
        ] {
            assert_eq!(first_line(said), wanted);
        }
    }
}
