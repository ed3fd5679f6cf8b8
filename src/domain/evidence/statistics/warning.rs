//! The warnings about outputs that a run stores, read again.

/// Minimum number of scored rows for a warning about label shares or constant outputs.
pub const MIN_ROWS: u64 = 100;
pub(super) const CONSTANT: &str = "constant_output";
pub(super) const MOVED: &str = "label_share_moved";

/// A warning as [`super::OutputStatistics::warnings`] writes it: `code: version N: `column` …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputWarning<'t> {
    /// The output is the same for all rows; else the share of a label changed.
    pub is_constant: bool,
    pub version: i32,
    pub column: &'t str,
}

impl<'t> OutputWarning<'t> {
    /// Parses a warning; returns `None` for those about anything else.
    pub fn parse(text: &'t str) -> Option<Self> {
        let (code, rest) = text.split_once(": version ")?;
        let (version, rest) = rest.split_once(": `")?;
        let (column, _) = rest.split_once('`')?;
        let is_constant = match code {
            CONSTANT => true,
            MOVED => false,
            _ => return None,
        };
        Some(Self {
            is_constant,
            version: version.parse().ok()?,
            column,
        })
    }
}
