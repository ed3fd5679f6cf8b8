//! Debezium's envelope: `{"before", "after", "op", …}`, with or without `{"schema", "payload"}`
//! around it.

use super::fields::Fields;
use crate::domain::problem::Problem;

/// What changed in the database.
#[derive(Debug)]
pub(super) enum Change<'m> {
    /// The row as it is now.
    Row(Fields<'m>),
    /// The row as it was, if the database says so.
    Deleted(Option<Fields<'m>>),
    /// Nothing about a row.
    Other,
}

/// Opens an envelope. The schema beside a payload says nothing that the table does not say.
///
/// # Errors
/// It is not one.
pub(super) fn open<'m>(fields: &Fields<'m>) -> Result<Change<'m>, Problem> {
    let wrong = |message: &str| Problem::new("message.envelope", message);
    let payload = match fields.get("op") {
        Some(_) => None,
        None => fields.get("payload").map(|payload| payload.fields()),
    };
    let inner = match &payload {
        None => fields,
        Some(Some(payload)) => payload,
        Some(None) => return Err(wrong("`payload` is not an object")),
    };
    let record = |name: &str| inner.get(name).and_then(|field| field.fields());
    match inner.get("op").and_then(|op| op.text()).as_deref() {
        Some("c" | "r" | "u") => match record("after") {
            Some(after) => Ok(Change::Row(after)),
            None => Err(wrong("`after` is not an object")),
        },
        Some("d") => Ok(Change::Deleted(record("before"))),
        Some(_) => Ok(Change::Other),
        None => Err(wrong(
            "there is no `op`: this is not an envelope of Debezium",
        )),
    }
}
