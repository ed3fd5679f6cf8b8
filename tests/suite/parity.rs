//! Every model of `models/`, from its file to predictions in Cassandra, held row by row against
//! what the library that trained it said.

use crate::{
    serve_parity,
    support::{Model, Sandbox},
};

fn holds(name: &str) {
    let sandbox = Sandbox::shared("parity");
    let model = Model::named(name);
    let rows = model.load(&sandbox);
    let registered = sandbox.name("m");
    let push = model.push_arguments(&registered);
    sandbox
        .helenus(&push.iter().map(String::as_str).collect::<Vec<_>>())
        .ok();
    let job = sandbox.name("job");
    let manifest = model.manifest(&sandbox, &job, &registered);
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    let scored = sandbox.json(&["score", &job]);
    // Models whose data hold rows to reject end as their manifest's budget says: all allow them.
    let result = scored.ok().result();
    assert_eq!(result["source_rows"], rows, "{result}");
    let table = result["target"].as_str().unwrap().split_once('.').unwrap();
    model.assert_predictions(&sandbox, table.1, 1);
    // The second run finds nothing to do, rejected rows included.
    let again = sandbox.json(&["score", &job]).ok().result();
    assert_eq!(again["scored"]["1"], 0, "{again}");
    assert_eq!(again["rejected"], result["rejected"], "{again}");
    serve_parity::assert_same(&sandbox, &job);
}

macro_rules! parity {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { holds(stringify!($name)); })*

        #[test]
        fn no_model_is_left_out() {
            assert_eq!(Model::all(), [$(stringify!($name)),*]);
        }
    };
}

parity!(
    breast_cancer_forest,
    breast_cancer_isolation,
    breast_cancer_lgbm,
    breast_cancer_lgbm_int,
    breast_cancer_linear_svc,
    breast_cancer_lr,
    breast_cancer_sigmoid,
    breast_cancer_xgb,
    diabetes_columns,
    diabetes_heads,
    diabetes_lgbm,
    diabetes_strict,
    diabetes_two,
    digits_vector,
    forty_classes,
    iris_kmeans,
    iris_mlp,
    iris_mlp_batch1,
    mails_pairs,
    mails_tokens,
    mails_vectors,
    mails_vectors_pairs,
    mails_words,
    sentences_tfidf,
    types_mixed,
    types_places,
    types_wide,
    wine_catboost,
    wine_lgbm,
    wine_svc,
);
