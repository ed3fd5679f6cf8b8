use super::*;

fn inputs() -> Vec<Input> {
    let input = |name: &str, element, dims: &[usize]| Input {
        name: name.to_owned(),
        element,
        dims: dims.to_vec(),
    };
    vec![
        input("X", Element::Float, &[2]),
        input("city", Element::String, &[1]),
        input("grid", Element::Int64, &[1, 2]),
    ]
}

fn features() -> Vec<String> {
    ["mean radius", "area", "g0", "g1"]
        .map(str::to_owned)
        .to_vec()
}

fn outputs() -> Vec<Output> {
    let output = |name: &str, public: &str, element, dims: &[usize]| Output {
        name: name.to_owned(),
        public_name: public.to_owned(),
        element,
        dims: dims.to_vec(),
        simplex: false,
        classes: None,
        observed: Default::default(),
    };
    vec![
        output("label", "label", Element::String, &[]),
        output("probabilities", "output_probability", Element::Float, &[2]),
    ]
}

fn problems<T>(result: Result<T, Vec<Problem>>) -> Vec<(String, String)> {
    let Err(problems) = result else {
        panic!("accepted")
    };
    problems
        .into_iter()
        .map(|problem| (problem.code, problem.place.unwrap_or_default()))
        .collect()
}

fn one(code: &str, place: &str) -> Vec<(String, String)> {
    vec![(code.to_owned(), place.to_owned())]
}

#[test]
fn features_and_places_fill_the_same_tensors() {
    let by_feature =
        "in.area,in.mean radius,in.city,in.g1,in.g0,out.label\n2,1,\"\",4,3,a\nNaN,-inf,x,6,5,b\n";
    let by_place = "in.X[0],in.X[1],in.city,in.grid[0],in.grid[1],out.label\n1,2,\"\",3,4,a\n-inf,NaN,x,5,6,b\n";
    for text in [by_feature, by_place] {
        let golden = Golden::parse(text).unwrap();
        let batch = golden.inputs(&inputs(), &features()).unwrap();
        let TensorData::Float(x) = &batch.inputs[0] else {
            panic!()
        };
        assert_eq!(
            (batch.rows, x[0], x[1], x[2]),
            (2, 1.0, 2.0, f32::NEG_INFINITY)
        );
        assert!(x[3].is_nan());
        assert_eq!(batch.inputs[1], TensorData::String(["", "x"].into()));
        assert_eq!(batch.inputs[2], TensorData::Int64(vec![3, 4, 5, 6]));
    }
}

#[test]
fn outputs_go_by_either_name_and_by_place() {
    let golden = Golden::parse(
        "in.X[0],out.label,out.output_probability[1],out.probabilities[0]\n1,a,0.25,0.75\n",
    )
    .unwrap();
    let expected = golden.expected(&outputs()).unwrap();
    let places: Vec<_> = expected.iter().map(|e| (e.output, e.offset)).collect();
    assert_eq!(places, [(0, 0), (1, 1), (1, 0)]);
    assert_eq!(expected[1].values, TensorData::Double(vec![0.25]));
    assert_eq!(golden.places_of("X"), Some(1));
    assert_eq!(golden.places_of("city"), None);
}

#[test]
fn a_file_that_says_nothing_is_refused() {
    assert_eq!(
        problems(Golden::parse("in.X[0]\n1\n")),
        one("golden.nothing_expected", "line 1")
    );
    assert_eq!(
        problems(Golden::parse("in.X[0],out.label\n")),
        one("golden.empty", "line 2")
    );
    assert_eq!(
        problems(Golden::parse("X,out.label\n1,a\n")),
        one("golden.column", "line 1")
    );
    assert_eq!(
        problems(Golden::parse("in.X[0],out.label\n1\n")),
        one("csv.field_count", "line 2, column 1")
    );
}

#[test]
fn every_place_wants_one_column() {
    let inputs_of = |text: &str| {
        Golden::parse(text)
            .unwrap()
            .inputs(&inputs(), &features())
            .map(|_| ())
    };
    assert_eq!(
        problems(inputs_of(
            "in.area,in.city,in.g0,in.g1,out.label\n1,x,1,2,a\n"
        )),
        one("golden.missing_input", "line 1")
    );
    assert_eq!(
        problems(inputs_of(
            "in.area,in.X[1],in.X[0],in.city,in.g0,in.g1,out.label\n1,1,1,x,1,2,a\n"
        )),
        one("golden.column", "line 1")
    );
    assert_eq!(
        problems(inputs_of(
            "in.X[0],in.X[1],in.X[2],in.city,in.g0,in.g1,out.label\n1,1,1,x,1,2,a\n"
        )),
        one("golden.unknown_input", "line 1")
    );
}

#[test]
fn values_that_do_not_fit_are_placed() {
    let header = "in.X[0],in.X[1],in.city,in.grid[0],in.grid[1],out.label";
    for (row, place) in [
        ("1,,x,1,2,a", "line 2, column 3"),
        ("1,one,x,1,2,a", "line 2, column 3"),
        ("1,1e39,x,1,2,a", "line 2, column 3"),
        ("1,2,,1,2,a", "line 2, column 5"),
        ("1,2,x,1.5,2,a", "line 2, column 7"),
    ] {
        let golden = Golden::parse(&format!("{header}\n{row}\n")).unwrap();
        let found = golden.inputs(&inputs(), &features()).map(|_| ());
        assert_eq!(problems(found), one("golden.value", place), "{row}");
    }
}

#[test]
fn unknown_outputs_are_refused() {
    for name in ["variable", "probabilities", "probabilities[2]"] {
        let golden = Golden::parse(&format!("in.X[0],out.{name}\n1,1\n")).unwrap();
        let found = golden.expected(&outputs()).map(|_| ());
        assert_eq!(
            problems(found),
            one("golden.unknown_output", "line 1"),
            "{name}"
        );
    }
}
