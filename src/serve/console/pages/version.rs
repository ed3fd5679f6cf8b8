//! A version: what was registered, what admission found, how it was evaluated.

use crate::{
    report::metric,
    serve::{
        console::{
            handle::not_found,
            place::{ActPlace, ConsolePlace},
            query::Query,
            read::PageReader,
            table::{Table, TableCell, Tone},
            view::{Content, View},
        },
        error::ApiError,
    },
    store::{console::models::AdmissionLine, registry::models::VersionRow},
};

/// Evaluations that are read.
const EVALUATIONS: i32 = 50;

/// Returns the page.
///
/// # Errors
/// 404, and those of Cassandra.
pub async fn view(reader: &PageReader<'_>, model: &str, version: i32) -> Result<View, ApiError> {
    let row = reader.read(format!("version {model} {version}"), {
        let model = model.to_owned();
        move |store| async move { store.version(&model, version).await }
    });
    let admissions = reader.read(format!("admission_lines {model}"), {
        let model = model.to_owned();
        |store| async move { store.admission_lines(&model).await }
    });
    let evaluations = reader.read(format!("evaluation_lines {model} {version}"), {
        let model = model.to_owned();
        move |store| async move {
            store
                .evaluation_lines(&model, &[version], EVALUATIONS)
                .await
        }
    });
    let (row, admissions, evaluations) = futures::try_join!(row, admissions, evaluations)?;
    let row = row.as_ref().as_ref();
    let row = row.ok_or_else(|| not_found(&format!("model `{model}` has no version {version}")))?;
    let admission = admissions.iter().find(|line| line.version == version);
    let (state, why) = super::model::state(row, &admissions);
    let mut view = View::new(
        ConsolePlace::Version(model.to_owned(), version),
        format!("{model}, version {version}"),
        row.note.clone().unwrap_or_default(),
    );
    if state == "ready" {
        let text = version.to_string();
        let promote = super::action_link(reader, ActPlace::Promote(model.to_owned()), "Promote");
        view.acts.extend(promote.map(|(path, name)| {
            let url = Query::default().with(&[("version", Some(&text))]);
            (url.url(&path), name)
        }));
    }
    let mut notices = Vec::new();
    notices.extend(why.map(|why| (Tone::from_state(state), why.to_owned())));
    let warnings = admission.iter().flat_map(|line| &line.warnings);
    notices.extend(warnings.map(|warning| (Tone::Warn, warning.clone())));
    view.notices(notices);
    view.add("about", None, Content::Facts(facts(row, admission, state)));
    view.table(metrics(row));
    view.table(super::evaluations::table(model, &evaluations));
    view.table(features(admission, row));
    Ok(view)
}

fn facts(
    row: &VersionRow,
    admission: Option<&AdmissionLine>,
    state: &str,
) -> Vec<(&'static str, TableCell)> {
    let opsets = admission
        .and_then(|line| line.opsets.as_ref())
        .map(|opsets| {
            let opsets = opsets.iter().map(|(domain, opset)| match domain.as_str() {
                "" => format!("ai.onnx {opset}"),
                domain => format!("{domain} {opset}"),
            });
            opsets.collect::<Vec<_>>().join(", ")
        });
    let classes = admission.and_then(|line| line.class_names.as_ref());
    let tags = row.tags.iter().flatten();
    let tags: Vec<String> = tags
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    let runtime = admission.and_then(|line| line.runtime_version.as_ref());
    vec![
        ("State", TableCell::state(state)),
        (
            "Inputs and outputs",
            TableCell::optional(
                admission.and_then(|line| line.signature.as_ref()),
                TableCell::text,
            ),
        ),
        (
            "Classes",
            TableCell::optional(classes, |classes| TableCell::text(classes.join(", "))),
        ),
        (
            "Registered",
            TableCell::optional(row.registered_at(), TableCell::Time),
        ),
        (
            "By",
            TableCell::optional(row.registered_by.as_ref(), TableCell::text),
        ),
        (
            "Decided",
            TableCell::optional(admission.and_then(|line| line.decided_at), TableCell::Time),
        ),
        ("Tags", TableCell::text(tags.join(", "))),
        (
            "Format",
            TableCell::optional(row.format.as_ref(), TableCell::text),
        ),
        ("Opsets", TableCell::optional(opsets, TableCell::text)),
        (
            "ONNX Runtime",
            TableCell::optional(runtime, TableCell::text),
        ),
        (
            "Bytes",
            TableCell::optional(row.size, |size| TableCell::Count(size.unsigned_abs())),
        ),
        (
            "SHA-256",
            TableCell::optional(row.sha256.as_ref(), |sha| TableCell::Code(hex::encode(sha))),
        ),
        (
            "Golden rows",
            TableCell::text(match row.golden_sha256 {
                Some(_) => "given and checked",
                None => "none",
            }),
        ),
    ]
}

fn metrics(row: &VersionRow) -> Table {
    let table = Table::new(
        "metrics",
        "Metrics that were registered with it",
        &[("metric", "Metric"), ("value", "Value")],
    )
    .or("None were registered.");
    let metrics = row.metrics.iter().flatten();
    table.with(metrics.map(|(name, value)| {
        vec![
            TableCell::text(metric::name(name)),
            TableCell::Number(*value),
        ]
    }))
}

fn features(admission: Option<&AdmissionLine>, row: &VersionRow) -> Table {
    let table = Table::new(
        "features",
        "Features in the model's order",
        &[("place", "Place"), ("feature", "Feature")],
    )
    .or("The model's inputs have no feature names.");
    let names = admission
        .and_then(|line| line.feature_names.as_ref())
        .or(row.feature_names.as_ref());
    let names = names.into_iter().flatten().enumerate();
    table.with(
        names.map(|(at, name)| vec![TableCell::Count(at as u64), TableCell::text(name.clone())]),
    )
}
