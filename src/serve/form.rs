//! A row as a form (`multipart/form-data`, RFC 7578), as `curl -F content=@letter.pdf` sends it: each
//! part is a column. A blob is the part's bytes, a value of another type the part's text.

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode, header},
};
use multer::{Field, Multipart};

use super::{
    error::ApiError,
    rows::{RowColumns, RowLimits, not_a_value, repeated},
};
use crate::{
    codec::{cells::CellBuffer, cql_type::CqlType, json_value},
    domain::problem::Problem,
};

/// The type of a form.
pub const MEDIA_TYPE: &str = "multipart/form-data";

/// Maximum number of parts: a table has fewer columns.
const MAX_PARTS: usize = 1_000;

/// Returns whether the body is a form.
pub fn is_sent(headers: &HeaderMap) -> bool {
    let kind = content_type(headers).split(';').next();
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(MEDIA_TYPE))
}

fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Returns the cells of one row, in the order of the job's columns. Missing columns are null. Key
/// columns that the job does not read are permitted and ignored.
///
/// # Errors
/// 400: not a form, unknown or repeated columns, values that do not fit their column; 413: too many
/// parts or bytes.
pub async fn row(
    job: RowColumns<'_>,
    headers: &HeaderMap,
    body: Bytes,
    limits: RowLimits,
) -> Result<CellBuffer, ApiError> {
    let boundary =
        multer::parse_boundary(content_type(headers)).map_err(|error| malformed(&error))?;
    let body = futures::stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let mut form = Multipart::new(body, boundary);
    let mut parts: Vec<Option<Bytes>> = vec![None; job.columns.len()];
    let mut count = 0;
    while let Some(field) = form.next_field().await.map_err(|error| malformed(&error))? {
        count += 1;
        if count > MAX_PARTS {
            return Err(too_many_parts());
        }
        let name = name(&field)?;
        let bad = |problem: Problem| ApiError::bad(problem.at(place(&name)));
        check_encoding(&field).map_err(bad)?;
        let column = job.find(&name, count - 1).map_err(bad)?;
        // What is ignored is read, too, to find the next part.
        let bytes = field.bytes().await.map_err(|error| malformed(&error))?;
        if let Some(column) = column
            && parts[column].replace(bytes).is_some()
        {
            let help = "a form is one row; send several as JSON or as an Arrow stream";
            return Err(bad(repeated(&name).help(help)));
        }
    }
    if count == 0 {
        let problem = Problem::new("request.no_rows", "the form has no parts").at("body");
        return Err(ApiError::bad(problem));
    }
    let mut cells = CellBuffer::new(job.columns.len());
    for (column, part) in job.columns.iter().zip(parts) {
        match part {
            None => cells.push(None),
            Some(bytes) => append(&column.cql_type, &bytes, &mut cells).map_err(|error| {
                ApiError::bad(not_a_value(column, &error).at(place(&column.name)))
            })?,
        }
        limits.check_bytes(&cells)?;
    }
    Ok(cells)
}

/// Appends the cell of a part: the bytes of a blob, or the text of another type in UTF-8.
///
/// # Errors
/// A sentence that says what is invalid; `cells` is unchanged then.
pub fn append(cql_type: &CqlType, bytes: &[u8], cells: &mut CellBuffer) -> Result<(), String> {
    if *cql_type.thawed() == CqlType::Blob {
        cells.push(Some(bytes));
        return Ok(());
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("it is not UTF-8 at byte {}", error.valid_up_to()))?;
    cells.try_push_with(|out| json_value::write_text(cql_type, text, out))
}

/// Returns the part's name: the column.
fn name(field: &Field<'_>) -> Result<String, ApiError> {
    let name = field.name().map(str::to_owned);
    name.ok_or_else(|| {
        let problem = Problem::new("request.form", "a part of the form has no name").at("body");
        ApiError::bad(problem.help("name each part by its column: `curl -F content=@letter.pdf`"))
    })
}

/// Refuses a part that is not sent as it is, which RFC 7578 deprecates.
fn check_encoding(field: &Field<'_>) -> Result<(), Problem> {
    let encoding = field.headers().get("content-transfer-encoding");
    let plain = ["binary", "8bit", "7bit"];
    let is_plain = |value: &[u8]| {
        let mut plain = plain.iter();
        plain.any(|plain| value.eq_ignore_ascii_case(plain.as_bytes()))
    };
    match encoding {
        Some(value) if !is_plain(value.as_bytes()) => Err(Problem::new(
            "request.form",
            "the part has a Content-Transfer-Encoding, which is not supported",
        )
        .help("send its bytes as they are")),
        _ => Ok(()),
    }
}

fn place(column: &str) -> String {
    format!("rows[0].{column}")
}

fn too_many_parts() -> ApiError {
    let message = format!("the form has more than {MAX_PARTS} parts");
    let problem = Problem::new("request.too_many_parts", message).at("body");
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        problem.help("send one part for each column of the row"),
    )
}

fn malformed(error: &multer::Error) -> ApiError {
    let message = format!("the body is not a form: {error}");
    ApiError::bad(Problem::new("request.form", message).at("body"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::schema::Column;

    fn column(name: &str, cql_type: &str) -> Column {
        Column {
            name: name.to_owned(),
            cql_type: CqlType::parse(cql_type).unwrap(),
        }
    }

    /// Cells of a form of a job with the key `id` that reads `content blob`, `title text` and
    /// `pages int`.
    async fn read(body: Vec<u8>) -> Result<CellBuffer, Box<ApiError>> {
        let columns = [
            column("content", "blob"),
            column("title", "text"),
            column("pages", "int"),
        ];
        let job = RowColumns {
            job: "letters",
            key: &[column("id", "int")],
            source: None,
            columns: &columns,
        };
        let mut headers = HeaderMap::new();
        let kind = "multipart/form-data; boundary=XX";
        headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        let limits = RowLimits {
            rows: 1,
            bytes: 100,
        };
        assert!(is_sent(&headers));
        row(job, &headers, body.into(), limits)
            .await
            .map_err(Box::new)
    }

    fn part(head: &str, content: &[u8]) -> Vec<u8> {
        let head = format!("--XX\r\nContent-Disposition: form-data{head}\r\n\r\n");
        [head.as_bytes(), content, b"\r\n"].concat()
    }

    fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let parts = parts
            .iter()
            .map(|(name, content)| part(&format!("; name=\"{name}\""), content));
        [&parts.collect::<Vec<_>>().concat()[..], b"--XX--\r\n"].concat()
    }

    #[tokio::test]
    async fn a_blob_is_taken_as_it_is_and_other_types_as_text() {
        let blob = b"%PDF\0\r\n--X\r\n\xff";
        let body = form(&[
            ("title", b"0x01 \n"),
            ("id", b"not an int"),
            ("pages", b"7"),
            ("content", blob),
        ]);
        let cells = read(body).await.unwrap();
        let expected = [Some(&blob[..]), Some(b"0x01 \n"), Some(&[0, 0, 0, 7])];
        assert_eq!(cells.row(0).collect::<Vec<_>>(), expected);
        // An empty file is an empty blob, a missing part a null.
        let cells = read(form(&[("content", b"")])).await.unwrap();
        assert_eq!(
            cells.row(0).collect::<Vec<_>>(),
            [Some(&b""[..]), None, None]
        );
    }

    #[tokio::test]
    async fn what_is_not_one_row_is_refused_with_the_reason() {
        let whole = form(&[("content", b"abc")]);
        let unnamed = [&part("", b"abc")[..], b"--XX--\r\n"].concat();
        let encoded = part(
            "; name=\"content\"\r\nContent-Transfer-Encoding: base64",
            b"YWJj",
        );
        let many = form(&vec![("id", &b"1"[..]); MAX_PARTS + 1]);
        for (body, code, status) in [
            (Vec::new(), "request.form", 400),
            (b"--XX--\r\n".to_vec(), "request.no_rows", 400),
            (whole[..whole.len() - 10].to_vec(), "request.form", 400),
            (unnamed, "request.form", 400),
            (
                [encoded, b"--XX--\r\n".to_vec()].concat(),
                "request.form",
                400,
            ),
            (form(&[("text", b"")]), "row.unknown_column", 400),
            (
                form(&[("title", b""), ("title", b"")]),
                "row.repeated_column",
                400,
            ),
            (form(&[("title", b"\xff")]), "row.not_a_value", 400),
            (form(&[("pages", b"seven")]), "row.not_a_value", 400),
            (form(&[("pages", b"")]), "row.not_a_value", 400),
            (form(&[("content", &[0; 101])]), "request.too_large", 413),
            (many, "request.too_many_parts", 413),
        ] {
            let text = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
            let error = read(body).await.unwrap_err();
            let found = (error.problems[0].code.as_str(), error.status.as_u16());
            assert_eq!(found, (code, status), "{text}");
        }
    }
}
