//! The child's side: loads the models or the rules, drops its privileges, and scores or prepares
//! requested rows.

use std::io::{self, BufReader, BufWriter, Read, Write};

use super::{
    super::{
        confined::{confine, forbid_opening},
        image::Image,
        runtime,
        session::{Model, RowOutcomes, RunError},
    },
    BUFFER,
    wire::{
        Answer, Ask, Load, read_block, read_cells, read_header, read_plan, read_tensor,
        write_header, write_tensor,
    },
};
use crate::{
    codec::cells::CellBuffer,
    domain::{
        job::prepare::Preparer,
        model::tensor::{InputBatch, OutputBatch},
        problem::Problem,
    },
};

/// Serves requests until the parent closes the pipe.
pub(in crate::scorer) fn serve() -> io::Result<()> {
    let mut input = BufReader::with_capacity(BUFFER, io::stdin().lock());
    let order = read_block(&mut input)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let order: Load = serde_json::from_slice(&order)?;
    confine(order.memory, None)?;
    // Library output on stdout must not be mixed with the answers.
    let output = rustix::io::dup(io::stdout())?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    let mut output = BufWriter::with_capacity(BUFFER, std::fs::File::from(output));
    if let Some(tokenizers) = order.tokenizers {
        let plan = read_plan(&mut input, tokenizers)?;
        return match ready(Preparer::planned(&plan), &mut output)? {
            Some(preparer) => prepare(&preparer, &mut input, &mut output),
            None => Ok(()),
        };
    }
    let loaded = load(&order, &mut input)?;
    match ready(loaded, &mut output)? {
        Some(models) => score_all(models, &mut input, &mut output),
        None => Ok(()),
    }
}

/// Drops what is needed only for loading, and answers that loading has ended.
fn ready<T>(loaded: Result<T, Problem>, output: &mut impl Write) -> io::Result<Option<T>> {
    let answer = match &loaded {
        Ok(_) => {
            forbid_opening()?;
            Answer::Ready
        }
        Err(problem) => Answer::not_loaded(problem),
    };
    write_header(output, &answer)?;
    output.flush()?;
    Ok(loaded.ok())
}

/// Prepares cells until the pipe is closed.
fn prepare(preparer: &Preparer, input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    while let Some(ask) = read_header::<Ask>(input)? {
        let rows = ask.rows as usize;
        // A buffer that is kept would stay as large as the largest documents.
        let mut cells = CellBuffer::new(preparer.columns());
        read_cells(input, &mut cells, rows)?;
        let part = preparer.prepare(&cells, 0..rows);
        let outputs = OutputBatch {
            rows: rows - part.rejected.len(),
            outputs: part.inputs.into_iter().map(|(_, data)| data).collect(),
        };
        let rejected = part.rejected.into_iter();
        let refused = rejected.map(|(row, rejection)| (row, rejection.to_string()));
        let refused = refused.collect();
        answer(output, RowOutcomes { outputs, refused })?;
        output.flush()?;
    }
    Ok(())
}

/// Scores rows until the pipe is closed.
fn score_all(models: Vec<Model>, input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    let mut loaded: Vec<_> = models
        .into_iter()
        .map(|model| {
            let batch = InputBatch::new(&model.signature().inputs);
            (model, batch)
        })
        .collect();
    while let Some(ask) = read_header::<Ask>(input)? {
        let (model, batch) = loaded
            .get_mut(ask.version as usize)
            .ok_or_else(|| io::Error::other("the version is not loaded"))?;
        batch.clear();
        batch.rows = ask.rows as usize;
        for (input_, data) in model.signature().inputs.iter().zip(&mut batch.inputs) {
            read_tensor(input, data, ask.rows as usize * input_.width())?;
        }
        match score(model, batch) {
            Ok(outcomes) => answer(output, outcomes)?,
            Err(error) => write_header(output, &Answer::Misaligned(error.to_string()))?,
        }
        output.flush()?;
    }
    Ok(())
}

/// Reads each model's bytes and creates its session, with one model's bytes in memory at a time.
fn load(order: &Load, input: &mut impl Read) -> io::Result<Result<Vec<Model>, Problem>> {
    let runtime = match runtime::load(Some(&order.library)) {
        Ok(runtime) => runtime,
        Err(problem) => return Ok(Err(problem)),
    };
    let mut models = Vec::with_capacity(order.models.len());
    for (size, signature) in &order.models {
        let mut bytes = vec![0; usize::try_from(*size).map_err(io::Error::other)?];
        input.read_exact(&mut bytes)?;
        match Model::load(runtime, &Image::merged(bytes, &[]), signature) {
            Ok(model) => models.push(model),
            Err(problem) => return Ok(Err(problem)),
        }
    }
    Ok(Ok(models))
}

fn score(model: &mut Model, batch: &InputBatch) -> Result<RowOutcomes, RunError> {
    let stop = model
        .stop()
        .map_err(|problem| RunError::Misaligned(problem.message))?;
    model.run_rows(batch, &stop)
}

fn answer(output: &mut impl Write, outcomes: RowOutcomes) -> io::Result<()> {
    let refused = outcomes.refused.into_iter();
    let header = Answer::Scored {
        rows: outcomes.outputs.rows as u32,
        refused: refused.map(|(row, why)| (row as u32, why)).collect(),
    };
    write_header(output, &header)?;
    outcomes
        .outputs
        .outputs
        .iter()
        .try_for_each(|data| write_tensor(output, data, 0..data.len()))
}
