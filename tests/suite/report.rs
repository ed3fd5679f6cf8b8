//! Pages for people: whole, safe to open anywhere, and shown by a real browser.

use std::{collections::BTreeSet, fs, path::Path};

use scraper::{ElementRef, Html, Selector};

use crate::support::{Model, Sandbox, biopsies::Biopsies, browser::Browser};

mod compared;

/// A name that would run, were it not escaped.
const EVIL: &str = "<script>scripted=1</script><img src=x onerror=scripted=1>\"'&";

/// A page that was written, parsed.
struct Page {
    text: String,
    html: Html,
}

impl Page {
    /// Well-formed, loads nothing, holds no script, every picture and table told to whom can't see.
    fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap();
        keep(file);
        let html = Html::parse_document(&text);
        assert_eq!(html.errors, Vec::<std::borrow::Cow<str>>::new());
        let page = Self { text, html };
        for loads in [
            "script",
            "img",
            "iframe",
            "object",
            "embed",
            "link:not([rel=icon])",
        ] {
            assert_eq!(page.all(loads).len(), 0, "{loads}");
        }
        for element in page.all("*") {
            for (name, value) in element.value().attrs() {
                let outside = value.contains("//") && name != "xmlns" || name.starts_with("on");
                assert!(!outside, "{name}={value}");
            }
        }
        let style: String = page.all("style")[0].text().collect();
        assert!(!style.contains("url(") && !style.contains("@import"));
        let ids: Vec<&str> = page
            .all("[id]")
            .iter()
            .filter_map(|e| e.value().id())
            .collect();
        assert_eq!(
            ids.iter().collect::<BTreeSet<_>>().len(),
            ids.len(),
            "{ids:?}"
        );
        for figure in page.all("figure > svg") {
            assert_eq!(figure.attr("role"), Some("img"));
            for id in figure.attr("aria-labelledby").unwrap().split(' ') {
                assert!(ids.contains(&id), "{id}");
            }
        }
        for table in page.all("table") {
            let has = |what: &str| table.select(&Selector::parse(what).unwrap()).count() > 0;
            assert!(has("caption") && has("thead th[scope=col]") && has("tbody th[scope=row]"));
        }
        page
    }

    fn all(&self, selector: &str) -> Vec<ElementRef<'_>> {
        self.html
            .select(&Selector::parse(selector).unwrap())
            .collect()
    }

    fn figures(&self) -> Vec<String> {
        let figures = self.all("figure");
        let ids = figures
            .iter()
            .map(|figure| figure.value().id().unwrap().to_owned());
        ids.collect()
    }

    /// Text as a person reads it.
    fn read_text(&self) -> String {
        self.all("body")[0].text().collect()
    }
}

/// Pages stay in `HELENUS_TEST_PAGES`, for people to look at.
fn keep(file: &Path) {
    if let Some(folder) = std::env::var_os("HELENUS_TEST_PAGES").filter(|name| !name.is_empty()) {
        fs::copy(file, Path::new(&folder).join(file.file_name().unwrap())).unwrap();
    }
}

/// Shows a page in a browser, if there is one: narrow, wide and printed.
fn show(file: &Path, page: &Page) {
    let Some(browser) = Browser::find() else {
        return;
    };
    for width in [380, 1_600] {
        let shown = browser.open(file, width);
        assert_eq!(shown.requests, [""; 0]);
        assert_eq!(shown.console, [""; 0]);
        assert!(!shown.scripted);
        assert!(
            shown.width <= f64::from(width),
            "{} wide, not {width}",
            shown.width
        );
        let ids: Vec<_> = shown
            .pictures
            .iter()
            .map(|picture| picture.0.clone())
            .collect();
        assert_eq!(ids, page.figures());
        for (id, wide, high) in shown.pictures {
            assert!(
                wide > 250.0 && high > 50.0,
                "{id}: {wide} x {high} of {width}"
            );
        }
    }
    let pdf = browser.print(file);
    assert!(
        pdf.starts_with(b"%PDF") && pdf.len() > 10_000,
        "{} bytes",
        pdf.len()
    );
}

fn labels(sandbox: &Sandbox, place: &str) -> String {
    format!("{}.{place}", sandbox.data)
}

fn names_of(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn an_evaluation_is_a_page() {
    let biopsies = Biopsies::scored("report_evaluate");
    let sandbox = &biopsies.sandbox;
    sandbox.cql("ALTER TABLE {data}.biopsies ADD site text");
    for id in 1..=biopsies.rows {
        let site = ["north", "south", &EVIL.replace('\'', "''")][(id % 3) as usize].to_owned();
        sandbox.cql(&format!(
            "UPDATE {{data}}.biopsies SET site = '{site}' WHERE id = {id}"
        ));
    }
    let truth = labels(sandbox, "biopsies.diagnosis_truth");
    let options = [
        "evaluate",
        "tumour",
        "--versions",
        "1,2",
        "--labels",
        &truth,
        "--segment",
        "site",
        "--threshold",
        "0.5,0.9",
        "--html",
        "evaluation.html",
    ];
    let told = sandbox.json(&options).ok().result();
    assert_eq!(told["html"], "evaluation.html");
    let file = sandbox.directory().join("evaluation.html");
    let page = Page::read(&file);
    assert_eq!(
        page.figures(),
        [
            "roc",
            "precision",
            "calibration",
            "scores-0",
            "scores-1",
            "segments"
        ]
    );
    // One line a version, at most 200 points and the beginning; the figures are the command's.
    let lines = page.all("#roc polyline.line");
    assert_eq!(lines.len(), 2);
    for line in lines {
        let points = line.attr("points").unwrap().split(' ').count();
        assert!((10..=202).contains(&points), "{points}");
    }
    let text = page.read_text();
    for version in told["versions"].as_array().unwrap() {
        let auc = version["metrics"]["roc_auc"].as_f64().unwrap();
        assert!(text.contains(&format!("{auc:.4}")), "{auc} in {text}");
        let decided = &version["details"]["decisions"][0]["true_positive"];
        assert!(text.contains(&decided.to_string()));
    }
    // Two versions at two thresholds.
    assert_eq!(page.all("table.matrix").len(), 4);
    let told_of = [
        "leakage unchecked",
        EVIL,
        "sha256",
        "--threshold 0.5,0.9",
        &truth,
    ];
    for part in told_of {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!page.text.contains("<script"));
    show(&file, &page);
}

#[test]
fn a_page_is_whole_or_is_not() {
    let biopsies = Biopsies::scored("report_whole");
    let sandbox = &biopsies.sandbox;
    let truth = labels(sandbox, "biopsies.diagnosis_truth");
    let before = names_of(sandbox.directory());
    let evaluate = |options: &[&str]| {
        let asked = ["evaluate", "tumour", "--labels", &truth, "--html"];
        sandbox.json(&[&asked[..], options].concat())
    };
    // A place that can't be written is told first: no evaluation was made.
    for place in ["nowhere/page.html", "."] {
        let error = evaluate(&[place, "--versions", "1"]).code(2).error();
        assert_eq!(error["code"], "file.unwritable", "{error}");
    }
    assert_eq!(
        sandbox
            .rows("SELECT version FROM {helenus}.evaluations")
            .len(),
        0
    );
    // What fails leaves the old page as it was, and nothing beside it.
    let file = sandbox.file("page.html", "yesterday's");
    evaluate(&["page.html", "--versions", "1,7"]).code(2);
    assert_eq!(fs::read_to_string(&file).unwrap(), "yesterday's");
    evaluate(&["page.html", "--versions", "1"]).ok();
    Page::read(&file);
    let mut after = names_of(sandbox.directory());
    after.remove("page.html");
    assert_eq!(after, before);
}

/// Scores a model's rows with a job named as the model.
fn scored(sandbox: &Sandbox, model: &str, options: &[&str]) {
    let model = Model::named(model);
    model.load(sandbox);
    let push = model.push_arguments("m");
    let push: Vec<&str> = push
        .iter()
        .map(String::as_str)
        .chain(options.iter().copied())
        .collect();
    sandbox.helenus(&push).ok();
    let manifest = model.manifest(sandbox, "j", "m");
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    sandbox.helenus(&["score", "j"]).ok();
}

#[test]
fn classes_make_a_matrix() {
    let sandbox = Sandbox::migrated("report_classes");
    scored(&sandbox, "wine_lgbm", &[]);
    let truth = labels(&sandbox, "truth.kind");
    sandbox.cql("CREATE TABLE {data}.truth (cellar text, bottle uuid, kind text, PRIMARY KEY (cellar, bottle))");
    const KINDS: [&str; 3] = ["Barbera", "Barolo", "Grignolino"];
    for (at, row) in sandbox
        .rows("SELECT * FROM {data}.j_predictions")
        .iter()
        .enumerate()
    {
        let (cellar, bottle) = (
            row["Cellar"].as_text().unwrap(),
            row["bottle"].as_uuid().unwrap(),
        );
        let said = row["label"].as_text().unwrap().clone();
        let next = KINDS[(KINDS.iter().position(|kind| *kind == said).unwrap() + 1) % 3];
        let kind = if at % 7 == 0 { next } else { &said };
        sandbox.cql(&format!("INSERT INTO {{data}}.truth (cellar, bottle, kind) VALUES ('{cellar}', {bottle}, '{kind}')"));
    }
    let file = sandbox.directory().join("classes.html");
    sandbox
        .helenus(&[
            "evaluate",
            "j",
            "--versions",
            "1",
            "--labels",
            &truth,
            "--html",
            "classes.html",
        ])
        .ok();
    let page = Page::read(&file);
    assert_eq!(page.all("table.matrix tbody tr").len(), 3);
    let right: u64 = page
        .all("table.matrix td.right")
        .iter()
        .map(|cell| cell.text().next().unwrap().parse::<u64>().unwrap())
        .sum();
    let rows = sandbox.rows("SELECT evaluated, accuracy FROM {helenus}.evaluations");
    let accuracy = rows[0]["accuracy"].as_double().unwrap();
    let evaluated = rows[0]["evaluated"].as_bigint().unwrap();
    assert!((right as f64 / evaluated as f64 - accuracy).abs() < 1e-12);
    show(&file, &page);
}

#[test]
fn errors_of_numbers_are_drawn() {
    let sandbox = Sandbox::migrated("report_numbers");
    scored(&sandbox, "diabetes_lgbm", &[]);
    sandbox.cql("CREATE TABLE {data}.truth (clinic text, patient int, visit int, progression double, PRIMARY KEY ((clinic, patient), visit))");
    for row in sandbox.rows("SELECT * FROM {data}.j_predictions") {
        let said = f64::from(row["variable"].as_float().unwrap());
        let (clinic, patient) = (
            row["clinic"].as_text().unwrap(),
            row["patient"].as_int().unwrap(),
        );
        let visit = row["visit"].as_int().unwrap();
        let off = f64::from(patient * 37 % 101 - 40) / 3.0;
        let truth = said - off;
        sandbox.cql(&format!("INSERT INTO {{data}}.truth (clinic, patient, visit, progression) VALUES ('{clinic}', {patient}, {visit}, {truth:?})"));
    }
    let truth = labels(&sandbox, "truth.progression");
    sandbox
        .helenus(&[
            "evaluate",
            "j",
            "--versions",
            "1",
            "--labels",
            &truth,
            "--html",
            "numbers.html",
        ])
        .ok();
    let file = sandbox.directory().join("numbers.html");
    let page = Page::read(&file);
    assert_eq!(page.figures(), ["errors", "errors-0"]);
    assert!(page.all("#errors-0 rect.bar").len() > 20);
    assert!(page.read_text().contains("Root mean squared error"));
    show(&file, &page);
}

/// A table of its own with text keys that would run; its rows are some biopsies. Gives one of the keys.
fn evil_keys(sandbox: &Sandbox) -> String {
    let columns = sandbox.rows("SELECT column_name, type FROM system_schema.columns WHERE keyspace_name = '{data}' AND table_name = 'biopsies'");
    let columns: Vec<(String, String)> = columns
        .iter()
        .map(|row| ["column_name", "type"].map(|of| row[of].as_text().unwrap().clone()))
        .map(|[name, cql_type]| (name, cql_type))
        .filter(|(name, _)| name != "id")
        .collect();
    let columns: Vec<_> = columns
        .iter()
        .map(|(name, of)| format!("\"{name}\" {of}"))
        .collect();
    sandbox.cql(&format!(
        "CREATE TABLE {{data}}.named (id text PRIMARY KEY, {})",
        columns.join(", ")
    ));
    let mut key = String::new();
    for row in sandbox.rows("SELECT JSON * FROM {data}.biopsies LIMIT 80") {
        let text = row["[json]"].as_text().unwrap();
        let mut row: serde_json::Value = serde_json::from_str(text).unwrap();
        key = format!("{EVIL} {}", row["id"]);
        row["id"] = key.as_str().into();
        let text = row.to_string().replace('\'', "''");
        sandbox.cql(&format!("INSERT INTO {{data}}.named JSON '{text}'"));
    }
    key
}
