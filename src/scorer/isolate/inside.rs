//! The child's side: loads the models, drops its privileges, and scores requested rows.

use std::io::{self, BufReader, BufWriter, Read, Write};

use super::{
    super::{
        confined::{confine, forbid_opening},
        image::Image,
        runtime,
        session::{Model, RowOutcomes, RunError},
    },
    BUFFER,
    wire::{Answer, Ask, Load, read_block, read_header, read_tensor, write_header, write_tensor},
};
use crate::domain::{model::tensor::InputBatch, problem::Problem};

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
    let models = match load(&order, &mut input)? {
        Ok(models) => models,
        Err(problem) => {
            write_header(&mut output, &Answer::not_loaded(&problem))?;
            return output.flush();
        }
    };
    forbid_opening()?;
    write_header(&mut output, &Answer::Ready)?;
    output.flush()?;
    let mut loaded: Vec<_> = models
        .into_iter()
        .map(|model| {
            let batch = InputBatch::new(&model.signature().inputs);
            (model, batch)
        })
        .collect();
    while let Some(ask) = read_header::<Ask>(&mut input)? {
        let (model, batch) = loaded
            .get_mut(ask.version as usize)
            .ok_or_else(|| io::Error::other("the version is not loaded"))?;
        batch.clear();
        batch.rows = ask.rows as usize;
        for (input_, data) in model.signature().inputs.iter().zip(&mut batch.inputs) {
            read_tensor(&mut input, data, ask.rows as usize * input_.width())?;
        }
        match score(model, batch) {
            Ok(outcomes) => answer(&mut output, outcomes)?,
            Err(error) => write_header(&mut output, &Answer::Misaligned(error.to_string()))?,
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
