//! What the console's pages cost Cassandra.

use crate::{
    console::{serve, token},
    console_attacks::{get, log_in},
    support::biopsies::Biopsies,
};

#[test]
fn a_page_needs_three_reads_at_most() {
    let biopsies = Biopsies::scored("console_reads");
    let sandbox = &biopsies.sandbox;
    let anna = token(sandbox, "anna", "score,read", &[]);
    let served = serve(sandbox, &[]);
    let cookie = log_in(&served, &anna);
    let listed = sandbox.json(&["run", "list", "tumour"]).ok().result();
    let run = listed[0]["run_id"].as_str().unwrap();
    // Nobody does the work: the first page says so, whatever the last runs were.
    let first = get(&served, "/", &cookie).status(200).text();
    assert!(first.contains("No worker reported within the last minute"));
    assert!(!first.contains("Everything is fine"));
    for path in [
        "/",
        "/jobs/tumour",
        &format!("/jobs/tumour/runs/{run}"),
        "/jobs/tumour/triggers",
        "/jobs/tumour/drift",
        "/jobs/tumour/comparisons",
        "/jobs/tumour/stream",
        "/models",
        "/models/tumour",
        "/models/tumour/versions/1",
        "/models/tumour/aliases",
        "/models/tumour/evaluations",
        "/models/tumour/gates",
        "/models/tumour/retrainings",
        "/experiments",
        "/alarms",
        "/requests",
        "/streams",
        "/workers",
    ] {
        let page = get(&served, path, &cookie).status(200);
        let timing = page.header("server-timing").unwrap();
        let reads = timing
            .rsplit_once("desc=\"")
            .unwrap()
            .1
            .trim_end_matches('"');
        let reads: u32 = reads.parse().unwrap();
        assert!((1..=3).contains(&reads), "{path}: {timing}");
    }
    // Shared for a second: twenty readers cost what one does.
    let statements = || -> u64 {
        let metrics = served.get("/metrics").text();
        let lines = metrics.lines().filter(|line| {
            line.starts_with("helenus_cassandra_statements_total")
                || line.starts_with("helenus_statements_total")
        });
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum::<f64>() as u64
    };
    // Until what was read above is too old to be shared.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let before = statements();
    for _ in 0..20 {
        get(&served, "/jobs/tumour/comparisons", &cookie).status(200);
    }
    let cost = statements() - before;
    // The server itself looks at a signal four times a second.
    assert!((1..20).contains(&cost), "{cost} statements for 20 pages");
}
