//! Expected rows, held against a job before anything is made.

use super::*;

const EXPECTED: &str = "id,label,p_setosa\n1,setosa,0.99875386\n2,versicolor,\n3,virginica,\n";

#[test]
fn expected_rows_prove_the_mapping_before_anything_is_made() {
    let flowers = Flowers::new("expect");
    flowers.sandbox.file("rows.csv", EXPECTED);
    let expect = "[expect]\nfile = \"rows.csv\" # known flowers\n";
    let swapped = format!(
        "[features]\n\"sepal length\" = \"petal_width\"\n\"sepal width\" = \"sepal_width\"\n\"petal length\" = \"petal_length\"\n\"petal width\" = \"sepal_length\"\n{expect}"
    );
    let problems = flowers.refused(&flowers.manifest(&swapped));
    assert!(
        problems.len() > 1
            && problems
                .iter()
                .all(|(code, _)| code == "job.expect_differs"),
        "{problems:?}"
    );
    let output = flowers.run("check", &flowers.manifest(&swapped)).code(2);
    let message = output.error()["message"].as_str().unwrap().to_owned();
    assert!(
        message.starts_with("id = 1: ") && message.contains("p_setosa is"),
        "{message}"
    );

    for (rows, code) in [
        ("id,label\n9,setosa\n", "job.expect_differs"),
        ("id,label\nx,setosa\n", "job.expect_rows"),
        ("label\nsetosa\n", "job.expect_rows"),
        ("id,lable\n1,setosa\n", "job.expect_rows"),
        ("id,label\n1\n", "csv.field_count"),
        ("id,label,rejected\n1,,true\n", "job.expect_differs"),
    ] {
        flowers.sandbox.file("rows.csv", rows);
        assert_eq!(
            flowers.refused(&flowers.manifest(expect))[0].0,
            code,
            "{rows}"
        );
    }

    flowers.sandbox.file("rows.csv", EXPECTED);
    flowers.create(&flowers.manifest(expect));
    let stored = flowers.rows_of("jobs")[0]["manifest"]
        .as_text()
        .unwrap()
        .clone();
    assert!(
        stored.contains("# known flowers\nrows = '''\nid,label,p_setosa\n"),
        "{stored}"
    );
}

#[test]
fn expected_rows_are_held_to_a_job_that_cql_wrote_as_well() {
    let flowers = Flowers::new("expectcql");
    let manifest = flowers.manifest("[expect]\nrows = \"\"\"\nid,label\n1,virginica\n\"\"\"\n");
    flowers
        .sandbox
        .cqlsh(&format!(
            "INSERT INTO {}.jobs (job, revision, manifest) VALUES ('{}', 1, '{manifest}');",
            flowers.sandbox.keyspace, flowers.job
        ))
        .ok();
    flowers.sandbox.json(&["worker", "--once"]).ok();
    let status = flowers.status();
    assert_eq!(status["state"], "invalid");
    assert_eq!(
        status["problems"][0]
            .as_str()
            .unwrap()
            .split(" (")
            .next()
            .unwrap(),
        "job.expect_differs: expect, line 2: id = 1: label is setosa, expected virginica"
    );
    assert!(flowers.target().is_empty(), "made before it was proven");
    let error = flowers
        .sandbox
        .json(&["score", &flowers.job])
        .code(2)
        .error();
    assert_eq!(error["code"], "job.invalid");
}
