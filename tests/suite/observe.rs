//! What the worker says of itself: health, metrics, their documentation, the dashboard; and how
//! much it asks of Cassandra.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use helenus::{
    control::{health::Health, http, once},
    domain::run::Part,
    engine::{
        jobs,
        run::{self, shared::Shared},
    },
    metrics::{self, Kind},
};

use crate::support::{Model, Sandbox, block_on};

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

/// Sends `request` and gives all that comes back.
fn talk(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    // A server that has heard enough may close before all is sent.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

/// Status and body.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: helenus\r\nConnection: close\r\n\r\n");
    let answer = talk(address, request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = match head.contains("transfer-encoding: chunked") {
        true => panic!("a body of unknown length: {head}"),
        false => body.to_owned(),
    };
    (status, body)
}

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

#[test]
fn a_supervisor_is_told_whether_the_worker_lives_and_takes_work() {
    let health = Arc::new(Health::default());
    let server = block_on(http::serve(anywhere(), Arc::clone(&health))).unwrap();
    let at = server.address;
    assert_eq!(get(at, "/live"), (200, "ok\n".to_owned()));
    assert_eq!(get(at, "/ready"), (503, "starting\n".to_owned()));
    health.ready(Ok(()));
    assert_eq!(get(at, "/ready"), (200, "ok\n".to_owned()));
    health.draining();
    assert_eq!(get(at, "/ready"), (503, "draining\n".to_owned()));
    assert_eq!(get(at, "/live").0, 200);
    assert_eq!(get(at, "/").0, 404);
    assert_eq!(get(at, "/metrics/all").0, 404);
}

#[test]
fn whoever_sends_too_much_gets_an_error_and_others_are_served() {
    let server = block_on(http::serve(anywhere(), Arc::default())).unwrap();
    let at = server.address;
    let long = format!("GET /live HTTP/1.1\r\nHost: {}\r\n\r\n", "h".repeat(20_000));
    let answer = talk(at, long.as_bytes());
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    let fields: String = (0..200).map(|n| format!("X-{n}: n\r\n")).collect();
    let many = format!("GET /live HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    let answer = talk(at, many.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let posted =
        b"POST /live HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
    assert!(talk(at, posted).starts_with("HTTP/1.1 405"));
    assert!(talk(at, b"\x16\x03\x01 no HTTP\r\n\r\n").starts_with("HTTP/1.1 400"));
    assert_eq!(get(at, "/live").0, 200);
}

#[test]
fn an_address_that_is_taken_is_said_so() {
    let server = block_on(http::serve(anywhere(), Arc::default())).unwrap();
    let failure = block_on(http::serve(server.address, Arc::default())).unwrap_err();
    assert!(failure.is("listen.failed"), "{failure}");
}

/// Names of the metrics that a text in Prometheus's format shows.
fn shown(text: &str) -> BTreeSet<String> {
    let histograms: Vec<&str> = metrics::ALL
        .iter()
        .filter(|metric| metric.kind == Kind::Histogram)
        .map(|metric| metric.name)
        .collect();
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split(['{', ' ']).next().unwrap())
        .map(|name| {
            let of = |histogram: &&&str| {
                let part = name.strip_prefix(**histogram);
                part.is_some_and(|part| ["_bucket", "_sum", "_count"].contains(&part))
            };
            histograms
                .iter()
                .find(of)
                .map_or(name, |name| *name)
                .to_owned()
        })
        .collect()
}

/// The value of a line.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series))?;
    line.trim().parse().ok()
}

#[test]
fn a_run_is_seen_in_the_metrics_and_all_of_them_are_documented() {
    metrics::install();
    let sandbox = Sandbox::migrated("observe");
    let model = Model::named("breast_cancer_lr");
    let rows = model.load(&sandbox);
    let push = model.push_arguments("tumour");
    let push: Vec<&str> = push.iter().map(String::as_str).collect();
    sandbox.helenus(&push).ok();
    let job = sandbox.name("seen");
    let manifest = format!(
        "job = '{job}'\nmodel = 'tumour'\nversions = [1]\n[source]\ntable = '{}.biopsies'\n[outputs]\npositive = 'malignant'\n",
        sandbox.data
    );
    let manifest = sandbox.file("job.toml", manifest);
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    let ask = || {
        sandbox.cql(&format!(
            "INSERT INTO {{helenus}}.run_requests (day, id, job) VALUES (toDate(now()), now(), '{job}')"
        ));
        let pass = block_on(async {
            let store = sandbox.store().await;
            once::once(&store, &Shared::new(store.config())).await
        });
        assert_eq!(pass.unwrap().errors, Vec::<String>::new());
    };
    let text = || metrics::install().render();
    ask();
    let series = |name: &str, label: &str| format!("{name}{{job_name=\"{job}\",{label}}}");
    let scored = series("helenus_rows_total", "outcome=\"scored\"");
    let unchanged = series("helenus_rows_total", "outcome=\"unchanged\"");
    let succeeded = series("helenus_runs_total", "state=\"succeeded\"");
    let source = format!("helenus_source_rows_total{{job_name=\"{job}\"}}");
    let seen = text();
    assert_eq!(value(&seen, &scored), Some(rows as f64), "{seen}");
    assert_eq!(value(&seen, &source), Some(rows as f64));
    assert_eq!(value(&seen, &succeeded), Some(1.0));
    ask();
    let seen = text();
    assert_eq!(value(&seen, &scored), Some(rows as f64));
    assert_eq!(value(&seen, &unchanged), Some(rows as f64));
    assert_eq!(value(&seen, &source), Some(2.0 * rows as f64));
    assert_eq!(value(&seen, &succeeded), Some(2.0));
    let splits = series("helenus_splits_total", "state=\"done\"");
    let planned: i32 = sandbox
        .rows(&format!(
            "SELECT splits_total FROM {{helenus}}.runs WHERE job = '{job}'"
        ))
        .iter()
        .map(|row| row["splits_total"].as_int().unwrap())
        .sum();
    assert_eq!(value(&seen, &splits), Some(f64::from(planned)));
    for histogram in ["read", "score", "write", "claim"] {
        let count = value(&seen, &format!("helenus_{histogram}_seconds_count"));
        assert!(count > Some(0.0), "{histogram}:\n{seen}");
    }
    // What has a label of many values is not shown before it happens.
    let is_shown = |metric: &&&metrics::Metric| {
        let others = metrics::SERVING.iter().chain(metrics::STREAMING);
        let is_serving = others.into_iter().any(|one| one.name == metric.name);
        let is_of_experiments = metric.name == metrics::EXPERIMENT_LOOKS.name;
        !(is_serving || is_of_experiments) || metric.labels.is_empty()
    };
    let names: BTreeSet<String> = metrics::ALL
        .iter()
        .filter(is_shown)
        .map(|metric| metric.name.to_owned())
        .collect();
    assert_eq!(shown(&seen), names);
}

#[test]
fn the_page_on_metrics_says_what_the_code_says() {
    let text = page("metrics.md");
    let table: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("| `helenus_") && line.matches('|').count() == 5)
        .collect();
    let rows: Vec<String> = metrics::ALL.iter().map(|metric| row(metric)).collect();
    assert_eq!(
        table,
        rows,
        "docs/metrics.md should say:\n{}",
        rows.join("\n")
    );
}

fn row(metric: &metrics::Metric) -> String {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let unit = match metric.name.ends_with("_seconds") {
        true => ", s",
        false => "",
    };
    let labels: Vec<String> = metric
        .labels
        .iter()
        .map(|(name, values)| match values {
            [] => format!("`{name}`"),
            values => format!("`{name}`: {}", values.join(", ")),
        })
        .collect();
    format!(
        "| `{}` | {kind}{unit} | {} | {} |",
        metric.name,
        labels.join("; "),
        metric.help
    )
}

/// Everything that looks like one of our metrics' names.
fn named(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("helenus_"))
        .collect()
}

fn is_known(name: &str) -> bool {
    metrics::ALL.iter().any(|metric| match metric.kind {
        Kind::Histogram => ["_bucket", "_sum", "_count", ""]
            .iter()
            .any(|part| name == format!("{}{part}", metric.name)),
        Kind::Counter | Kind::Gauge => name == metric.name,
    })
}

#[test]
fn every_metric_that_the_dashboard_and_the_page_ask_for_exists() {
    let page = page("metrics.md");
    for name in named(&page) {
        assert!(is_known(name), "docs/metrics.md: {name}");
    }
    let text = self::page("grafana-dashboard.json");
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert!(
        variables
            .iter()
            .any(|variable| variable["type"] == "datasource")
    );
    let mut asked = BTreeSet::new();
    let panels = dashboard["panels"].as_array().unwrap();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(
            panel["datasource"]["uid"], "${datasource}",
            "{}",
            panel["title"]
        );
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            let names = named(query);
            assert!(!names.is_empty(), "{query}");
            for name in names {
                assert!(is_known(name), "{query}: {name}");
                asked.insert(name.to_owned());
            }
        }
    }
    for metric in metrics::ALL {
        let of = |name: &String| name.starts_with(metric.name);
        assert!(asked.iter().any(of), "no panel shows {}", metric.name);
    }
    let mut ids: Vec<_> = panels
        .iter()
        .map(|panel| panel["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), panels.len());
}

/// How many splits follow from what `system.size_estimates` says, and that a run is whole then.
#[test]
fn a_wrong_or_missing_estimate_does_no_harm() {
    let sandbox = Sandbox::migrated("estimates");
    let model = Model::named("breast_cancer_lr");
    let rows = model.load(&sandbox);
    let push = model.push_arguments("tumour");
    let push: Vec<&str> = push.iter().map(String::as_str).collect();
    sandbox.helenus(&push).ok();
    let manifest = model.manifest(&sandbox, "guessed", "tumour");
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    let (store, job) = block_on(async {
        let store = sandbox.store().await;
        let job = jobs::prepare(&store, "guessed", None).await.unwrap().job;
        (store, job)
    });
    let splits = |estimates: &[i64]| {
        sandbox.cql("DELETE FROM system.size_estimates WHERE keyspace_name = '{data}'");
        for (range, partitions) in estimates.iter().enumerate() {
            sandbox.cql(&format!(
                "INSERT INTO system.size_estimates (keyspace_name, table_name, range_start, range_end, partitions_count, mean_partition_size) VALUES ('{{data}}', 'biopsies', '{range}', '{}', {partitions}, 1)",
                range + 1
            ));
        }
        let splits = block_on(run::plan::splits(&store, &job, &Part::Whole)).unwrap();
        let widths = splits
            .iter()
            .map(|range| u128::from(range.unwrap().width()));
        assert_eq!(widths.sum::<u128>(), u128::from(u64::MAX), "{estimates:?}");
        splits.len()
    };
    // About 25,000 partitions a split; 8 at least, 10,000 at most.
    for few in [&[][..], &[0], &[-5], &[1]] {
        assert_eq!(splits(few), 8, "{few:?}");
    }
    assert_eq!(splits(&[i64::MAX, i64::MAX, i64::MAX]), 10_000);
    assert_eq!(splits(&[1_250_000, -1, 1_250_000]), 100);
    let run = sandbox.json(&["score", "guessed"]).ok().result();
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(run["source_rows"], rows, "{run}");
    model.assert_predictions(&sandbox, "guessed_predictions", 1);
}
