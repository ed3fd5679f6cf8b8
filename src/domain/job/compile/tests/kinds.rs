//! Every kind of output becomes the columns that docs/manifest.md says.

use super::*;

fn with_outputs(outputs: Vec<Output>) -> Asked {
    asked(1, &["mean radius", "visits"], outputs)
}

fn scores(name: &str, classes: &[&str], simplex: bool) -> Output {
    let mut output = output(name, Element::Float, &[classes.len()]);
    output.simplex = simplex;
    output.classes = Some(Classes {
        names: classes.iter().map(|&class| class.into()).collect(),
        source: ClassSource::Zipmap,
    });
    output
}

fn made(manifest: &str, outputs: Vec<Output>) -> Vec<String> {
    columns(&with(manifest, &[with_outputs(outputs)]).unwrap())
}

fn refused(manifest: &str, outputs: Vec<Output>) -> Vec<Problem> {
    with(manifest, &[with_outputs(outputs)]).unwrap_err()
}

#[test]
fn every_kind_of_output_becomes_the_columns_that_the_manual_says() {
    let label = || output("output_label", Element::Int64, &[1]);
    let number = |name, element| output(name, element, &[]);
    let many: Vec<String> = (0..33).map(|class| class.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let wide = |element, width| output("Out.Put", element, &[width]);
    for (manifest, outputs, wanted) in [
        // One value that is no float, named like `label`, or the only such beside classes.
        (
            "",
            vec![label(), scores("p", &["no", "Yes!"], true)],
            vec!["label bigint", "p_no float", "p_yes_ float"],
        ),
        (
            "",
            vec![
                number("kind", Element::String),
                scores("p", &["a", "b"], true),
            ],
            vec!["label text", "p_a float", "p_b float"],
        ),
        // Several such: none is the label.
        (
            "",
            vec![
                output("label_a", Element::Int32, &[]),
                output("label_b", Element::Bool, &[]),
            ],
            vec!["label_a int", "label_b boolean"],
        ),
        // Labels of several targets in one output.
        (
            "",
            vec![output("label", Element::Int64, &[3])],
            vec!["label vector<bigint, 3>"],
        ),
        // Scores: probabilities, others, unnamed ones beside a label, more than 32.
        (
            "",
            vec![scores("s", &["a", "b"], false)],
            vec!["score_a float", "score_b float"],
        ),
        (
            "",
            vec![label(), wide(Element::Double, 2)],
            vec!["label bigint", "score_0 double", "score_1 double"],
        ),
        (
            "",
            vec![scores("Big One", &many, true)],
            vec!["big_one vector<float, 33>"],
        ),
        // One score for two classes.
        (
            "[outputs]\nclasses = ['no', 'Yes']\npositive = 'Yes'\n",
            vec![number("s", Element::Float)],
            vec!["score_yes float"],
        ),
        // One number without classes.
        (
            "",
            vec![number("Y-hat", Element::Double)],
            vec!["y_hat double"],
        ),
        (
            "[outputs]\npositive = 'Risk'\n",
            vec![number("y", Element::Float16)],
            vec!["score_risk float"],
        ),
        // Several values without classes.
        (
            "",
            vec![wide(Element::Float, 2)],
            vec!["out_put vector<float, 2>"],
        ),
        (
            "",
            vec![wide(Element::String, 2)],
            vec!["out_put vector<text, 2>"],
        ),
        (
            "",
            vec![wide(Element::Bool, 3)],
            vec!["out_put vector<boolean, 3>"],
        ),
    ] {
        let described = format!("{outputs:?}");
        assert_eq!(made(manifest, outputs), wanted, "{described}");
    }
}

#[test]
fn classes_of_several_outputs_are_told_apart_by_the_outputs_name() {
    let heads = || {
        vec![
            output("label", Element::Int64, &[2]),
            scores("Out1", &["no", "yes"], true),
            scores("Out2", &["no", "maybe"], true),
            scores("margin", &["left", "right"], false),
        ]
    };
    let named = [
        "label vector<bigint, 2>",
        "p_out1_no float",
        "p_out1_yes float",
        "p_out2_no float",
        "p_out2_maybe float",
        "score_margin_left float",
        "score_margin_right float",
    ];
    assert_eq!(made("", heads()), named);
    // Classes that nobody else has need no output's name.
    let apart = vec![
        scores("Out1", &["no", "yes"], true),
        scores("Out2", &["off", "on"], true),
    ];
    assert_eq!(
        made("", apart),
        ["p_no float", "p_yes float", "p_off float", "p_on float"]
    );
    // What a line leaves out or names renames nothing else.
    let fewer = "[outputs]\nomit = ['label', 'Out1', 'score_margin_left']\nomit_classes = ['no']\n";
    assert_eq!(
        made(fewer, heads()),
        ["p_out2_maybe float", "score_margin_right float"]
    );
    let wished = "[outputs]\nomit = ['label', 'Out1', 'Out2', 'margin']\n[outputs.columns]\nx = { output = 'Out1', class = 'yes' }\n";
    assert_eq!(made(wished, heads()), ["x float"]);
}

#[test]
fn what_is_omitted_must_be_there_and_something_must_be_left() {
    let outputs = || {
        vec![
            output("label", Element::Int64, &[]),
            scores("p", &["no", "yes"], true),
        ]
    };
    let problems = refused(
        "[outputs]\nomit = ['lable', 'p_none']\nomit_classes = ['maybe', 'yess']\n",
        outputs(),
    );
    assert_eq!(
        codes(&problems),
        [
            ("job.unknown_output", "outputs.omit"),
            ("job.unknown_output", "outputs.omit"),
            ("job.unknown_class", "outputs.omit_classes"),
            ("job.unknown_class", "outputs.omit_classes"),
        ]
    );
    assert_eq!(problems[0].help.as_deref(), Some("did you mean \"label\"?"));
    assert_eq!(problems[3].help.as_deref(), Some("did you mean \"yes\"?"));
    let problems = refused("[outputs]\nomit = ['label', 'probabilities']\n", outputs());
    assert_eq!(codes(&problems), [("job.no_outputs", "outputs.omit")]);
    // One score for two classes needs no `positive` where it is not stored.
    let lone = vec![
        output("label", Element::Int64, &[]),
        output("s", Element::Float, &[]),
    ];
    let left = "[outputs]\nclasses = ['no', 'yes']\nomit = ['s']\n";
    assert_eq!(made(left, lone), ["label bigint"]);
}

#[test]
fn class_names_may_be_given_by_output() {
    let outputs = || {
        vec![
            output("p1", Element::Float, &[2]),
            output("p2", Element::Float, &[2]),
        ]
    };
    let both = "[outputs]\nclasses = { p1 = ['stay', 'go'], p2 = ['cold', 'hot'] }\n";
    assert_eq!(
        made(both, outputs()),
        [
            "score_stay float",
            "score_go float",
            "score_cold float",
            "score_hot float"
        ]
    );
    let problems = refused(
        "[outputs]\nclasses = { p1 = ['a', 'b', 'c'], p3 = ['a', 'b'] }\n",
        outputs(),
    );
    assert_eq!(
        codes(&problems),
        [
            ("job.classes", "outputs.classes.p1"),
            ("job.unknown_output", "outputs.classes.p3"),
        ]
    );
    let problems = refused("[outputs]\nclasses = ['a', 'b']\n", outputs());
    assert_eq!(codes(&problems), [("job.classes", "outputs.classes")]);
    let help = problems[0].help.as_deref().unwrap();
    assert!(help.contains("name one: classes = {"), "{help}");
    assert!(Manifest::parse(&format!("{HEAD}[outputs]\nclasses = 3\n")).is_err());
}

#[test]
fn collisions_are_told_all_at_once_with_lines_to_paste() {
    let outputs = || {
        vec![
            output("a b", Element::Float, &[]),
            output("a-b", Element::Float, &[]),
            output("id", Element::Float, &[]),
            scores("p", &["x y", "x-y"], true),
        ]
    };
    let problems = refused("", outputs());
    assert_eq!(
        codes(&problems),
        [("job.name_collision", "outputs.columns")]
    );
    let message = &problems[0].message;
    for part in [
        "3 columns have several sources each",
        "`a_b` (output `a b`, output `a-b`)",
        "`id` (output `id`, the key of k.t)",
        "`p_x_y` (class `x y` of output `p`, class `x-y` of output `p`)",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let help = problems[0].help.as_deref().unwrap();
    let (_, lines) = help.split_once(":\n").unwrap();
    assert_eq!(
        made(lines, outputs()),
        [
            "a_b_2 float",
            "a_b_3 float",
            "id_2 float",
            "p_x_y_2 float",
            "p_x_y_3 float"
        ]
    );
}

#[test]
fn an_int8_version_is_told_the_lines_by_which_it_fits() {
    let version = |number, simplex, name| {
        let outputs = vec![
            output("label", Element::Int64, &[]),
            scores(name, &["no", "yes"], simplex),
        ];
        asked(number, &["mean radius", "visits"], outputs)
    };
    for names in [["probabilities", "probabilities"], ["probs", "q"]] {
        for simplex in [[true, false], [false, true]] {
            let versions = [
                version(1, simplex[0], names[0]),
                version(2, simplex[1], names[1]),
            ];
            let problems = with("", &versions).unwrap_err();
            assert_eq!(codes(&problems), [("job.version_does_not_fit", "versions")]);
            let help = problems[0].help.as_deref().unwrap();
            let (_, lines) = help.split_once(":\n").unwrap();
            let job = with(lines, &versions).unwrap();
            assert_eq!(columns(&job), ["label bigint", "p_no float", "p_yes float"]);
        }
    }
}

#[test]
fn of_several_targets_no_score_is_taken_for_another() {
    use crate::domain::evidence::{
        comparison::columns::{Compared, Score},
        evaluation::target::{Question, Target},
    };
    let heads = |positive: &str| {
        let outputs = vec![
            output("label", Element::Int64, &[2]),
            scores("churn", &["0", "1"], true),
            scores("call", &["0", "1"], true),
        ];
        with(positive, &[with_outputs(outputs)]).unwrap()
    };
    let job = heads("");
    let asked = |positive: Option<&str>, column: Option<&str>| {
        let question = Question {
            positive: positive.map(str::to_owned),
            column: column.map(str::to_owned),
            ..Question::default()
        };
        Target::resolve(&job, &[1], &question)
    };
    for positive in [None, Some("1")] {
        let problem = asked(positive, None).unwrap_err();
        assert_eq!(problem.code, "evaluate.several_scores", "{problem:?}");
    }
    let problem = asked(Some("1"), None).unwrap_err();
    let help = problem.help.as_deref();
    assert_eq!(help, Some("name one: --column p_churn_1 --positive 1"));
    assert!(asked(Some("1"), Some("p_call_1")).is_ok());
    // All of them differ or none do; a difference of one is not told as that of `positive`.
    let job = heads("[outputs]\npositive = '1'\n");
    let compared = Compared::resolve(&job, None).unwrap();
    assert!(matches!(compared.score, Score::Largest(_)), "{compared:?}");
    assert!(Compared::resolve(&job, Some("p_call_1")).is_ok());
}
