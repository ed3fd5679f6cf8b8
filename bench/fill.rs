//! Fills a table with feature rows made from a seed, in the range of the breast cancer data set, so
//! that scores are not all 0 or 1.
//!
//! Three shapes: `columns` (id, 30 floats), `vector` (id, one vector of 30 floats) and `mixed` (a
//! key of three columns, 29 floats of which some are null, a text category).

use std::sync::Arc;

use clap::{Parser, ValueEnum};
use futures::{StreamExt, TryStreamExt, stream};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use scylla::{
    client::{session::Session, session_builder::SessionBuilder},
    statement::batch::{Batch, BatchType},
    value::CqlValue,
};

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Shape {
    Columns,
    Vector,
    Mixed,
}

/// Makes a table and fills it with rows from a seed.
#[derive(Parser)]
struct Flags {
    shape: Shape,
    #[arg(long, default_value = "127.0.0.1:9042")]
    contact: String,
    /// keyspace.table; the keyspace exists, the table does not.
    #[arg(long)]
    table: String,
    #[arg(long, default_value_t = 500_000)]
    rows: i32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Ids below this are written anew with other values: a share of the rows has changed.
    #[arg(long)]
    change: Option<i32>,
    /// The data set: a header, then a key and 30 numbers a line.
    #[arg(long, default_value = "models/breast_cancer_lr/data.csv")]
    data: std::path::PathBuf,
}

const WIDTH: usize = 30;
const BATCH: i32 = 20;
const CATEGORIES: [&str; 4] = ["screening", "referral", "follow-up", "emergency"];

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let flags = Arc::new(Flags::parse());
    let text = std::fs::read_to_string(&flags.data)?;
    let mut lines = text.lines().map(|line| line.trim().split(','));
    let header = lines.next().ok_or("an empty file")?;
    let names: Vec<String> = header.skip(1).take(WIDTH).map(str::to_owned).collect();
    let mut bases = Vec::new();
    for line in lines {
        let numbers: Result<Vec<f32>, _> = line.skip(1).take(WIDTH).map(str::parse).collect();
        bases.push(numbers?);
    }
    let session = SessionBuilder::new()
        .known_node(&flags.contact)
        .build()
        .await?;
    let table = &flags.table;
    let (columns, key) = columns(flags.shape, &names);
    let declared: Vec<String> = columns
        .iter()
        .map(|(name, kind)| format!("{name} {kind}"))
        .collect();
    session
        .query_unpaged(
            format!(
                "CREATE TABLE IF NOT EXISTS {table} ({}, PRIMARY KEY ({key}))",
                declared.join(", ")
            ),
            (),
        )
        .await?;
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let insert = session
        .prepare(format!(
            "INSERT INTO {table} ({}) VALUES ({})",
            names.join(", "),
            vec!["?"; names.len()].join(", ")
        ))
        .await?;
    let mut batch = Batch::new(BatchType::Unlogged);
    (0..BATCH).for_each(|_| batch.append_statement(insert.clone()));
    let (session, bases, batch) = (Arc::new(session), Arc::new(bases), Arc::new(batch));
    let rows = flags.change.unwrap_or(flags.rows);
    stream::iter((0..rows).step_by(BATCH as usize))
        .map(|start| {
            let (session, bases, flags) =
                (Arc::clone(&session), Arc::clone(&bases), Arc::clone(&flags));
            let (batch, insert) = (Arc::clone(&batch), insert.clone());
            tokio::spawn(async move {
                let rows: Vec<Vec<Option<CqlValue>>> = (start..rows.min(start + BATCH))
                    .map(|id| row(&flags, &bases, id))
                    .collect();
                send(&session, &batch, &insert, rows).await
            })
        })
        .buffer_unordered(32)
        .map(|joined| joined.unwrap_or_else(|panic| Err(panic.into())))
        .try_collect::<()>()
        .await
}

async fn send(
    session: &Session,
    full: &Batch,
    insert: &scylla::statement::prepared::PreparedStatement,
    rows: Vec<Vec<Option<CqlValue>>>,
) -> Result<(), Failure> {
    if rows.len() == BATCH as usize {
        session.batch(full, rows).await?;
    } else {
        for row in rows {
            session.execute_unpaged(insert, row).await?;
        }
    }
    Ok(())
}

fn columns(shape: Shape, names: &[String]) -> (Vec<(String, String)>, &'static str) {
    let typed = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    let floats = names.iter().map(|name| typed(name, "float"));
    match shape {
        Shape::Columns => (
            [typed("id", "int")].into_iter().chain(floats).collect(),
            "id",
        ),
        Shape::Vector => (
            vec![typed("id", "int"), typed("features", "vector<float, 30>")],
            "id",
        ),
        Shape::Mixed => (
            [
                typed("clinic", "text"),
                typed("patient", "int"),
                typed("visit", "timestamp"),
            ]
            .into_iter()
            .chain([typed("category", "text")])
            .chain(floats.skip(1))
            .collect(),
            "(clinic, patient), visit",
        ),
    }
}

fn row(flags: &Flags, bases: &[Vec<f32>], id: i32) -> Vec<Option<CqlValue>> {
    // Of the id alone, so that any part of the table can be made again.
    let changed = u64::from(flags.change.is_some());
    let mut random = StdRng::seed_from_u64(
        flags.seed ^ (id as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ changed,
    );
    let base = &bases[random.random_range(0..bases.len())];
    let mut values: Vec<Option<CqlValue>> = base
        .iter()
        .map(|value| Some(CqlValue::Float(value * random.random_range(0.9..1.1))))
        .collect();
    match flags.shape {
        Shape::Columns => [Some(CqlValue::Int(id))]
            .into_iter()
            .chain(values)
            .collect(),
        Shape::Vector => {
            let features = values.into_iter().flatten().collect();
            vec![Some(CqlValue::Int(id)), Some(CqlValue::Vector(features))]
        }
        Shape::Mixed => {
            // Four visits a patient share a partition.
            let category = CATEGORIES[random.random_range(0..CATEGORIES.len())].to_owned();
            if id % 10 == 0 {
                values[1 + (id as usize / 10) % (WIDTH - 1)] = None;
            }
            [
                Some(CqlValue::Text(format!("clinic-{}", id / 4 % 50))),
                Some(CqlValue::Int(id / 4)),
                Some(CqlValue::Timestamp(scylla::value::CqlTimestamp(
                    1_700_000_000_000 + i64::from(id % 4) * 86_400_000,
                ))),
                Some(CqlValue::Text(category)),
            ]
            .into_iter()
            .chain(values.into_iter().skip(1))
            .collect()
        }
    }
}
