//! Columns of predictions: their names, types and classes.

use super::*;

#[test]
fn scores_that_are_no_probabilities_do_not_claim_to_be() {
    let mut margins = classifier(1, &["a", "b"]);
    margins.ready.admitted.signature.outputs[1].simplex = false;
    let job = with("", &[margins]).unwrap();
    assert_eq!(columns(&job)[1..], ["score_a float", "score_b float"]);
    let clusters = asked(
        1,
        &["mean radius", "visits"],
        vec![
            output("label", Element::Int64, &[]),
            output("scores", Element::Float, &[3]),
        ],
    );
    let job = with("", &[clusters]).unwrap();
    assert_eq!(
        columns(&job),
        [
            "label bigint",
            "score_0 float",
            "score_1 float",
            "score_2 float"
        ]
    );
}

#[test]
fn a_single_score_needs_its_class_named() {
    let mut single = classifier(1, &["benign", "malignant"]);
    single.ready.admitted.signature.outputs[1].dims = vec![1];
    let problems = with("", std::slice::from_ref(&single)).unwrap_err();
    assert_eq!(
        codes(&problems),
        [("job.positive_missing", "outputs.positive")]
    );
    let reversed = with(
        "[outputs]\npositive = 'benign'",
        std::slice::from_ref(&single),
    )
    .unwrap_err();
    assert_eq!(
        codes(&reversed),
        [("job.positive_missing", "outputs.positive")]
    );
    let job = with("[outputs]\npositive = 'malignant'", &[single]).unwrap();
    assert_eq!(columns(&job), ["label text", "score_malignant float"]);
    assert_eq!(job.positive.as_deref(), Some("malignant"));

    let sigmoid = asked(
        1,
        &["mean radius", "visits"],
        vec![output("dense_1", Element::Float, &[1])],
    );
    assert_eq!(
        columns(&with("", std::slice::from_ref(&sigmoid)).unwrap()),
        ["dense_1 float"]
    );
    let job = with("[outputs]\npositive = 'M'", &[sigmoid]).unwrap();
    assert_eq!(columns(&job), ["score_m float"]);
}

#[test]
fn many_classes_are_one_vector_and_regressions_keep_their_shape() {
    let names: Vec<String> = (0..40).map(|class| format!("c{class}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let job = with("", &[classifier(1, &names)]).unwrap();
    assert_eq!(
        columns(&job),
        ["label text", "probabilities vector<float, 40>"]
    );
    assert_eq!(job.target.outputs[1].classes.len(), 40);
    let two = asked(
        1,
        &["mean radius", "visits"],
        vec![output("variable", Element::Double, &[2])],
    );
    assert_eq!(
        columns(&with("", &[two]).unwrap()),
        ["variable vector<double, 2>"]
    );
}

#[test]
fn wished_columns_replace_the_usual_ones() {
    let text = "[outputs.columns]\nrisk = { output = 'probabilities', class = 'malignant', index = true }\ndiagnosis = { output = 'label' }\n";
    let job = with(text, &[classifier(1, &["benign", "malignant"])]).unwrap();
    assert_eq!(
        columns(&job),
        ["diagnosis text", "p_benign float", "risk float"]
    );
    assert_eq!(job.target.outputs[2].index, Some(OutputIndex::Comparison));
    let whole = "[outputs.columns]\nall = { output = 'probabilities', index = true }\n";
    let problems = with(whole, &[classifier(1, &["benign", "malignant"])]).unwrap_err();
    assert_eq!(
        codes(&problems),
        [("job.index_vector", "outputs.columns.all")]
    );
    let job = with(
        &whole.replace(", index = true", ""),
        &[classifier(1, &["benign", "malignant"])],
    )
    .unwrap();
    assert_eq!(columns(&job), ["label text", "all vector<float, 2>"]);
}

#[test]
fn roles_reach_outputs_whatever_their_exporter_calls_them() {
    let mut sklearn = classifier(1, &["a", "b"]);
    let outputs = &mut sklearn.ready.admitted.signature.outputs;
    outputs[0].public_name = "output_label".into();
    outputs[1].public_name = "output_probability".into();
    let text = "[outputs.columns]\nx = { output = 'label' }\ny = { output = 'probabilities', class = 'b' }\n";
    let job = with(text, &[sklearn, classifier(2, &["a", "b"])]).unwrap();
    assert_eq!(columns(&job), ["x text", "p_a float", "y float"]);
}

#[test]
fn classes_that_become_one_column_collide() {
    let problems = with("", &[classifier(1, &["A", "a"])]).unwrap_err();
    assert_eq!(
        codes(&problems),
        [("job.name_collision", "outputs.columns")]
    );
    assert!(
        problems[0]
            .message
            .contains("class `A` of output `probabilities`, class `a` of")
    );
}

#[test]
fn integer_labels_take_names_only_where_the_manifest_gives_them() {
    let mut integers = classifier(1, &["0", "1"]);
    integers.ready.admitted.signature.outputs[0].element = Element::Int64;
    let plain = with("", &[integers.clone()]).unwrap();
    assert_eq!(columns(&plain), ["label bigint", "p_0 float", "p_1 float"]);
    let text = "[outputs]\nclasses = ['no', 'yes']\n[outputs.columns]\nlabel = { output = 'label', labels = { 0 = 'no', 1 = 'yes' } }\n";
    let named = with(text, &[integers]).unwrap();
    assert_eq!(columns(&named), ["label text", "p_no float", "p_yes float"]);
}
