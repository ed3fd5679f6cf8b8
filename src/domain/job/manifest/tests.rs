use super::*;
use crate::domain::{
    job::{MaxRejected, similarity::OutputIndex},
    percent::Percent,
};

const CONTRACT: &str = r#"
job      = "tumour"
model    = "tumour"
versions = ["champion", "previous", 7]
[source]
table = "clinic.biopsies"
[features]
"mean radius" = "mean_radius"
"mean area"   = { column = "mean_area", cast = "float" }
visits        = { column = "visits", null = 0 }
patient_no    = { column = "patient_no", cast = "lossy" }
taken_on      = { column = "taken_at", as = "epoch_days" }
ca15_3        = { column = "ca15_3", null = "nan" }
city          = { column = "city", text = "nfc", null = "?" }
texture       = { column = "texture_vec", width = 64 }
[wide.X]
for_versions = [3]
order = ["mean radius", "mean area", "visits", "texture"]
[outputs]
table = "clinic.tumour_predictions"
positive = "malignant"
nan = "reject"
[outputs.columns]
p_malignant = { output = "probabilities", class = "malignant", index = true }
diagnosis   = { output = "label" }
[rules]
max_rejected = "0.1%"
orphans = "keep"
ttl = "0s"
[expect]
file = "tumour_expected.csv"             # source keys and expected outputs
"#;

#[test]
fn the_contracts_manifest_reads_as_it_says() {
    let manifest = Manifest::parse(CONTRACT).unwrap();
    assert_eq!(
        manifest.versions,
        [
            VersionWish::Alias("champion".into()),
            VersionWish::Alias("previous".into()),
            VersionWish::Number(7)
        ]
    );
    let features = manifest.features.as_ref().unwrap();
    assert_eq!(features["mean radius"].column, "mean_radius");
    assert_eq!(features["visits"].null, Some(NullSpec::Integer(0)));
    assert_eq!(features["taken_on"].epoch, Some(Epoch::Days));
    assert_eq!(features["texture"].width, Some(64));
    assert_eq!(
        manifest.outputs.columns["p_malignant"].index,
        Some(OutputIndex::Comparison)
    );
    assert_eq!(
        manifest.rules.max_rejected,
        MaxRejected::Share(Percent::ONE_IN_A_THOUSAND)
    );
    assert_eq!(manifest.target().to_string(), "clinic.tumour_predictions");
}

#[test]
fn what_is_left_out_has_its_default() {
    let text = "job = 'j'\nmodel = 'm'\nversions = [1]\nsource = { table = 'Ks.T' }";
    let manifest = Manifest::parse(text).unwrap();
    assert_eq!(manifest.features, None);
    assert_eq!(manifest.target().to_string(), "Ks.j_predictions");
    assert_eq!(manifest.rules.ttl_seconds, 0);
    assert!(!manifest.rules.delete_orphans);
    assert_eq!(manifest.outputs.nan, NanOutput::Reject);
}

#[test]
fn malformed_text_and_unknown_keys_are_placed_by_line() {
    let place = |text: &str| {
        let problems = Manifest::parse(text).unwrap_err();
        (
            problems[0].place.clone().unwrap(),
            problems[0].message.clone(),
        )
    };
    assert_eq!(place("job = 'j'\nmodel = \n").0, "line 2, column 9");
    let (at, message) = place(&CONTRACT.replace("orphans", "orfans"));
    assert_eq!(at, "line 28, column 1");
    assert!(message.contains("orfans"), "{message}");
    let (at, message) = place(&CONTRACT.replace("null = 0 }", "nulls = 0 }"));
    assert_eq!(at, "line 10, column 38");
    assert!(message.contains("nulls"), "{message}");
    let (at, _) = place(&CONTRACT.replace("versions = [\"champion\"", "versions = [0"));
    assert_eq!(at, "line 4, column 13");
    assert_eq!(
        place("job = 'j'\nmodel = 'm'\nversions = [1]\n").1,
        "missing field `source`"
    );
}

#[test]
fn all_wrong_words_are_told_at_once() {
    let text = CONTRACT
        .replace("job      = \"tumour\"", "job = \"Tumour-2\"")
        .replace("\"lossy\"", "\"losy\"")
        .replace("clinic.biopsies", "biopsies")
        .replace("ttl = \"0s\"", "ttl = \"forever\"")
        .replace("\"0.1%\"", "\"lots\"");
    let problems = Manifest::parse(&text).unwrap_err();
    let places: Vec<_> = problems.iter().filter_map(|p| p.place.as_deref()).collect();
    assert_eq!(
        places,
        [
            "job",
            "source.table",
            "features.patient_no.cast",
            "rules.max_rejected",
            "rules.ttl"
        ]
    );
    assert_eq!(problems[2].help.as_deref(), Some("did you mean \"lossy\"?"));
}

#[test]
fn expected_rows_are_inlined_and_the_rest_is_left_alone() {
    let csv = "id,label\n1,\"it's \"\"odd\"\"\"\n";
    let inlined = inline_expect(CONTRACT, csv).unwrap();
    let expect = Manifest::parse(&inlined).unwrap().expect.unwrap();
    assert_eq!(expect.rows.as_deref(), Some(csv));
    assert_eq!(expect.file.as_deref(), Some("tumour_expected.csv"));
    let comment = "# source keys and expected outputs\nrows = '''\nid,label\n";
    assert!(inlined.contains(comment), "{inlined}");
    assert!(inlined.starts_with(CONTRACT.trim_end_matches('\n')));

    let head = "job = 'j'\nmodel = 'm'\nversions = [1]\nsource = { table = 'k.t' }\n";
    for section in [
        "expect = { file = 'e.csv' } # here\n",
        "[expect]\nfile = 'e.csv'",
    ] {
        for csv in ["id\n'''\n\u{1}\\\n", "id\nit's'", "id\r\n1\r\n"] {
            let inlined = inline_expect(&format!("{head}{section}"), csv).unwrap();
            let rows = Manifest::parse(&inlined).unwrap().expect.unwrap().rows;
            assert_eq!(rows, Some(csv.replace("\r\n", "\n")));
        }
    }
    assert!(inline_expect(head, csv).is_err());
}

#[test]
fn a_stream_has_its_defaults_and_its_mistakes_are_told() {
    let head = "job = 'j'\nmodel = 'm'\nversions = ['champion', 2]\nsource = { table = 'k.t' }\n";
    let parse = |text: &str| Manifest::parse(&format!("{head}{text}"));
    let text =
        "[stream.in]\ntopic = 'in'\n[stream.out]\ntopic = 'out.{label}'\ndead_letters = 'dead'";
    let stream = parse(text).unwrap().stream;
    let (input, output) = (
        stream.input.as_ref().unwrap(),
        stream.output.as_ref().unwrap(),
    );
    assert_eq!(
        (input.is_upserted, input.is_deleting, input.is_debezium),
        (false, false, false)
    );
    assert_eq!(input.max_rejected, MaxRejected::Share(Percent::TEN));
    assert_eq!(output.topic.column(), Some("label"));
    assert_eq!((output.from_messages, output.from_runs), (true, false));
    assert_eq!(parse("").unwrap().stream.input, None);
    for (text, place) in [
        ("[stream.in]\ntopic = 'in'", "stream.in"),
        (
            "[stream.in]\ntopic = 'in'\nupsert = true",
            "stream.out.dead_letters",
        ),
        ("[stream.out]\ntopic = 'out'", "stream.out.from"),
        (
            "[stream.out]\ntopic = 'a b'\nfrom = ['runs']",
            "stream.out.topic",
        ),
        (
            "[stream.out]\ntopic = 'out'\nfrom = ['runs']\nversions = [3]",
            "stream.out.versions",
        ),
        (
            "[stream.in]\ntopic = 'in'\ndeletes = 'delete'\n[stream.out]\ntopic = 'o'\ndead_letters = 'd'",
            "stream.in.deletes",
        ),
        (
            "[stream.in]\ntopic = 'in'\n[stream.out]\ntopic = 'in'\ndead_letters = 'd'",
            "stream.out.topic",
        ),
        (
            "[stream.in]\ntopic = 'in'\nformat = 'xml'\n[stream.out]\ntopic = 'o'\ndead_letters = 'd'",
            "stream.in.format",
        ),
        (
            "[stream.in]\ntopic = 'in'\nwindow = '0s'\n[stream.out]\ntopic = 'o'\ndead_letters = 'd'",
            "stream.in.window",
        ),
    ] {
        let problems = parse(text).unwrap_err();
        assert_eq!(
            problems[0].place.as_deref(),
            Some(place),
            "{text}: {problems:?}"
        );
    }
}
