//! Several classes, and numbers.

use super::*;

#[test]
fn several_classes_are_told_apart() {
    let sandbox = Sandbox::migrated("evaluate_classes");
    let rows = scored(&sandbox, "wine_lgbm");
    sandbox.cql("CREATE TABLE {data}.truth (cellar text, bottle uuid, kind text, PRIMARY KEY (cellar, bottle))");
    let mut wrong = None;
    let predictions = sandbox.rows("SELECT * FROM {data}.j_predictions");
    let kinds: std::collections::BTreeSet<String> =
        predictions.iter().map(|row| text(&row["label"])).collect();
    assert_eq!(kinds.len(), 3);
    for row in &predictions {
        let said = text(&row["label"]);
        // One bottle is mislabelled.
        let kind = match wrong {
            None => kinds.iter().find(|kind| **kind != said).unwrap().clone(),
            Some(_) => said.clone(),
        };
        wrong.get_or_insert((kind.clone(), said));
        let (cellar, bottle) = (text(&row["Cellar"]), row["bottle"].as_uuid().unwrap());
        sandbox.cql(&format!("INSERT INTO {{data}}.truth (cellar, bottle, kind) VALUES ('{cellar}', {bottle}, '{kind}')"));
    }
    let place = labels(&sandbox, "truth.kind");
    let told = evaluate(&sandbox, "j", &["--versions", "1", "--labels", &place]);
    assert_eq!(
        (&told["task"], &told["headline"]),
        (&"classes".into(), &"accuracy".into())
    );
    let version = &told["versions"][0];
    close(
        &version["metrics"]["accuracy"],
        (rows - 1) as f64 / rows as f64,
    );
    let (kind, said) = wrong.unwrap();
    let confusion = version["details"]["confusion"].as_array().unwrap();
    let cell = confusion
        .iter()
        .find(|cell| cell["truth"] == *kind && cell["predicted"] == *said);
    assert_eq!(cell.unwrap()["rows"], 1);
    assert!(version["metrics"]["log_loss"].is_number());
    // One class against the rest.
    let one = ["--versions", "1", "--labels", &place, "--positive", &kind];
    let told = evaluate(&sandbox, "j", &one);
    assert_eq!(told["task"], "binary");
}

#[test]
fn numbers_are_held_against_numbers() {
    let sandbox = Sandbox::migrated("evaluate_numbers");
    let rows = scored(&sandbox, "diabetes_lgbm");
    sandbox.cql("CREATE TABLE {data}.truth (clinic text, patient int, visit int, progression double, PRIMARY KEY ((clinic, patient), visit))");
    let predictions = sandbox.rows("SELECT * FROM {data}.j_predictions");
    for row in &predictions {
        let said = f64::from(row["variable"].as_float().unwrap());
        let (clinic, patient, visit) = (
            text(&row["clinic"]),
            row["patient"].as_int().unwrap(),
            row["visit"].as_int().unwrap(),
        );
        let truth = said - if visit % 2 == 0 { 3.0 } else { -1.0 };
        sandbox.cql(&format!("INSERT INTO {{data}}.truth (clinic, patient, visit, progression) VALUES ('{clinic}', {patient}, {visit}, {truth:?})"));
    }
    let even = predictions
        .iter()
        .filter(|row| row["visit"].as_int().unwrap() % 2 == 0)
        .count() as f64;
    let odd = rows as f64 - even;
    let place = labels(&sandbox, "truth.progression");
    let told = evaluate(&sandbox, "j", &["--versions", "1", "--labels", &place]);
    assert_eq!(
        (&told["task"], &told["headline"]),
        (&"regression".into(), &"rmse".into())
    );
    assert_eq!(told["evaluated"], rows);
    let metrics = &told["versions"][0]["metrics"];
    close(&metrics["mae"], (3.0 * even + odd) / rows as f64);
    close(&metrics["rmse"], ((9.0 * even + odd) / rows as f64).sqrt());
    close(&metrics["mean_error"], (3.0 * even - odd) / rows as f64);
    // Patients have several visits: rows are no independent trials, so no test of rows is told.
    assert!(told["versions"][0]["against"].is_null());
}
