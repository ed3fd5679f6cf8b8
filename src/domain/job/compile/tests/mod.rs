use super::*;
use crate::domain::{
    fixture::{input, output, ready, table},
    job::{Cast, NullRule, similarity::OutputIndex},
    model::{ClassSource, Classes, Output, tensor::Element},
};

mod existing;
mod indexes;
mod kinds;
mod outputs;
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
        artifacts: Default::default(),
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
        indexes: &[],
        announced: &BTreeMap::new(),
    };
    let manifest = Manifest::parse(HEAD).unwrap();
    let versions = [classifier(1, &["a", "b"])];
    compile(&manifest, &source(), None, Some(existing), &versions)
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
