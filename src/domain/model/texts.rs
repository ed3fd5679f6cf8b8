//! Texts of a tensor in one arena, without an allocation per value.

#[derive(Clone, Default, PartialEq, Eq)]
pub struct Texts {
    bytes: String,
    /// End of each text in `bytes`.
    ends: Vec<u32>,
}

impl Texts {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn push(&mut self, text: &str) {
        self.push_parts([text]);
    }

    /// Appends a text composed of parts.
    pub fn push_parts<T>(&mut self, parts: impl IntoIterator<Item = T>)
    where
        String: Extend<T>,
    {
        self.bytes.extend(parts);
        debug_assert!(
            u32::try_from(self.bytes.len()).is_ok(),
            "an arena must stay under 4 GiB"
        );
        self.ends.push(self.bytes.len() as u32);
    }

    /// Keeps the first `len` texts.
    pub fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        let end = self.ends.last().copied().unwrap_or_default();
        self.bytes.truncate(end as usize);
    }

    /// Returns a text, if it exists.
    pub fn get(&self, at: usize) -> Option<&str> {
        let end = *self.ends.get(at)? as usize;
        let start = at
            .checked_sub(1)
            .map_or(0, |before| self.ends[before] as usize);
        Some(&self.bytes[start..end])
    }

    /// Returns the texts in `range`, which must exist.
    pub fn range(&self, range: std::ops::Range<usize>) -> impl ExactSizeIterator<Item = &str> {
        range.map(|at| &self[at])
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.range(0..self.len())
    }
}

impl std::ops::Index<usize> for Texts {
    type Output = str;

    fn index(&self, at: usize) -> &str {
        let end = self.ends[at] as usize;
        let start = at
            .checked_sub(1)
            .map_or(0, |before| self.ends[before] as usize);
        &self.bytes[start..end]
    }
}

impl<T: AsRef<str>> FromIterator<T> for Texts {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        let mut all = Self::default();
        texts.into_iter().for_each(|text| all.push(text.as_ref()));
        all
    }
}

impl<T: AsRef<str>, const N: usize> From<[T; N]> for Texts {
    fn from(texts: [T; N]) -> Self {
        texts.into_iter().collect()
    }
}

impl std::fmt::Debug for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Texts;

    #[test]
    fn texts_keep_their_places_when_some_are_taken_back() {
        let mut texts = Texts::from(["", "żółw", "a"]);
        texts.truncate(2);
        texts.push_parts(['x', 'y']);
        assert_eq!(texts.iter().collect::<Vec<_>>(), ["", "żółw", "xy"]);
        assert_eq!((texts.get(1), texts.get(3)), (Some("żółw"), None));
        texts.truncate(0);
        assert!(texts.is_empty());
    }
}
