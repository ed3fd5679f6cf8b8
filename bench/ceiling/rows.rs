//! What a prediction looks like, and rows of them as bytes to bind.

use scylla::{
    client::session::Session,
    cluster::metadata::{CollectionType, ColumnType, NativeType, Table},
    deserialize::row::ColumnIterator,
    errors::SerializationError,
    serialize::{
        row::{RowSerializationContext, SerializeRow},
        writers::RowWriter,
    },
};

use super::Failure;

pub type Cells<'f, 'm> = ColumnIterator<'f, 'm>;

/// Columns of both tables, and the bytes that are the same in every prediction.
pub struct Shape {
    partition_key: Vec<String>,
    key: Vec<String>,
    source: Vec<String>,
    target: Vec<String>,
    versions: i32,
    /// Outputs and lineage, as [`Bound`] reads them.
    constant: Vec<u8>,
    /// Where the lineage's two hashes are in it, when they are to differ in every prediction.
    hashes: [usize; 2],
    differ: bool,
}

impl Shape {
    pub fn of(
        session: &Session,
        source: &str,
        target: &str,
        versions: i32,
        differ: bool,
    ) -> Result<Self, Failure> {
        let state = session.get_cluster_state();
        let table = |name: &str| -> Result<Table, Failure> {
            let (keyspace, table) = name.split_once('.').ok_or("a table is keyspace.table")?;
            let keyspace = state.get_keyspace(keyspace).ok_or("no such keyspace")?;
            let table = keyspace.tables.get(table).ok_or("no such table")?;
            Ok(table.clone())
        };
        let (source, target) = (table(source)?, table(target)?);
        let partition_key = source.partition_key.clone();
        let key = [partition_key.clone(), source.clustering_key.clone()].concat();
        let rest = |table: &Table| {
            let is_key = |name: &String| {
                table.partition_key.contains(name) || table.clustering_key.contains(name)
            };
            let mut names: Vec<String> = table.columns.keys().cloned().collect();
            names.retain(|name| !is_key(name));
            names.sort();
            names
        };
        let (mut constant, mut hashes) = (Vec::new(), [0; 2]);
        let outputs = rest(&target);
        for name in &outputs {
            match &target.columns[name].typ {
                _ if name == "lineage" => {
                    // Behind the cell's length, a sha256, and the length of each.
                    let first = constant.len() + 4 + (4 + 32) + 4;
                    hashes = [first, first + 16 + 4];
                    push(&mut constant, &lineage());
                }
                ColumnType::Native(NativeType::Text) => push(&mut constant, b"malignant"),
                ColumnType::Native(NativeType::Float) => {
                    push(&mut constant, &0.5_f32.to_be_bytes());
                }
                ColumnType::Native(NativeType::BigInt) => {
                    push(&mut constant, &1_i64.to_be_bytes());
                }
                ColumnType::Vector { dimensions, .. } => {
                    push(&mut constant, &vec![63; 4 * usize::from(*dimensions)]);
                }
                ColumnType::Collection {
                    typ: CollectionType::List(_),
                    ..
                } => {
                    return Err("no list is an output".into());
                }
                other => return Err(format!("{name} is of type {other:?}").into()),
            }
        }
        Ok(Self {
            source: [key.clone(), rest(&source)].concat(),
            target: [key.clone(), vec!["model_version".into()], outputs].concat(),
            partition_key,
            key,
            versions,
            constant,
            hashes,
            differ,
        })
    }

    pub fn partition_key(&self) -> String {
        self.partition_key.join(", ")
    }

    pub fn key(&self) -> String {
        self.key.join(", ")
    }

    pub fn source_columns(&self) -> String {
        self.source.join(", ")
    }

    pub fn insert(&self, table: &str) -> String {
        let marks = vec!["?"; self.target.len()].join(", ");
        let columns = self.target.join(", ");
        format!("INSERT INTO {table} ({columns}) VALUES ({marks})")
    }
}

/// All eight fields, those that are null in nearly every row null.
fn lineage() -> Vec<u8> {
    let mut bytes = Vec::new();
    push(&mut bytes, &[7; 32]);
    push(&mut bytes, &[1; 16]);
    push(&mut bytes, &[2; 16]);
    // A timeuuid: version 1.
    push(
        &mut bytes,
        &[3, 3, 3, 3, 3, 3, 0x13, 3, 0x83, 3, 3, 3, 3, 3, 3, 3],
    );
    push(&mut bytes, &1_700_000_000_000_i64.to_be_bytes());
    push(&mut bytes, &1_i32.to_be_bytes());
    bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    bytes
}

fn push(bytes: &mut Vec<u8>, cell: &[u8]) {
    bytes.extend_from_slice(&(cell.len() as i32).to_be_bytes());
    bytes.extend_from_slice(cell);
}

/// Predictions of one batch.
#[derive(Default)]
pub struct Predictions {
    values: Vec<u8>,
    ends: Vec<usize>,
}

impl Predictions {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Predictions of a source row; gives how many.
    pub fn add(&mut self, shape: &Shape, row: Cells<'_, '_>) -> Result<u64, Failure> {
        let start = self.values.len();
        for (at, cell) in row.enumerate() {
            let cell = cell?.slice.ok_or("null").map(|slice| slice.as_slice());
            if at < shape.key.len() {
                push(&mut self.values, cell?);
            } else {
                std::hint::black_box(cell.ok());
            }
        }
        Ok(self.finish(shape, start))
    }

    /// Predictions of a key that is one int; gives how many.
    pub fn add_key(&mut self, shape: &Shape, key: i32) -> u64 {
        let start = self.values.len();
        push(&mut self.values, &key.to_be_bytes());
        self.finish(shape, start)
    }

    fn finish(&mut self, shape: &Shape, start: usize) -> u64 {
        let key = start..self.values.len();
        for version in 1..=shape.versions {
            if version > 1 {
                self.values.extend_from_within(key.clone());
            }
            push(&mut self.values, &version.to_be_bytes());
            let start = self.values.len();
            self.values.extend_from_slice(&shape.constant);
            if shape.differ {
                for hash in shape.hashes {
                    let bytes = rand::random::<u128>().to_be_bytes();
                    self.values[start + hash..][..16].copy_from_slice(&bytes);
                }
            }
            self.ends.push(self.values.len());
        }
        shape.versions as u64
    }

    pub fn bound(&self) -> Vec<Bound<'_>> {
        let mut start = 0;
        let row = |&end: &usize| {
            let bound = Bound(&self.values[start..end]);
            start = end;
            bound
        };
        self.ends.iter().map(row).collect()
    }
}

/// Cells with their lengths before them.
pub struct Bound<'a>(&'a [u8]);

impl SerializeRow for Bound<'_> {
    fn serialize(
        &self,
        _: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let mut rest = self.0;
        while let Some((length, after)) = rest.split_first_chunk() {
            let (cell, after) = after.split_at(i32::from_be_bytes(*length) as usize);
            let set = writer.make_cell_writer().set_value(cell);
            set.map_err(SerializationError::new)?;
            rest = after;
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
