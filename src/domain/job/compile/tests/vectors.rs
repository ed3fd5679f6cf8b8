//! Vector and list columns in wide inputs.

use super::*;

const VECTOR: &str = "[features]\nlimit = 'limit'\nv = 'v'\navg = 'avg'\n";

fn source() -> TableSchema {
    table(
        "t",
        &[
            "limit: float",
            "v: vector<float, 3>",
            "avg: double",
            "ids: list<bigint>",
        ],
    )
}

fn version(width: usize, names: &[&str]) -> Asked {
    let inputs = vec![input("X", Element::Float, &[width])];
    let mut ready = ready(1, inputs, vec![output("y", Element::Float, &[])]);
    ready.admitted.feature_names = names.iter().map(|&name| name.into()).collect();
    Asked {
        ready,
        by: vec![VersionWish::Number(1)],
        artifacts: Default::default(),
    }
}

fn over(manifest: &str, version: Asked) -> Result<CompiledJob, Vec<Problem>> {
    let manifest = Manifest::parse(&format!("{HEAD}{manifest}")).unwrap();
    compile(&manifest, &source(), None, None, &[version])
}

fn places(job: &CompiledJob) -> Vec<(&str, usize)> {
    let places = job.versions[0].inputs[0].places.iter();
    places
        .map(|place| (place.feature.as_str(), place.width))
        .collect()
}

fn help(problem: &Problem) -> &str {
    problem.help.as_deref().unwrap_or_default()
}

#[test]
fn a_name_that_carries_a_width_takes_a_vector_beside_single_values() {
    let carried = version(5, &["limit", "v[3]", "avg"]);
    for manifest in [VECTOR, ""] {
        let job = over(manifest, carried.clone()).unwrap();
        assert_eq!(places(&job), [("limit", 1), ("v", 3), ("avg", 1)]);
        assert_eq!(job.warnings, Vec::<String>::new());
    }
    let list = VECTOR.replace("'v'", "{ column = 'ids', width = 3 }");
    assert!(over(&list, carried).is_ok());
    // The sum may be right where the parts are not.
    let swapped = VECTOR.replace("avg = 'avg'", "avg = { column = 'ids', width = 2 }");
    let problems = over(&swapped, version(5, &["limit", "v[2]", "avg[2]"])).unwrap_err();
    assert_eq!(codes(&problems)[0], ("job.width", "features.v"));
    let one = VECTOR
        .replace("v = 'v'", "v = 'avg'")
        .replace("avg = 'avg'\n", "");
    let problems = over(&one, version(4, &["limit", "v[3]"])).unwrap_err();
    assert_eq!(codes(&problems)[0], ("job.width", "features.v"));
}

#[test]
fn names_of_a_vectors_places_are_answered_with_the_name_that_carries_its_width() {
    let spelled = version(5, &["limit", "v0", "v1", "v2", "avg"]);
    let problems = over(VECTOR, spelled.clone()).unwrap_err();
    assert_eq!(problems[0].code, "job.feature_missing");
    assert!(help(&problems[0]).contains("`v[3]`"), "{problems:?}");
    // The other cure that it names.
    let wide = format!("{VECTOR}[wide.X]\nfor_versions = [1]\norder = ['limit', 'v', 'avg']\n");
    let job = over(&wide, spelled.clone()).unwrap();
    assert_eq!(places(&job), [("limit", 1), ("v", 3), ("avg", 1)]);
    assert_eq!(job.warnings, Vec::<String>::new());
    let moved = wide.replace("'v', 'avg'", "'avg', 'v'");
    let problems = over(&moved, spelled).unwrap_err();
    assert_eq!(codes(&problems)[0], ("job.order_contradicts", "wide.X"));
}

#[test]
fn a_column_that_could_fill_a_wide_input_is_named_in_the_cure() {
    let unnamed = || version(3, &[]);
    for manifest in ["", VECTOR] {
        let problems = over(manifest, unnamed()).unwrap_err();
        assert_eq!(codes(&problems)[0], ("job.order_unknown", "wide.X"));
        let cure = "write in [features]: X = \"v\" or X = { column = \"ids\", width = 3 }";
        assert!(help(&problems[0]).contains(cure), "{problems:?}");
    }
    for line in [
        "X = 'v'",
        "X = { column = 'ids', width = 3, cast = 'lossy' }",
    ] {
        for names in [&[][..], &["f0", "f1", "f2"]] {
            let job = over(&format!("[features]\n{line}\n"), version(3, names)).unwrap();
            assert_eq!(places(&job), [("X", 3)], "{names:?}");
        }
    }
    // Known names are not passed over, nor is a column of another width taken.
    let known = "[features]\nX = 'v'\nf0 = 'limit'\n";
    assert!(over(known, version(3, &["f0", "f1", "f2"])).is_err());
    assert!(over("[features]\nX = 'v'\n", version(2, &["f0", "f1"])).is_err());
}

#[test]
fn lists_within_lists_are_to_be_flattened() {
    let nested = table(
        "t",
        &[
            "m: frozen<list<frozen<list<float>>>>",
            "w: vector<vector<float, 2>, 2>",
        ],
    );
    for line in ["X = { column = 'm', width = 4 }", "X = 'w'"] {
        let text = format!("{HEAD}[features]\n{line}\n");
        let manifest = Manifest::parse(&text).unwrap();
        let problems = compile(&manifest, &nested, None, None, &[version(4, &[])]).unwrap_err();
        let told = problems.iter().any(|problem| {
            problem.code == "job.feature_type" && help(problem).starts_with("store one flat list")
        });
        assert!(told, "{line}: {problems:?}");
    }
}

#[test]
fn padding_is_for_lists_and_part_of_the_mapping() {
    let padded = |pad: &str| {
        let line = format!("[features]\nX = {{ column = 'ids', width = 3{pad} }}\n");
        over(&line, version(3, &[]))
    };
    let prints: Vec<_> = [
        "",
        ", pad = 0",
        ", pad = 1",
        ", pad = 'nan'",
        ", pad = 'reject'",
    ]
    .map(|pad| padded(pad).unwrap().versions[0].hash_prefix)
    .into();
    assert_eq!(prints[0], prints[4]);
    let distinct: std::collections::BTreeSet<_> = prints[..4].iter().collect();
    assert_eq!(distinct.len(), 4);
    let problems = padded(", pad = 'none'").unwrap_err();
    assert_eq!(codes(&problems)[0], ("job.null_value", "features.X.pad"));
    let idle = over(
        "[features]\nX = { column = 'v', pad = 0 }\n",
        version(3, &[]),
    )
    .unwrap_err();
    assert_eq!(codes(&idle)[0], ("job.idle_option", "features.X.pad"));
}

#[test]
fn how_texts_are_changed_is_part_of_the_mapping() {
    let texts = table("t", &["word: text", "words: list<text>"]);
    let print = |line: &str, width: usize| {
        let inputs = vec![input("X", Element::String, &[width])];
        let version = Asked {
            ready: ready(1, inputs, vec![output("y", Element::Float, &[])]),
            by: vec![VersionWish::Number(1)],
            artifacts: Default::default(),
        };
        let manifest = Manifest::parse(&format!("{HEAD}[features]\nX = {line}\n")).unwrap();
        let job = compile(&manifest, &texts, None, None, &[version]).unwrap();
        job.versions[0].hash_prefix
    };
    let rules = crate::domain::job::TextRule::ALL.map(|(rule, _)| rule);
    let prints: std::collections::BTreeSet<_> = rules
        .iter()
        .map(|rule| print(&format!("{{ column = 'word', text = '{rule}' }}"), 1))
        .collect();
    assert_eq!(prints.len(), rules.len());
    let list = "{ column = 'words', width = 2, text = 'lower', pad = '' }";
    assert_ne!(print(list, 2), print(&list.replace(", pad = ''", ""), 2));
}
