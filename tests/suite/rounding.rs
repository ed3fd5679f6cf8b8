//! Float rounding, told apart from rows that read their neighbours; trees behind float arithmetic.
//!
//! The models of `tests/rounding/` and of some cases. Needs ONNX Runtime's library, but no Cassandra.

use helenus::{
    domain::{
        model::{Admitted, DecidedBy},
        problem::Problem,
    },
    scorer::{
        admit::Request,
        child::{self, Limits},
    },
};

use crate::admission::{request, root};

fn decide(request: &Request) -> Result<Admitted, Vec<Problem>> {
    let limits = Limits {
        program: env!("CARGO_BIN_EXE_helenus").into(),
        ..Limits::default()
    };
    let outcome = child::run(request, &limits).expect("a child");
    outcome.verdict()
}

/// A model of `folder` with its feature names.
fn model(folder: &str, name: &str, golden: Option<&str>) -> Request {
    let read =
        |file: &str| std::fs::read_to_string(root().join(folder).join(file)).expect("a file");
    let mut request = request(&format!("{folder}/{name}.onnx"));
    request.feature_names = read("features.txt").lines().map(str::to_owned).collect();
    request.golden = golden.map(read);
    request
}

fn rounding(name: &str) -> Request {
    model("tests/rounding", name, Some(&format!("{name}.csv")))
}

#[track_caller]
fn admitted(request: &Request) -> Admitted {
    decide(request).unwrap_or_else(|problems| panic!("{}: {problems:#?}", request.model.display()))
}

#[track_caller]
fn rejected_for(request: &Request, code: &str) -> Problem {
    let problems = decide(request).expect_err("rejected");
    let found = problems.iter().rfind(|problem| problem.code == code);
    found
        .unwrap_or_else(|| panic!("no {code} in {problems:#?}"))
        .clone()
}

fn warning(admitted: &Admitted, code: &str) -> Option<String> {
    let mut warnings = admitted.warnings.iter();
    warnings.find(|warning| warning.starts_with(code)).cloned()
}

#[test]
fn models_of_raw_columns_are_admitted_with_what_rounding_does_to_them() {
    let linear = admitted(&rounding("linear"));
    let warned = warning(&linear, "float_rounding").expect("a warning");
    assert!(warned.contains("double inputs"), "{warned}");
    let seen = linear.signature.outputs[0].observed.rounding[0];
    assert!(seen > 0.0 && seen < 10.0, "{seen}");
}

#[test]
fn double_inputs_are_not_warned_of() {
    let double = admitted(&rounding("linear_double"));
    assert_eq!(warning(&double, "float_rounding"), None);
    assert!(double.signature.outputs[0].observed.rounding.is_empty());
}

#[test]
fn discriminant_analysis_networks_and_support_vectors_are_admitted() {
    for name in ["lda", "mlp", "one_class", "svr", "polynomial"] {
        let mut request = rounding(name);
        // Against doubles; that is not what is looked at here.
        (request.tolerance.rtol, request.tolerance.atol) = match name {
            "polynomial" | "svr" => (1e-2, 50.0),
            _ => (1e-2, 1e-3),
        };
        admitted(&request);
        request.golden = None;
        admitted(&request);
    }
}

#[test]
fn only_the_scores_that_decide_a_label_are_paired_with_it() {
    let decided = |name: &str| {
        let mut request = rounding(name);
        (request.tolerance.rtol, request.tolerance.atol) = (1e-2, 1e-3);
        admitted(&request).signature.outputs[0].observed.decided_by
    };
    let by = |threshold| {
        Some(DecidedBy {
            output: 1,
            threshold,
        })
    };
    assert_eq!(decided("lda"), by(None));
    assert_eq!(decided("one_class"), by(Some(0.0)));
}

#[test]
fn what_reads_the_batch_is_refused_with_its_operator_and_the_matching_cure() {
    let dynamic = rejected_for(
        &model("tests/cases/11_dynamic_quantisation", "dynamic", None),
        "model.depends_on_neighbours",
    );
    let (place, help) = (
        dynamic.place.unwrap_or_default(),
        dynamic.help.unwrap_or_default(),
    );
    assert!(place.contains("DynamicQuantizeLinear"), "{place}");
    assert!(
        help.contains("quantise statically") && help.contains("fix the batch at 1"),
        "{help}"
    );
    assert!(
        !help.contains("evaluation mode") && !help.contains("axis"),
        "{help}"
    );
    for (file, operator) in [("softmax", "Softmax"), ("mean", "ReduceMean")] {
        let request = request(&format!("tests/hostile/neighbours_{file}.onnx"));
        let problem = rejected_for(&request, "model.depends_on_neighbours");
        let (place, help) = (
            problem.place.unwrap_or_default(),
            problem.help.unwrap_or_default(),
        );
        assert!(place.contains(operator), "{place}");
        assert!(
            help.contains("axis 0") && !help.contains("quantise"),
            "{help}"
        );
    }
}

#[test]
fn no_tolerance_accepts_what_reads_the_batch() {
    let folder = "tests/cases/11_dynamic_quantisation";
    let mut request = model(folder, "dynamic", Some("golden.csv"));
    (request.tolerance.rtol, request.tolerance.atol) = (0.3, 0.15);
    rejected_for(&request, "model.depends_on_neighbours");
    // One row a call has no neighbours.
    admitted(&model(folder, "dynamic_one", None));
}

#[test]
fn a_scaler_before_trees_is_warned_of_though_golden_rows_pass() {
    let folder = "tests/cases/16_scaler_before_trees";
    for golden in [None, Some("golden_float.csv"), Some("golden20_float.csv")] {
        let float = admitted(&model(folder, "float", golden));
        let warned = warning(&float, "float_before_trees").expect("a warning");
        assert!(
            warned.contains("Scaler") && warned.contains("CastTransformer"),
            "{warned}"
        );
    }
    let double = admitted(&model(folder, "double", Some("golden_unseen_double.csv")));
    assert_eq!(warning(&double, "float_before_trees"), None);
}

#[test]
fn few_golden_rows_that_differ_are_told_from_all() {
    let folder = "tests/cases/16_scaler_before_trees";
    let unseen = rejected_for(
        &model(folder, "float", Some("golden_unseen_float.csv")),
        "golden.differs",
    );
    assert!(
        unseen.message.contains("of 100 golden rows; the worst is"),
        "{}",
        unseen.message
    );
    let help = unseen.help.unwrap_or_default();
    assert!(
        help.contains("few rows") && help.contains("split of a tree"),
        "{help}"
    );

    let mut reversed = model(folder, "double", Some("golden_double.csv"));
    reversed.feature_names.reverse();
    let all = rejected_for(&reversed, "golden.differs");
    let help = all.help.unwrap_or_default();
    assert!(help.contains("another order"), "{help}");
}
