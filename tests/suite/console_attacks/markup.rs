//! Text of rows that would be markup.

use super::*;

const EVIL: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'";

/// Rows with this text wherever a row can hold one.
fn poison(sandbox: &Sandbox) -> String {
    let evil = EVIL.replace('\'', "''");
    let run = "00000000-0000-1000-8080-808080808080";
    for statement in [
        "INSERT INTO {helenus}.jobs (job, revision, manifest, created_by, note, paused, paused_by, paused_note) VALUES ('EVIL', 1, 'EVIL', 'EVIL', 'EVIL', true, 'EVIL', 'EVIL')",
        "INSERT INTO {helenus}.job_status (job, revision, state, problems, warnings, model, source, target) VALUES ('EVIL', 1, 'invalid', ['EVIL'], ['EVIL'], 'EVIL', 'EVIL', 'EVIL')",
        "INSERT INTO {helenus}.runs (job, run_id, job_revision, versions, aliases, state, reason, warnings, trigger, requested_by, note, source, target, due_at, started_at, splits_total, splits_done, source_rows, rejected, output_statistics, scope, helenus_version, runtime_version) VALUES ('EVIL', RUN, 1, {1}, {'EVIL': 1}, 'failed', 'EVIL', ['EVIL'], 'EVIL', 'EVIL', 'EVIL', 'EVIL', 'EVIL', '2026-01-01', '2026-01-01', 1, 0, 1, {1: 1}, {1: '{\"EVIL\": {\"EVIL\": \"EVIL\"}}'}, 'pending', 'EVIL', 'EVIL')",
        "INSERT INTO {helenus}.rejected_rows (job, run_id, model_version, entity, key, reason) VALUES ('EVIL', RUN, 1, 'EVIL', {'EVIL': 'EVIL'}, 'EVIL')",
        "INSERT INTO {helenus}.alarms (job, id, kind, subject, what, since, seen, open) VALUES ('EVIL', RUN, 'EVIL', 'EVIL', 'EVIL', '2026-01-01', 1, {'EVIL/EVIL': RUN})",
        "INSERT INTO {helenus}.alarm_acks (job, id, acknowledged_by, acknowledged_at, note) VALUES ('EVIL', RUN, 'EVIL', '2026-01-01', 'EVIL')",
        "INSERT INTO {helenus}.triggers (job, name, cron, created_by, note) VALUES ('EVIL', 'EVIL', 'EVIL', 'EVIL', 'EVIL')",
        "INSERT INTO {helenus}.trigger_status (job, name, seq, state, problems, fires, last_outcome, last_reason) VALUES ('EVIL', 'EVIL', 1, 'invalid', ['EVIL'], 'EVIL', 'EVIL', 'EVIL')",
        "INSERT INTO {helenus}.drift (job, run_id, version, feature, against, segment, verdict, cause, psi, n, m, measured_at) VALUES ('EVIL', RUN, 1, 'EVIL', 'reference', '', 'drifted', 'EVIL', 0.5, 1, 1, '2026-01-01')",
        "INSERT INTO {helenus}.comparisons (job, comparison_id, version, baseline, requested_by, label_changes, warnings) VALUES ('EVIL', RUN, 1, 2, 'EVIL', {'EVIL': 1}, ['EVIL'])",
        "INSERT INTO {helenus}.names (kind, name) VALUES ('model', 'EVIL')",
        "INSERT INTO {helenus}.model_versions (name, version, format, feature_names, tags, metrics, note, registered_by) VALUES ('EVIL', 1, 'EVIL', ['EVIL'], {'EVIL': 'EVIL'}, {'EVIL': 0.5}, 'EVIL', 'EVIL')",
        "INSERT INTO {helenus}.admissions (name, version, state, reason, warnings, signature, feature_names, class_names, opsets, runtime_version, decided_by) VALUES ('EVIL', 1, 'rejected', 'EVIL', ['EVIL'], 'EVIL', ['EVIL'], ['EVIL'], {'EVIL': 1}, 'EVIL', 'EVIL')",
        "INSERT INTO {helenus}.model_aliases (model, alias, changed_at, version, last_seq, seq, from_version, to_version, who, why, evidence) VALUES ('EVIL', 'EVIL', RUN, 1, 1, 1, 1, 1, 'EVIL', 'EVIL', 'EVIL')",
        "INSERT INTO {helenus}.evaluations (model, version, evaluation, job, labels, task, headline, headline_value, metrics, warnings, requested_by, evaluated_at) VALUES ('EVIL', 1, RUN, 'EVIL', 'EVIL', 'EVIL', 'EVIL', 0.5, {'EVIL': 0.5}, ['EVIL'], 'EVIL', '2026-01-01')",
        "INSERT INTO {helenus}.gates (model, name, alias, challenger, metric, labels, created_by, note) VALUES ('EVIL', 'EVIL', 'EVIL', 'EVIL', 'EVIL', 'EVIL', 'EVIL', 'EVIL')",
        "INSERT INTO {helenus}.gate_verdicts (model, gate, evaluation, version, verdict, reasons, metric, improvement, low, rows, decided_at) VALUES ('EVIL', 'EVIL', RUN, 1, 'EVIL', ['EVIL'], 'EVIL', 0.5, 0.1, 1, '2026-01-01')",
        "INSERT INTO {helenus}.retrainings (model, name, job, trainer, labels, cron, on_alarm, gate, created_by, note) VALUES ('EVIL', 'EVIL', 'EVIL', 'EVIL', 'EVIL', 'EVIL', 'EVIL', 'EVIL', 'EVIL', 'EVIL')",
        "INSERT INTO {helenus}.retraining_requests (model, name, id, problems, cause, spec, state, reason) VALUES ('EVIL', 'EVIL', RUN, ['EVIL'], 'EVIL', 'EVIL', 'EVIL', 'EVIL')",
        "INSERT INTO {helenus}.experiments (job, name, revision, unit, arms, shares, control, metric, labels, created_by, note) VALUES ('EVIL', 'EVIL', 1, 'EVIL', {'EVIL': 'EVIL'}, {'EVIL': 1.0}, 'EVIL', 'EVIL', 'EVIL', 'EVIL', 'EVIL')",
        "INSERT INTO {helenus}.experiment_results (job, name, look, revision, looked_at, metric, metric_values, differences, low, high, verdict, reason, warnings, assigned) VALUES ('EVIL', 'EVIL', RUN, 1, '2026-01-01', 'EVIL', {'EVIL': 0.5}, {'EVIL': 0.5}, {'EVIL': 0.1}, {'EVIL': 0.9}, 'running', 'EVIL', ['EVIL'], {'EVIL': 1})",
        "INSERT INTO {helenus}.run_requests (day, id, action, job, scope, requested_by, note) VALUES ('2026-01-01', 00000000-0000-1000-8080-808080808081, 'EVIL', 'EVIL', 'EVIL', 'EVIL', 'EVIL')",
        "INSERT INTO {helenus}.alias_requests (day, id, action, model, alias, gate, requested_by, why, coverage) VALUES ('2026-01-01', 00000000-0000-1000-8080-808080808082, 'EVIL', 'EVIL', 'EVIL', 'EVIL', 'EVIL', 'EVIL', 'EVIL')",
        "INSERT INTO {helenus}.answers (day, id, answer, reason, answered_by) VALUES ('2026-01-01', 00000000-0000-1000-8080-808080808081, 'EVIL', 'EVIL', 'EVIL')",
    ] {
        sandbox.cql(&statement.replace("EVIL", &evil).replace("RUN", run));
    }
    run.to_owned()
}

#[test]
fn no_text_that_a_row_can_hold_becomes_markup() {
    let biopsies = Biopsies::scored("console_xss");
    let sandbox = &biopsies.sandbox;
    let anna = token(sandbox, "anna", "score,read,run,promote,approve", &[]);
    let run = poison(sandbox);
    let served = serve(sandbox, &["tumour"]);
    let cookie = log_in(&served, &anna);
    let evil: String = EVIL.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let job = format!("/jobs/{evil}");
    let model = format!("/models/{evil}");
    let pages = [
        "/".to_owned(),
        job.clone(),
        format!("{job}/runs/{run}"),
        format!("{job}/triggers"),
        format!("{job}/drift"),
        format!("{job}/drift/{evil}"),
        format!("{job}/comparisons"),
        format!("{job}/entities"),
        format!("{job}/run"),
        format!("{job}/resume"),
        format!("{job}/alarms/{run}/acknowledge"),
        "/models".to_owned(),
        model.clone(),
        format!("{model}/versions/1"),
        format!("{model}/aliases"),
        format!("{model}/evaluations"),
        format!("{model}/gates"),
        format!("{model}/retrainings"),
        "/experiments".to_owned(),
        format!("/experiments/{evil}/{evil}"),
        "/alarms?all=yes".to_owned(),
        "/requests?day=2026-01-01".to_owned(),
        format!(
            "/jobs/tumour?runs.q={evil}&runs.sort={evil}&runs.page={evil}&before={evil}&{evil}={evil}"
        ),
        format!("/login?next={evil}"),
        format!("/jobs/none{evil}"),
    ];
    let mut shown = 0;
    for path in &pages {
        let reply = get(&served, path, &cookie);
        assert!(
            [200, 404].contains(&reply.status),
            "{path}: {} {}",
            reply.status,
            reply.text()
        );
        let text = reply.text();
        let page = Html::parse_document(&text);
        let all = Selector::parse("*").unwrap();
        for element in page.select(&all) {
            let element = element.value();
            assert_ne!(element.name(), "img", "{path}");
            for (name, value) in element.attrs() {
                assert!(
                    !name.starts_with("on") && name != "style",
                    "{path}: {name}={value}"
                );
                let is_link = ["href", "src", "action"].contains(&name);
                assert!(
                    !is_link || value.starts_with(['/', '#']),
                    "{path}: {name}={value}"
                );
            }
        }
        let scripts = Selector::parse("script").unwrap();
        let scripts: Vec<_> = page.select(&scripts).collect();
        assert_eq!(scripts.len(), 1, "{path}");
        assert!(
            scripts[0]
                .value()
                .attr("src")
                .unwrap()
                .starts_with("/assets/console-")
        );
        shown += usize::from(
            page.root_element()
                .text()
                .collect::<String>()
                .contains("<script>alert(1)"),
        );
    }
    assert!(
        shown > 18,
        "the texts are shown as they are: on {shown} pages"
    );
    // As CSV and JSON they are data.
    let json = get(&served, &format!("{job}.json"), &cookie)
        .status(200)
        .json();
    assert_eq!(json["result"]["runs"][0]["reason"], EVIL);
    let csv = get(&served, &format!("{job}.csv"), &cookie).status(200);
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(
        csv.header("content-disposition")
            .unwrap()
            .starts_with("attachment")
    );
}

#[test]
fn the_console_has_no_markup_that_is_not_escaped() {
    let mut folders = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/serve/console"
    ))];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                files += 1;
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(!text.contains("PreEscaped"), "{}", path.display());
            }
        }
    }
    assert!(files > 30, "{files} files");
}
