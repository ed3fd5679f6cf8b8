//! A reader of RFC 4180 files: UTF-8, with a header, distinguishing null from empty text.
//!
//! An empty unquoted field is null; `""` is empty text. Common CSV libraries drop that difference.

use super::problem::Problem;

/// One record (it may span several lines of the file, inside quotes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Line of the file on which it begins; the header is line 1.
    pub line: usize,
    /// As many fields as the header has names.
    pub fields: Vec<Field>,
}

/// A field and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// `None` is null: nothing between the commas.
    pub value: Option<String>,
    /// Line of the file on which it begins.
    pub line: usize,
    /// Position of its first character in that line, from 1.
    pub column: usize,
}

impl Field {
    /// Returns `line L, column C`, for a [`Problem`]'s place.
    pub fn place(&self) -> String {
        place(self.line, self.column)
    }
}

/// Returns the file's text, or the position of the first byte that is not UTF-8. A byte order mark
/// is removed.
pub fn decode(bytes: &[u8]) -> Result<&str, Problem> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let line = good.matches('\n').count() + 1;
            let column = good.rsplit('\n').next().unwrap_or("").chars().count() + 1;
            Err(Problem::new("csv.encoding", "the file is not valid UTF-8")
                .at(place(line, column))
                .help("save the file as UTF-8"))
        }
    }
}

/// Reads records one by one; stops at the first error.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    /// The column names, all distinct.
    pub header: Vec<String>,
    cursor: Cursor<'a>,
}

impl<'a> Reader<'a> {
    /// Reads the header of `text`.
    ///
    /// # Errors
    /// No header, an empty or repeated column name, or text that is not RFC 4180.
    pub fn new(text: &'a str) -> Result<Self, Problem> {
        let mut cursor = Cursor {
            rest: text.strip_prefix('\u{feff}').unwrap_or(text),
            line: 1,
            column: 1,
        };
        let Some(record) = cursor.record()? else {
            return Err(Problem::new("csv.no_header", "the file is empty")
                .at(place(1, 1))
                .help("the first line must name the columns"));
        };
        let mut header: Vec<String> = Vec::with_capacity(record.fields.len());
        for field in record.fields {
            let place = field.place();
            let Some(name) = field.value.filter(|name| !name.is_empty()) else {
                return Err(
                    Problem::new("csv.empty_name", "a column of the header has no name").at(place),
                );
            };
            if header.contains(&name) {
                return Err(Problem::new(
                    "csv.repeated_name",
                    format!("the header names `{name}` twice"),
                )
                .at(place));
            }
            header.push(name);
        }
        Ok(Self { header, cursor })
    }

    /// Returns the index of column `name`.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column == name)
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<Record, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = match self.cursor.record() {
            Ok(record) => record?,
            Err(problem) => {
                self.cursor.rest = "";
                return Some(Err(problem));
            }
        };
        if record.fields.len() == self.header.len() {
            return Some(Ok(record));
        }
        self.cursor.rest = "";
        // The first field without a name, or the place where the line ends too early.
        let field = &record.fields[self.header.len().min(record.fields.len() - 1)];
        Some(Err(Problem::new(
            "csv.field_count",
            format!(
                "{} field(s), but the header has {}",
                record.fields.len(),
                self.header.len()
            ),
        )
        .at(place(record.line, field.column))))
    }
}

fn place(line: usize, column: usize) -> String {
    format!("line {line}, column {column}")
}

#[derive(Debug, Clone)]
struct Cursor<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
}

/// The delimiter after a field.
enum End {
    Field,
    Record,
}

impl Cursor<'_> {
    fn record(&mut self) -> Result<Option<Record>, Problem> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let line = self.line;
        let mut fields = Vec::new();
        loop {
            let (line, column) = (self.line, self.column);
            let value = if self.rest.starts_with('"') {
                Some(self.quoted()?)
            } else {
                self.unquoted()?
            };
            fields.push(Field {
                value,
                line,
                column,
            });
            if let End::Record = self.end()? {
                break;
            }
        }
        Ok(Some(Record { line, fields }))
    }

    fn unquoted(&mut self) -> Result<Option<String>, Problem> {
        let length = self
            .rest
            .find([',', '\n', '\r', '"'])
            .unwrap_or(self.rest.len());
        let value = self.take(length);
        if self.rest.starts_with('"') {
            return Err(Problem::new("csv.quote", "quote inside an unquoted field")
                .at(place(self.line, self.column))
                .help("quote the whole field and double the quotes inside it"));
        }
        Ok(Some(value).filter(|value| !value.is_empty()))
    }

    fn quoted(&mut self) -> Result<String, Problem> {
        let opened = place(self.line, self.column);
        self.take(1);
        let mut value = String::new();
        loop {
            let Some(length) = self.rest.find('"') else {
                return Err(Problem::new("csv.quote", "unclosed quote").at(opened));
            };
            value.push_str(&self.take(length));
            self.take(1);
            if !self.rest.starts_with('"') {
                return Ok(value);
            }
            value.push_str(&self.take(1));
        }
    }

    fn end(&mut self) -> Result<End, Problem> {
        if self.rest.is_empty() {
            return Ok(End::Record);
        }
        for (separator, end) in [
            (",", End::Field),
            ("\r\n", End::Record),
            ("\n", End::Record),
        ] {
            if self.rest.starts_with(separator) {
                self.take(separator.len());
                return Ok(end);
            }
        }
        let (code, message) = if self.rest.starts_with('\r') {
            ("csv.newline", "carriage return without a line feed")
        } else {
            ("csv.quote", "text after a closing quote")
        };
        Err(Problem::new(code, message).at(place(self.line, self.column)))
    }

    /// Returns the next `length` bytes and advances the position.
    fn take(&mut self, length: usize) -> String {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        match taken.rfind('\n') {
            Some(last) => {
                self.line += taken.matches('\n').count();
                self.column = taken[last + 1..].chars().count() + 1;
            }
            None => self.column += taken.chars().count(),
        }
        taken.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Result<Vec<Vec<Option<String>>>, Problem> {
        Reader::new(text)?
            .map(|record| Ok(record?.fields.into_iter().map(|f| f.value).collect()))
            .collect()
    }

    fn fails_at(text: &str, code: &str, place: &str) {
        let problem = rows(text).expect_err(text);
        assert_eq!(
            (problem.code.as_str(), problem.place.as_deref()),
            (code, Some(place)),
            "{text:?}: {}",
            problem.message
        );
    }

    #[test]
    fn nothing_is_null_and_quotes_are_empty_text() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            rows("a,b,c\r\n,\"\",x\n1,,\"\"").unwrap(),
            [[None, some(""), some("x")], [some("1"), None, some("")]]
        );
    }

    #[test]
    fn quoted_fields_hold_commas_quotes_and_lines() {
        let mut reader =
            Reader::new("\u{feff}\"k,1\",v\n\"a\nb\",\"say \"\"é\"\"\"\nz,2\n").unwrap();
        assert_eq!(reader.header, ["k,1", "v"]);
        let record = reader.next().unwrap().unwrap();
        assert_eq!(record.line, 2);
        assert_eq!(record.fields[0].value.as_deref(), Some("a\nb"));
        assert_eq!(record.fields[1].value.as_deref(), Some("say \"é\""));
        assert_eq!(record.fields[1].place(), "line 3, column 4");
        assert_eq!(reader.next().unwrap().unwrap().line, 4);
        assert!(reader.next().is_none());
    }

    #[test]
    fn one_column_may_be_null() {
        assert_eq!(rows("a\n\n1\n").unwrap(), [[None], [Some("1".into())]]);
    }

    #[test]
    fn errors_name_line_and_column() {
        fails_at("", "csv.no_header", "line 1, column 1");
        fails_at("a,,c\n", "csv.empty_name", "line 1, column 3");
        fails_at("a,b,a\n", "csv.repeated_name", "line 1, column 5");
        fails_at("a,b\n1,2\n1,2,3\n", "csv.field_count", "line 3, column 5");
        fails_at("a,b\n1,2\n\n", "csv.field_count", "line 3, column 1");
        fails_at("a,b\né,x\"y\n", "csv.quote", "line 2, column 4");
        fails_at("a,b\n\"x\"y,1\n", "csv.quote", "line 2, column 4");
        fails_at("a,b\n1,\"x\n2,3\n", "csv.quote", "line 2, column 3");
        fails_at("a,b\n1,2\r3,4\n", "csv.newline", "line 2, column 4");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_placed() {
        let problem = decode(b"a,b\n1,\xff\n").unwrap_err();
        assert_eq!(problem.place.as_deref(), Some("line 2, column 3"));
        assert_eq!(decode("\u{feff}a".as_bytes()).unwrap(), "a");
    }

    #[test]
    fn an_error_ends_the_reading() {
        let mut reader = Reader::new("a,b\n1\n2,3\n").unwrap();
        assert!(reader.next().unwrap().is_err());
        assert!(reader.next().is_none());
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_quoted_is_read_back(fields in proptest::collection::vec(".{0,12}|[\",\n\r ]{0,6}", 1..6)) {
            let header: Vec<_> = (0..fields.len()).map(|i| format!("c{i}")).collect();
            let quoted: Vec<_> = fields.iter().map(|f| format!("\"{}\"", f.replace('"', "\"\""))).collect();
            let text = format!("{}\r\n{}\r\n", header.join(","), quoted.join(","));
            let read = rows(&text).unwrap();
            proptest::prop_assert_eq!(read, vec![fields.into_iter().map(Some).collect::<Vec<_>>()]);
        }

        #[test]
        fn no_text_panics(text in "[a\",\n\ré]{0,40}") {
            let _ = rows(&text);
        }
    }
}
