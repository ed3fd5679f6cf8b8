use super::*;
use crate::domain::{
    fixture::{input, output, ready, table},
    job::{Cast, NullRule},
    model::{ClassSource, Classes, Output, tensor::Element},
};

mod kinds;
mod vectors;

const HEAD: &str = "job = 'j'\nmodel = 'm'\nversions = [1]\n[source]\ntable = 'k.t'\n";

fn classifier(version: i32, names: &[&str]) -> Asked {
    let mut scores = output("probabilities", Element::Float, &[names.len()]);
    scores.simplex = true;
    scores.classes = Some(Classes {
        names: names.iter().map(|&name| name.into()).collect(),
        source: ClassSource::Zipmap,
    });
    asked(
        version,
        &["mean radius", "visits"],
        vec![output("label", Element::String, &[]), scores],
    )
}

fn asked(version: i32, names: &[&str], outputs: Vec<Output>) -> Asked {
    let mut ready = ready(version, vec![input("X", Element::Float, &[2])], outputs);
    ready.admitted.feature_names = names.iter().map(|&name| name.into()).collect();
    Asked {
        ready,
        by: vec![VersionWish::Number(version)],
    }
}

fn source() -> TableSchema {
    table(
        "t",
        &["mean_radius: float", "visits: int", "amount: decimal"],
    )
}

fn with(text: &str, versions: &[Asked]) -> Result<CompiledJob, Vec<Problem>> {
    let manifest = Manifest::parse(&format!("{HEAD}{text}")).unwrap();
    compile(&manifest, &source(), None, None, versions)
}

fn columns(job: &CompiledJob) -> Vec<String> {
    job.target
        .outputs
        .iter()
        .map(|column| format!("{} {}", column.name, column.cql_type))
        .collect()
}

fn codes(problems: &[Problem]) -> Vec<(&str, &str)> {
    problems
        .iter()
        .map(|p| (p.code.as_str(), p.place.as_deref().unwrap_or("")))
        .collect()
}

#[test]
fn names_alone_map_a_table_and_columns_are_named_after_classes() {
    let job = with("", &[classifier(1, &["benign", "Très malin"])]).unwrap();
    assert_eq!(
        columns(&job),
        ["label text", "p_benign float", "p_tr_s_malin float"]
    );
    let read: Vec<_> = job.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(read, ["mean_radius", "visits"]);
    let places: Vec<_> = job.versions[0].inputs[0]
        .places
        .iter()
        .map(|place| (place.feature.as_str(), place.column))
        .collect();
    assert_eq!(places, [("mean radius", 0), ("visits", 1)]);
    assert_eq!(job.warnings, Vec::<String>::new());
}

#[test]
fn each_version_takes_its_features_in_its_own_order() {
    let mut second = classifier(2, &["benign", "malignant"]);
    second.ready.admitted.feature_names = vec!["visits".into(), "amount".into()];
    let features = "[features]\n'mean radius' = 'mean_radius'\nvisits = { column = 'visits', null = 0 }\namount = { column = 'amount', cast = 'float' }\n";
    let job = with(features, &[second, classifier(1, &["benign", "malignant"])]).unwrap();
    let order = |at: usize| -> Vec<usize> {
        let places = &job.versions[at].inputs[0].places;
        places.iter().map(|place| place.column).collect()
    };
    assert_eq!(job.versions[0].ready.version, 1);
    assert_eq!((order(0), order(1)), (vec![1, 2], vec![2, 0]));
    let visits = &job.versions[1].inputs[0].places[0].rule().unwrap();
    assert_eq!(visits.null, NullRule::Number(0.0));
    assert_eq!(
        job.versions[1].inputs[0].places[1].rule().unwrap().cast,
        Cast::Float
    );
}

#[test]
fn all_mistakes_are_told_at_once_with_the_nearest_names() {
    let text = "positive_ = 1\n";
    assert!(Manifest::parse(&format!("{HEAD}{text}")).is_err());
    let problems = with(
        "[features]\n'mean raduis' = 'mean_radis'\nvisits = { column = 'amount', as = 'epoch_s' }\n[outputs]\npositive = 'bening'\n[outputs.columns]\nx = { output = 'lable' }\nid = { output = 'label' }",
        &[classifier(1, &["benign", "malignant"])],
    )
    .unwrap_err();
    assert_eq!(
        codes(&problems),
        [
            ("job.unknown_class", "outputs.positive"),
            ("job.unknown_output", "outputs.columns.x"),
            ("job.name_collision", "outputs.columns"),
            ("job.unknown_column", "features.\"mean raduis\""),
            ("job.feature_missing", "features"),
            ("job.cast_missing", "features.visits"),
            ("job.idle_option", "features.visits.as"),
        ]
    );
    let helps: Vec<_> = problems.iter().filter_map(|p| p.help.as_deref()).collect();
    assert!(helps.contains(&"did you mean `mean_radius`?"), "{helps:?}");
    assert!(helps.contains(&"did you mean `mean raduis`?"), "{helps:?}");
    assert!(helps.contains(&"did you mean \"benign\"?"), "{helps:?}");
}

#[test]
fn an_order_that_nothing_tells_is_an_error_and_one_that_nothing_proves_a_warning() {
    let unnamed = asked(3, &[], vec![output("variable", Element::Float, &[1])]);
    let problems = with("", std::slice::from_ref(&unnamed)).unwrap_err();
    assert_eq!(codes(&problems), [("job.order_unknown", "wide.X")]);
    let order = "[features]\na = 'mean_radius'\nb = 'visits'\n[wide.X]\nfor_versions = [3]\norder = ['b', 'a']\n";
    let job = with(order, std::slice::from_ref(&unnamed)).unwrap();
    assert_eq!(columns(&job), ["variable float"]);
    assert!(job.warnings[0].starts_with("order_unproven: version 3"));
    let expecting = |rows: &str, versions: &[Asked]| {
        let manifest = order.replace("[3]", "[3, 4]");
        let manifest = format!("{manifest}[expect]\nrows = \"\"\"\n{rows}\"\"\"\n");
        with(&manifest, versions).unwrap().warnings
    };
    let one = std::slice::from_ref(&unnamed);
    assert_eq!(expecting("id,variable\n1,2\n", one), Vec::<String>::new());
    // Nothing is compared, or nothing scored.
    assert_eq!(expecting("id,variable\n1,\n", one).len(), 1);
    assert_eq!(expecting("id,variable,rejected\n1,2,true\n", one).len(), 1);
    // Each version for itself: rows that name none are about both.
    let both = [
        unnamed,
        asked(4, &[], vec![output("variable", Element::Float, &[1])]),
    ];
    assert_eq!(expecting("id,variable\n1,2\n", &both), Vec::<String>::new());
    let third = expecting("id,variable,model_version\n1,2,3\n", &both);
    assert_eq!(third.len(), 1, "{third:?}");
    assert!(
        third[0].starts_with("order_unproven: version 4"),
        "{third:?}"
    );

    // One feature has no order.
    let vector =
        "[features]\na = { column = 'embedding' }\n[wide.X]\nfor_versions = [3]\norder = ['a']\n";
    let one = asked(3, &[], vec![output("variable", Element::Float, &[1])]);
    let manifest = Manifest::parse(&format!("{HEAD}{vector}")).unwrap();
    let source = table("t", &["embedding: vector<float, 2>"]);
    let job = compile(&manifest, &source, None, None, &[one]).unwrap();
    assert_eq!(job.warnings, Vec::<String>::new());

    let contradicting = "[wide.X]\nfor_versions = [1]\norder = ['visits', 'mean radius']\n";
    let problems = with(contradicting, &[classifier(1, &["a", "b"])]).unwrap_err();
    assert_eq!(codes(&problems), [("job.order_contradicts", "wide.X")]);
}

#[test]
fn ambiguous_names_are_errors() {
    let mut source = source();
    source.regulars.push(Column {
        name: "mean radius".into(),
        cql_type: CqlType::Float,
    });
    let manifest = Manifest::parse(HEAD).unwrap();
    let versions = [classifier(1, &["a", "b"])];
    let problems = compile(&manifest, &source, None, None, &versions).unwrap_err();
    assert_eq!(codes(&problems), [("job.ambiguous", "features")]);
    let mut alike = classifier(1, &["a", "b"]);
    alike.ready.admitted.feature_names = vec!["mean radius".into(), "mean_radius".into()];
    let problems = with("", &[alike]).unwrap_err();
    assert_eq!(codes(&problems), [("job.ambiguous", "features")]);
}

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
    assert!(job.target.outputs[2].index);
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

#[test]
fn versions_that_do_not_fit_one_table_are_refused() {
    let a = classifier(1, &["benign", "malignant"]);
    let mut integers = classifier(2, &["benign", "malignant"]);
    integers.ready.admitted.signature.outputs[0].element = Element::Int64;
    let problems = with("", &[a.clone(), integers]).unwrap_err();
    assert_eq!(codes(&problems), [("job.version_does_not_fit", "versions")]);
    assert!(problems[0].help.as_deref().unwrap().contains("another job"));
    let problems = with("", &[a.clone(), classifier(3, &["good", "bad"])]).unwrap_err();
    assert_eq!(codes(&problems), [("job.version_does_not_fit", "versions")]);
    let reordered = classifier(3, &["malignant", "benign"]);
    let job = with("", &[a, reordered]).unwrap();
    assert_eq!(job.versions[1].outputs[1].as_ref().unwrap().offset, 1);
}

fn predictions(columns: &[&str]) -> TableSchema {
    let mut table = table("j_predictions", columns);
    table.clustering = vec![(
        Column {
            name: "model_version".into(),
            cql_type: CqlType::Int,
        },
        Order::Desc,
    )];
    table.regulars.push(Column {
        name: "lineage".into(),
        cql_type: CqlType::parse("frozen<helenus_lineage>").unwrap(),
    });
    table
}

fn onto(live: &TableSchema, made: &[(&str, &str)]) -> Result<CompiledJob, Vec<Problem>> {
    let made = made
        .iter()
        .map(|(name, cql_type)| ((*name).into(), (*cql_type).into()))
        .collect();
    let existing = Existing {
        schema: live,
        made: Some(&made),
    };
    let manifest = Manifest::parse(HEAD).unwrap();
    let versions = [classifier(1, &["a", "b"])];
    compile(&manifest, &source(), None, Some(existing), &versions)
}

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
