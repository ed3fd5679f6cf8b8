//! Indexes for search by similarity: asked for, and live.

use super::*;
use crate::domain::job::similarity::Similarity;

/// A job over one embedding of width 2, with this index, onto a table that has these indexes on it.
fn embedding(
    element: Element,
    width: usize,
    index: &str,
    live: &[(&str, &str)],
) -> Result<CompiledJob, Vec<Problem>> {
    announcing(element, width, index, live, &BTreeMap::new())
}

/// As [`embedding`], while later revisions announce indexes.
fn announcing(
    element: Element,
    width: usize,
    index: &str,
    live: &[(&str, &str)],
    announced: &BTreeMap<String, Similarity>,
) -> Result<CompiledJob, Vec<Problem>> {
    let version = asked(
        1,
        &["mean radius", "visits"],
        vec![output("variable", element, &[width])],
    );
    let text = format!("{HEAD}[outputs.columns]\nv = {{ output = 'variable'{index} }}\n");
    let table = predictions(&["v: vector<float, 2>"]);
    let made = [("v".to_owned(), "vector<float, 2>".to_owned())].into();
    let live: Vec<TableIndex> = live
        .iter()
        .map(|(name, function)| TableIndex {
            name: (*name).to_owned(),
            column: "v".to_owned(),
            options: [("similarity_function".to_owned(), (*function).to_owned())].into(),
        })
        .collect();
    let existing = Existing {
        schema: &table,
        made: Some(&made),
        indexes: &live,
        announced,
    };
    let existing = (!live.is_empty() || !announced.is_empty()).then_some(existing);
    let manifest = Manifest::parse(&text)?;
    compile(&manifest, &source(), None, existing, &[version])
}

fn guard(job: &CompiledJob) -> Option<Similarity> {
    job.versions[0].outputs[0].as_ref().unwrap().similarity
}

#[test]
fn an_index_for_similarity_is_on_a_vector_of_float() {
    for (word, similarity) in Similarity::ALL {
        let index = format!(", index = '{word}'");
        let job = embedding(Element::Float, 2, &index, &[]).unwrap();
        let asked = job.target.outputs[0].index;
        assert_eq!(asked, Some(OutputIndex::Similarity(similarity)));
        assert_eq!(guard(&job), Some(similarity));
        for (element, width) in [(Element::Double, 2), (Element::Float, 1)] {
            let problems = embedding(element, width, &index, &[]).unwrap_err();
            assert_eq!(
                codes(&problems),
                [("job.index_vector", "outputs.columns.v")]
            );
        }
    }
    let problems = embedding(Element::Float, 2, ", index = 'cosin'", &[]).unwrap_err();
    assert_eq!(
        codes(&problems),
        [("job.manifest", "outputs.columns.v.index")]
    );
    assert_eq!(
        problems[0].help.as_deref(),
        Some("did you mean \"cosine\"?")
    );
    let problems = embedding(Element::Float, 2, ", index = 1", &[]).unwrap_err();
    assert!(problems[0].message.contains("true, false, or a function"));
}

#[test]
fn a_live_index_guards_its_column_whatever_the_manifest_says() {
    let cosine = ", index = 'cosine'";
    let live = [("j_predictions_v_idx", "COSINE")];
    let job = embedding(Element::Float, 2, cosine, &live).unwrap();
    assert_eq!(job.warnings, [""; 0]);
    assert_eq!(guard(&job), Some(Similarity::Cosine));

    let kept = embedding(Element::Float, 2, "", &live).unwrap();
    assert_eq!(guard(&kept), Some(Similarity::Cosine));
    assert!(kept.warnings[0].starts_with("index_kept: column `v`"));
    assert_eq!(kept.versions[0].hash_prefix, job.versions[0].hash_prefix);
    // An administrator's index is theirs.
    let theirs = embedding(Element::Float, 2, "", &[("theirs", "euclidean")]).unwrap();
    assert_eq!(guard(&theirs), Some(Similarity::Euclidean));
    assert_eq!(theirs.warnings, [""; 0]);

    let problems = embedding(Element::Float, 2, ", index = 'euclidean'", &live).unwrap_err();
    assert_eq!(
        codes(&problems),
        [("job.index_differs", "outputs.columns.v")]
    );
    let help = problems[0].help.as_deref().unwrap();
    assert!(
        help.contains("DROP INDEX \"k\".\"j_predictions_v_idx\""),
        "{help}"
    );
}

#[test]
fn an_index_that_a_later_revision_announces_guards_already() {
    let announced = [("v".to_owned(), Similarity::Cosine)].into();
    let job = announcing(Element::Float, 2, "", &[], &announced).unwrap();
    assert_eq!(guard(&job), Some(Similarity::Cosine));
    assert_eq!(job.target.outputs[0].index, None);
    assert_eq!(job.warnings, [""; 0]);
}
