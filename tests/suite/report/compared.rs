//! Pages that compare: versions, and rows over time.

use super::*;

#[test]
fn a_comparison_is_a_page() {
    let biopsies = Biopsies::scored("report_compare");
    let sandbox = &biopsies.sandbox;
    let key = evil_keys(sandbox);
    let manifest = format!(
        "job = \"named\"\nmodel = \"tumour\"\nversions = [1, 2]\n[source]\ntable = \"{}.named\"\n[outputs]\npositive = \"malignant\"\n",
        sandbox.data
    );
    let manifest = sandbox.file("named.toml", manifest);
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    sandbox.helenus(&["score", "named"]).ok();
    // One row is new since, one has changed: coverage has parts.
    sandbox.cql("INSERT INTO {data}.named (id, mean_radius) VALUES ('new', 1.0)");
    let changed = key.replace('\'', "''");
    sandbox.cql(&format!(
        "UPDATE {{data}}.named SET mean_radius = 99 WHERE id = '{changed}'"
    ));
    let mut options = [
        "compare",
        "named",
        "--versions",
        "1,2",
        "--segment",
        "diagnosis_truth",
        "--html",
        "compared.html",
    ];
    let told = sandbox.json(&options).ok().result();
    let file = sandbox.directory().join("compared.html");
    let page = Page::read(&file);
    assert_eq!(page.figures(), ["coverage", "differences-2", "segments"]);
    let text = page.read_text();
    let against = &told["against"][0];
    assert_eq!(
        (&against["stale"], &against["missing"]),
        (&1.into(), &1.into())
    );
    let most = against["most_different"].as_array().unwrap();
    assert_eq!(most.len(), 10);
    for entity in most {
        let (key, cql) = (
            entity["key"].as_str().unwrap(),
            entity["cql"].as_str().unwrap(),
        );
        assert!(
            key.contains("<script>") && text.contains(key) && text.contains(cql),
            "{key}"
        );
    }
    for change in against["label_changes"].as_array().unwrap() {
        assert!(text.contains(change["from"].as_str().unwrap()));
    }
    let correlation = against["rank_correlation"]["value"].as_f64().unwrap();
    assert!(text.contains(&format!("{correlation:.4}")));
    let bars = against["differences"]["histogram"]
        .as_array()
        .unwrap()
        .iter();
    let filled = bars.filter(|bar| bar["rows"].as_u64().unwrap() > 0).count();
    // Those beyond the ends are told in words.
    let drawn = page.all("#differences-2 rect.bar").len();
    assert!(
        drawn <= filled && drawn + 2 >= filled,
        "{drawn} of {filled}"
    );
    assert!(
        text.contains("--segment diagnosis_truth --top 10"),
        "{text}"
    );
    show(&file, &page);

    // Nothing in common: the page says so, and so does the exit code.
    sandbox.cql("TRUNCATE {data}.named");
    sandbox.cql("INSERT INTO {data}.named (id, mean_radius) VALUES ('new', 1.0)");
    let last = options.len() - 1;
    options[last] = "nothing.html";
    sandbox.json(&options).code(1);
    let file = sandbox.directory().join("nothing.html");
    assert!(
        Page::read(&file)
            .read_text()
            .contains("No row could be compared.")
    );
}

#[test]
fn drift_is_a_page() {
    let biopsies = Biopsies::scored("report_drift");
    let sandbox = &biopsies.sandbox;
    let runs = sandbox.json(&["run", "list", "tumour"]).ok().result();
    let run = runs[0]["run_id"].as_str().unwrap();
    sandbox
        .helenus(&["drift", "baseline", "tumour", "--run", run])
        .ok();
    for turn in 1..=2 {
        for id in 1..=biopsies.rows {
            sandbox.cql(&format!(
                "UPDATE {{data}}.biopsies SET mean_radius = {} WHERE id = {id}",
                turn * 100 + id
            ));
        }
        biopsies.score();
    }
    let told = sandbox.json(&["drift", "tumour", "--html", "drift.html"]);
    let told = told.ok().result();
    assert_eq!(told["html"], "drift.html");
    let file = sandbox.directory().join("drift.html");
    let page = Page::read(&file);
    // The most changed first, each with its history.
    let figures = page.figures();
    assert_eq!(figures[..2], ["shape-1-0", "history-1-0"]);
    assert!(figures.contains(&"shape-2-23".to_owned()), "{figures:?}");
    let text = page.read_text();
    assert!(text.contains("mean radius: drifted"), "{text}");
    assert!(text.contains(run), "the run that it was compared with");
    show(&file, &page);
}
