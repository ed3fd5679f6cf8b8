//! Releases of Cassandra, and what helenus does without on older ones.

use std::{cmp::Ordering, fmt};

use serde_json::{Value, json};

use super::problem::Problem;

/// The oldest release that helenus works with: it is the first with `ALTER TABLE … ADD IF NOT
/// EXISTS`, which makes a schema change safe to repeat.
pub const OLDEST: (u32, u32) = (4, 1);

/// A release of Cassandra, as `release_version` spells it. Compared by its numbers: `4.1.10` is
/// newer than `4.1.9`.
#[derive(Debug, Clone)]
pub struct Release {
    text: String,
    /// Major, minor, patch.
    numbers: (u32, u32, u32),
}

/// What some releases have and others lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerFeature {
    /// Columns of type `vector<…>`.
    Vectors,
    /// Storage-attached indexes.
    Sai,
    /// `UnifiedCompactionStrategy`.
    UnifiedCompaction,
}

impl ServerFeature {
    pub const ALL: [Self; 3] = [Self::Vectors, Self::Sai, Self::UnifiedCompaction];

    /// The first release that has it.
    fn since(self) -> (u32, u32) {
        match self {
            Self::Vectors | Self::Sai | Self::UnifiedCompaction => (5, 0),
        }
    }

    /// Returns its name in JSON results.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vectors => "vectors",
            Self::Sai => "sai",
            Self::UnifiedCompaction => "unified_compaction",
        }
    }

    /// Returns what the absence means for users.
    pub fn without(self) -> &'static str {
        match self {
            Self::Vectors => "no vector columns: such outputs are refused",
            Self::Sai => "no SAI indexes: `index = true` is refused",
            Self::UnifiedCompaction => "tables use SizeTieredCompactionStrategy",
        }
    }
}

impl Release {
    /// Reads a `release_version`: `5.0.9`, `4.1.10-SNAPSHOT`, `5.0-beta1`. Returns `None` if it
    /// does not start with two numbers.
    pub fn parse(text: &str) -> Option<Self> {
        let core = text.split(['-', '+', '~']).next().unwrap_or(text);
        let mut parts = core.split('.').map(|part| part.parse::<u32>().ok());
        let (major, minor) = (parts.next()??, parts.next()??);
        Some(Self {
            text: text.to_owned(),
            numbers: (major, minor, parts.next().flatten().unwrap_or(0)),
        })
    }

    /// Returns whether the release has this.
    pub fn has(&self, feature: ServerFeature) -> bool {
        self.line() >= feature.since()
    }

    /// Returns what the release lacks.
    pub fn lacks(&self) -> Vec<ServerFeature> {
        let mut features = ServerFeature::ALL.to_vec();
        features.retain(|feature| !self.has(*feature));
        features
    }

    /// Returns major and minor number.
    pub fn line(&self) -> (u32, u32) {
        (self.numbers.0, self.numbers.1)
    }

    /// Returns why helenus does not work with this release; `None` if it does.
    pub fn too_old(&self) -> Option<Problem> {
        let (major, minor) = OLDEST;
        (self.line() < OLDEST).then(|| {
            Problem::new(
                "cassandra.too_old",
                format!("Cassandra {self} is not supported: helenus needs {major}.{minor} or newer"),
            )
            .help("upgrade every node; older releases cannot repeat a schema change safely (ALTER TABLE … ADD IF NOT EXISTS)")
        })
    }

    /// Returns the release and what it lacks, for JSON results.
    pub fn as_json(&self) -> Value {
        let lacks: Vec<_> = self
            .lacks()
            .into_iter()
            .map(ServerFeature::as_str)
            .collect();
        json!({"release": self.text, "lacks": lacks})
    }
}

impl PartialEq for Release {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Release {}

impl PartialOrd for Release {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Release {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(text: &str) -> Release {
        Release::parse(text).unwrap()
    }

    #[test]
    fn releases_are_compared_by_their_numbers() {
        assert!(release("4.1.10") > release("4.1.9"));
        assert!(release("5.0-beta1") > release("4.1.10"));
        assert_eq!(release("5.0.9-SNAPSHOT").line(), (5, 0));
        assert_eq!(release("4.1.10").to_string(), "4.1.10");
        for text in ["", "unknown", "5", "five.zero"] {
            assert!(Release::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_4_1_lacks_5_0_has() {
        assert_eq!(release("4.1.10").lacks(), ServerFeature::ALL);
        assert_eq!(release("5.0.9").lacks(), []);
        assert_eq!(release("6.0").lacks(), []);
        assert_eq!(
            release("4.1.10").as_json(),
            json!({"release": "4.1.10", "lacks": ["vectors", "sai", "unified_compaction"]})
        );
    }

    #[test]
    fn releases_before_4_1_are_refused() {
        for text in ["4.1.0", "4.1-rc1", "5.0.9", "5.1"] {
            assert_eq!(release(text).too_old(), None, "{text}");
        }
        for text in ["4.0.17", "3.11.19", "2.2.19"] {
            let problem = release(text).too_old().unwrap();
            assert_eq!(problem.code, "cassandra.too_old");
            assert!(problem.message.contains(text), "{}", problem.message);
            assert!(problem.message.len() <= 100);
        }
    }
}
