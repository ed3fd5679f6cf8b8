//! Onto a table of predictions that is there already, and from one.

use super::*;

#[test]
fn the_table_that_stands_there_must_fit() {
    let fits = predictions(&["label: text", "p_a: float"]);
    let job = onto(&fits, &[("label", "text"), ("p_a", "float")]).unwrap();
    assert_eq!(columns(&job), ["label text", "p_a float", "p_b float"]);

    let other_type = predictions(&["label: bigint"]);
    let problems = onto(&other_type, &[("label", "bigint")]).unwrap_err();
    assert_eq!(codes(&problems), [("job.version_does_not_fit", "versions")]);

    let problems = onto(&fits, &[("p_a", "float")]).unwrap_err();
    assert_eq!(
        codes(&problems),
        [("job.target_altered", "outputs.columns")]
    );

    let problems = onto(&table("j_predictions", &[]), &[]).unwrap_err();
    assert_eq!(codes(&problems), [("job.target_taken", "outputs.table")]);

    let mut other_key = fits.clone();
    other_key.partition_key[0].cql_type = CqlType::Bigint;
    let problems = onto(&other_key, &[("label", "text"), ("p_a", "float")]).unwrap_err();
    assert_eq!(codes(&problems), [("job.target_key", "outputs.table")]);
}

#[test]
fn columns_of_earlier_revisions_are_emptied_and_those_of_others_left_alone() {
    let live = predictions(&["label: text", "score: double", "remark: text"]);
    let made = [("label", "text"), ("score", "double"), ("gone", "int")];
    let job = onto(&live, &made).unwrap();
    assert_eq!(
        columns(&job),
        ["label text", "p_a float", "p_b float", "score double"]
    );
    assert_eq!(job.versions[0].outputs[3], None);
    assert!(
        job.warnings[0].starts_with("target_stranger"),
        "{:?}",
        job.warnings
    );
    assert!(job.warnings[0].contains("`remark`"));
    // Emptying them is no reason to score anything again.
    let fresh = with("", &[classifier(1, &["a", "b"])]).unwrap();
    assert_eq!(fresh.versions[0].hash_prefix, job.versions[0].hash_prefix);
}

#[test]
fn what_changes_predictions_changes_the_prefix_and_nothing_else_does() {
    let versions = [classifier(1, &["a", "b"])];
    let prefix = |text: &str| with(text, &versions).unwrap().versions[0].hash_prefix;
    let features = "[features]\n'mean radius' = 'mean_radius'\nvisits = 'visits'\n";
    let plain = prefix("");
    assert_eq!(plain, prefix(features));
    assert_eq!(
        plain,
        prefix("[rules]\nttl = '3d'\n[outputs]\npositive = 'a'")
    );
    assert_eq!(
        plain,
        prefix(&format!(
            "{features}amount = {{ column = 'amount', cast = 'float' }}"
        ))
    );
    for other in [
        features.replace(
            "visits = 'visits'",
            "visits = { column = 'visits', null = 0 }",
        ),
        features.replace(
            "visits = 'visits'",
            "visits = { column = 'visits', cast = 'lossy' }",
        ),
        features.replace("visits = 'visits'", "visits = 'id'"),
        "[outputs]\nnan = 'allow'".to_owned(),
        "[outputs.columns]\nx = { output = 'label' }".to_owned(),
    ] {
        assert_ne!(plain, prefix(&other), "{other}");
    }
    assert_eq!(hex::encode(plain), "53e5927583649dfee53f93215152a0fd");
}

#[test]
fn predictions_may_be_the_source_of_the_next_job() {
    let mut source = predictions(&["p_a: float", "visits: int"]);
    source.table = "t".into();
    let mut version = classifier(1, &["a", "b"]);
    version.ready.admitted.feature_names = vec!["p_a".into(), "visits".into()];
    let read = |text: &str, number| {
        let manifest = Manifest::parse(&format!("{HEAD}{text}")).unwrap();
        compile(
            &manifest,
            &source,
            number,
            None,
            std::slice::from_ref(&version),
        )
    };
    let rename = "[outputs.columns]\nq = { output = 'probabilities', class = 'a' }";
    let problems = read(rename, None).unwrap_err();
    assert_eq!(codes(&problems), [("job.source_version", "source")]);
    let job = read(&format!("version = 'champion'\n{rename}"), Some(7)).unwrap();
    let key: Vec<_> = job.key.iter().map(|column| column.name.as_str()).collect();
    assert_eq!((key, job.source_version), (vec!["id"], Some(7)));
    let manifest = Manifest::parse(&format!("{HEAD}version = 2\n")).unwrap();
    let versions = [classifier(1, &["a", "b"])];
    let problems = compile(&manifest, &super::tests::source(), None, None, &versions).unwrap_err();
    assert_eq!(codes(&problems), [("job.source_version", "source.version")]);
}
