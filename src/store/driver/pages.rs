//! Decides how many rows a page has. Cassandra counts rows, not bytes, and holds a whole page in
//! memory: a page that is too large exhausts the node's heap and this process's memory.
//!
//! If all columns are bounded by their types, a page has as many rows as make `PAGE_BYTES`.
//! Otherwise the first page of a statement is small and read alone. Every further page has as many
//! rows as would make `PAGE_BYTES` (more for `DOCUMENTS`) at the mean size of the last page's rows. It
//! has at most twice as many rows as the last page, and never more than `MOST_ROWS`; this bounds the
//! cost of a table whose rows grow suddenly.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::MutexGuard;

use super::raw::Page;
use crate::codec::cql_type::CqlType;

/// Target size of a page. Larger pages cost Cassandra more per row (its heap holds them completely:
/// bench/results), smaller ones more requests.
const PAGE_BYTES: usize = 1 << 18;
/// Rows of a page of documents, as long as they have at most so many bytes together: documents of more
/// than 128 KiB would otherwise come one a page. Most of a blob's cost is its bytes, not its cell.
const DOCUMENTS: usize = 8;
const DOCUMENTS_BYTES: usize = 1 << 20;
/// Size above which a page is too large, even if its types say that the rows are small. A page also
/// has at most as many rows as would make this size if all were as large as the largest one so far.
const MOST_BYTES: usize = 4 << 20;
/// Largest number of rows in a page if the size of rows is not bounded.
const MOST_ROWS: i32 = 1_000;
/// Largest number of rows in a page if rows are little more than a key.
const MOST_KEYS: i32 = 5_000;
/// Rows of the first page of such a statement in this process, and the assumed bytes of each.
const FIRST_ROWS: i32 = 16;
const FIRST_ROW_BYTES: usize = 1 << 20;
/// Rows of the first page if a column holds blobs, which may be whole documents.
const FIRST_BLOBS: i32 = 4;
/// Largest number of rows in the first page of each further range.
const START_ROWS: i32 = 500;
/// How long a first page is waited for: first pages of empty ranges give no row size.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);

/// How many rows the pages of a SELECT have.
#[derive(Debug, Clone, Copy)]
pub struct PageRows {
    most: i32,
    /// The types bound every row's size, so pages have `most` rows.
    bounded: bool,
    /// A column holds blobs.
    blobs: bool,
    /// Rows are keys and what helenus adds to them: Cassandra limits a key to 64 KiB.
    keys: bool,
}

impl PageRows {
    /// Returns the page size for rows with columns of these types.
    pub fn for_types<'a>(types: impl Iterator<Item = &'a CqlType>) -> Self {
        let (mut bytes, mut bounded, mut blobs) = (0, true, false);
        for cql_type in types {
            bytes += 4 + weight(cql_type);
            blobs |= *cql_type == CqlType::Blob;
            bounded &= is_bounded(cql_type);
        }
        let most = (PAGE_BYTES / bytes.max(1)).clamp(50, 5_000) as i32;
        Self {
            most: if bounded { most } else { most.min(MOST_ROWS) },
            bounded,
            blobs,
            keys: false,
        }
    }

    /// Returns the page size for rows with a key of these types and little else.
    pub fn of_keys<'a>(mut types: impl Iterator<Item = &'a CqlType>) -> Self {
        Self {
            most: MOST_KEYS,
            bounded: types.all(is_bounded),
            blobs: false,
            keys: true,
        }
    }

    /// Returns the number of rows of this mean size that make a page.
    fn of_size(self, bytes: usize) -> usize {
        let rows = PAGE_BYTES / bytes;
        match self.blobs {
            true => rows.max(DOCUMENTS.min(DOCUMENTS_BYTES / bytes)),
            false => rows,
        }
    }

    /// Returns the same page size, limited to `rows` rows.
    pub fn at_most(self, rows: i32) -> Self {
        Self {
            most: self.most.min(rows).max(1),
            ..self
        }
    }
}

/// Returns whether a value's size is limited by its type.
fn is_bounded(cql_type: &CqlType) -> bool {
    match cql_type {
        CqlType::Ascii
        | CqlType::Text
        | CqlType::Blob
        | CqlType::Varint
        | CqlType::Decimal
        | CqlType::List(_)
        | CqlType::Set(_)
        | CqlType::Map(..)
        | CqlType::Udt(..)
        | CqlType::Named(_) => false,
        CqlType::Vector(inner, _) | CqlType::Frozen(inner) => is_bounded(inner),
        CqlType::Tuple(fields) => fields.iter().all(is_bounded),
        _ => true,
    }
}

/// Returns the approximate bytes of a value.
fn weight(cql_type: &CqlType) -> usize {
    match cql_type {
        CqlType::Boolean | CqlType::Tinyint => 1,
        CqlType::Smallint => 2,
        CqlType::Float | CqlType::Int | CqlType::Date => 4,
        CqlType::Double | CqlType::Bigint | CqlType::Timestamp | CqlType::Time => 8,
        CqlType::Uuid | CqlType::Timeuuid | CqlType::Inet | CqlType::Decimal => 16,
        CqlType::Vector(element, width) => weight(element) * usize::from(*width),
        CqlType::Frozen(inner) => weight(inner),
        CqlType::List(element) | CqlType::Set(element) => 32 * (4 + weight(element)),
        _ => 48,
    }
}

/// Sizes of the rows of each statement, as seen by this process.
#[derive(Debug, Default)]
pub(in crate::store) struct RowSizes(Mutex<HashMap<String, Arc<RowSize>>>);

impl RowSizes {
    pub fn get(&self, cql: &str) -> Arc<RowSize> {
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sizes.entry(cql.to_owned()).or_default())
    }
}

/// Size of a statement's rows so far; 0 before the first.
#[derive(Debug, Default)]
pub(in crate::store) struct RowSize {
    largest: AtomicUsize,
    /// Mean bytes per row of the last page.
    mean: AtomicUsize,
    /// Held while the first page is read.
    first: tokio::sync::Mutex<()>,
}

impl RowSize {
    pub fn saw(&self, page: &Page) {
        if page.rows() > 0 {
            self.largest
                .fetch_max(page.largest_row(), Ordering::Relaxed);
            let mean = page.byte_len() / page.rows();
            self.mean.store(mean.max(1), Ordering::Relaxed);
        }
    }

    fn is_known(&self) -> bool {
        self.mean.load(Ordering::Relaxed) > 0
    }

    /// Returns the expected bytes of one row: those of the largest so far.
    pub fn row(&self) -> usize {
        match self.largest.load(Ordering::Relaxed) {
            0 if !self.is_known() => FIRST_ROW_BYTES,
            largest => largest.max(1),
        }
    }

    /// Returns the number of rows that make a page.
    fn rows(&self, pages: PageRows) -> i32 {
        let by_mean = pages.of_size(self.mean.load(Ordering::Relaxed).max(1));
        let rows = by_mean.min(MOST_BYTES / self.row()).max(1);
        i32::try_from(rows).unwrap_or(i32::MAX)
    }
}

/// Decides page by page how many rows to request.
#[derive(Debug)]
pub(in crate::store) struct Steering {
    pages: PageRows,
    size: Arc<RowSize>,
    /// Rows of the next page; 0 before the first.
    rows: i32,
    /// Bytes of the last page.
    bytes: usize,
}

impl Steering {
    pub fn new(pages: PageRows, size: Arc<RowSize>) -> Self {
        Self {
            pages,
            size,
            rows: 0,
            bytes: PAGE_BYTES,
        }
    }

    pub fn size(&self) -> Arc<RowSize> {
        Arc::clone(&self.size)
    }

    /// Returns the rows of the next page, and the bytes that it is expected to have.
    pub fn next(&mut self) -> (i32, usize) {
        if self.pages.bounded {
            if self.rows == 0 {
                self.rows = self.pages.most;
            }
            return (self.rows, self.bytes);
        }
        if self.rows == 0 {
            self.rows = match self.size.is_known() {
                true if self.pages.keys => self.size.rows(self.pages),
                true => self.size.rows(self.pages).min(START_ROWS),
                false if self.pages.blobs => FIRST_BLOBS,
                false => FIRST_ROWS,
            };
            self.rows = self.rows.min(self.pages.most);
        }
        (self.rows, self.size.row() * self.rows as usize)
    }

    /// Records a page that arrived.
    pub fn saw(&mut self, page: &Page) {
        if page.rows() == 0 {
            return;
        }
        self.size.saw(page);
        self.bytes = page.byte_len();
        let twice = self.rows.saturating_mul(2).min(self.pages.most);
        self.rows = match self.pages.bounded && self.bytes <= MOST_BYTES {
            true => twice,
            false => self.size.rows(self.pages).min(twice),
        };
    }
}

/// Waits while another reader reads the first page of this statement. Returns `Some` if none has:
/// the caller then reads it, alone until the guard is dropped.
pub(in crate::store) async fn alone<'s>(
    pages: PageRows,
    size: &'s RowSize,
) -> Option<MutexGuard<'s, ()>> {
    if pages.bounded || pages.keys || size.is_known() {
        return None;
    }
    let first = tokio::time::timeout(FIRST_PATIENCE, size.first.lock()).await;
    first.ok().filter(|_| !size.is_known())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steer(pages: PageRows, rows_of: impl Fn(usize) -> usize, reads: usize) -> Vec<(i32, usize)> {
        let mut steering = Steering::new(pages, Arc::default());
        let mut at = 0;
        (0..reads)
            .map(|_| {
                let (rows, _) = steering.next();
                let sizes: Vec<usize> = (at..at + rows as usize).map(&rows_of).collect();
                at += rows as usize;
                let page = Page::of_sizes(&sizes);
                steering.saw(&page);
                (rows, page.byte_len())
            })
            .collect()
    }

    #[test]
    fn bounded_columns_have_whole_pages_from_the_first_on() {
        let pages = PageRows::for_types([CqlType::Int, CqlType::Double].iter());
        let read = steer(pages, |_| 12, 3);
        assert!(read.iter().all(|(rows, _)| *rows == 5_000), "{read:?}");
        let wide = PageRows::for_types([CqlType::Vector(Box::new(CqlType::Float), 8_192)].iter());
        let read = steer(wide, |_| 32_768, 3);
        assert!(read.iter().all(|(rows, _)| *rows == 50), "{read:?}");
    }

    #[test]
    fn types_without_a_bound_are_known() {
        let text = CqlType::Text;
        let unbounded = [
            CqlType::Blob,
            CqlType::Decimal,
            CqlType::Frozen(Box::new(CqlType::List(Box::new(CqlType::Float)))),
            CqlType::Vector(Box::new(text.clone()), 3),
            CqlType::Tuple(vec![CqlType::Int, text]),
        ];
        assert!(!unbounded.iter().any(is_bounded));
        let pair = CqlType::Tuple(vec![CqlType::Int, CqlType::Uuid]);
        assert!(is_bounded(&pair) && is_bounded(&CqlType::Inet));
    }

    #[test]
    fn long_texts_make_short_pages() {
        let pages = PageRows::for_types([CqlType::Int, CqlType::Text].iter());
        let read = steer(pages, |_| 60_000, 6);
        assert_eq!(read[0], (FIRST_ROWS, 16 * 60_000));
        assert!(read[1..].iter().all(|(rows, _)| *rows == 4), "{read:?}");
    }

    #[test]
    fn the_first_page_of_blobs_is_smaller_still() {
        let pages = PageRows::for_types([CqlType::Int, CqlType::Blob].iter());
        let read = steer(pages, |_| 10 << 20, 4);
        let rows: Vec<i32> = read.iter().map(|page| page.0).collect();
        assert_eq!(rows, [4, 1, 1, 1]);
    }

    #[test]
    fn documents_come_several_a_page() {
        let pages = PageRows::for_types([CqlType::Int, CqlType::Blob].iter());
        let rows = |bytes: usize| steer(pages, |_| bytes, 9)[8].0;
        assert_eq!(
            [40, 100, 156, 600, 2_000].map(|kib| rows(kib << 10)),
            [8, 8, 6, 1, 1]
        );
        // Small blobs have the pages of other rows.
        assert_eq!(rows(1 << 10), 256);
    }

    #[test]
    fn pages_grow_no_faster_than_twofold_and_shrink_at_once() {
        let pages = PageRows::for_types([CqlType::Int, CqlType::Text].iter());
        let grown = steer(pages, |_| 20, 9);
        let rows: Vec<i32> = grown.iter().map(|page| page.0).collect();
        assert_eq!(rows, [16, 32, 64, 128, 256, 512, 1_000, 1_000, 1_000]);
        let jump = steer(pages, |row| if row < 3_008 { 20 } else { 60_000 }, 12);
        let largest = jump.iter().map(|page| page.1).max().unwrap();
        assert!(largest <= 60_000_000, "{jump:?}");
        let after = jump.iter().position(|page| page.1 == largest).unwrap() + 1;
        assert!(jump[after].0 <= 8, "{jump:?}");
    }
}
