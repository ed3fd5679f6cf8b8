//! The documentation is executed: what it shows is what helenus takes.

use std::{fs, path::Path};

use helenus::domain::job::manifest::Manifest;

use crate::support::{Model, Sandbox, cli};

/// A fenced block of a Markdown file: the words behind the fence, its text, its first line.
struct Block {
    words: String,
    text: String,
    place: String,
}

/// All fenced blocks of a file of the repository, in order.
fn blocks(file: &str) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match (line.strip_prefix("```"), &mut open) {
            (Some(words), None) => {
                open = Some(Block {
                    words: words.trim().to_owned(),
                    text: String::new(),
                    place: format!("{file}:{number}"),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{file}: a block never ends");
    blocks
}

#[test]
fn every_manifest_shown_is_one_and_every_fragment_fits_into_one() {
    let mut seen = 0;
    let pages = [
        "docs/manifest.md",
        "docs/manifest-expect.md",
        "docs/manifest-features.md",
        "docs/manifest-documents.md",
        "docs/documents.md",
        "docs/manifest-outputs.md",
        "docs/manifest-rules.md",
        "docs/drift.md",
    ];
    for block in pages.into_iter().flat_map(blocks) {
        let text = match block.words.as_str() {
            "toml" => block.text,
            "toml fragment" => {
                let source = match block.text.contains("[source]") {
                    true => "",
                    false => "source = { table = 'k.t' }\n",
                };
                format!(
                    "job = 'j'\nmodel = 'm'\nversions = [1]\n{source}{}",
                    block.text
                )
            }
            _ => continue,
        };
        if let Err(problems) = Manifest::parse(&text) {
            panic!("{}: {problems:#?}", block.place);
        }
        seen += 1;
    }
    assert!(seen > 8, "{seen} manifests");
}

/// A world as the documentation supposes it: `clinic.biopsies` scored by versions 1 and 2 of the
/// model `tumour`, version 1 the champion, one row that no model can score. Made with rows alone.
struct World {
    sandbox: Sandbox,
    run: String,
}

const MANIFEST: &str = r#"
job = "tumour"
model = "tumour"
versions = [1, 2]
[source]
table = "clinic.biopsies"
[outputs]
positive = "malignant"
[outputs.columns]
p_malignant = { output = "probabilities", class = "malignant", index = true }
[rules]
max_rejected = 5
"#;

impl World {
    fn new(test: &str) -> Self {
        let mut world = Self {
            sandbox: Sandbox::migrated(test),
            run: String::new(),
        };
        Model::named("breast_cancer_lr").load(&world.sandbox);
        world.cql("INSERT INTO clinic.biopsies (id, mean_radius) VALUES (9001, 14.2)");
        world.register(1, "breast_cancer_lr");
        world.register(2, "breast_cancer_lgbm");
        world.cql(&format!(
            "INSERT INTO helenus.jobs (job, revision, manifest, created_by) VALUES ('tumour', 1, $${MANIFEST}$$, 'ada') IF NOT EXISTS"
        ));
        world.cql("INSERT INTO helenus.alias_requests (day, id, action, model, alias, version) VALUES (toDate(now()), now(), 'promote', 'tumour', 'champion', 1)");
        world.cql("INSERT INTO helenus.run_requests (day, id, job) VALUES (toDate(now()), now(), 'tumour')");
        world.worker();
        let run = world
            .sandbox
            .row("SELECT run_id, state, reason FROM {helenus}.runs WHERE job = 'tumour'");
        assert_eq!(run["state"].as_text().unwrap(), "succeeded", "{run:?}");
        world.run = run["run_id"].as_timeuuid().unwrap().to_string();
        world
    }

    /// As the page says it, in this sandbox's words.
    fn here(&self, text: &str) -> String {
        text.replace("helenus.", &format!("{}.", self.sandbox.keyspace))
            .replace("clinic.", &format!("{}.", self.sandbox.data))
            .replace("4e1e5305-c64f-11f0-8000-0123456789ab", &self.run)
    }

    fn cql(&self, statement: &str) {
        self.sandbox.cql(&self.here(statement));
    }

    fn worker(&self) {
        let said = self.sandbox.json(&["worker", "--once"]).ok().json();
        assert_eq!(said["warnings"], serde_json::json!([]), "{said}");
    }

    /// Registers a version by the program that docs/cql-register.md shows.
    fn register(&self, version: i32, folder: &str) {
        let model = Model::named(folder);
        for file in ["model.onnx", "features.txt"] {
            fs::copy(model.folder.join(file), self.sandbox.directory().join(file)).unwrap();
        }
        let shown = blocks("docs/cql-register.md")
            .into_iter()
            .find(|block| block.words == "python");
        let program = self.here(&shown.expect("a program").text);
        let named = format!("\"tumour\", {version},");
        assert!(program.contains("\"tumour\", 3,"));
        self.sandbox
            .python(&program.replace("\"tumour\", 3,", &named), &[])
            .ok();
    }

    /// Executes a page from top to bottom.
    fn follow(&self, page: &str) -> usize {
        let mut executed = 0;
        for block in blocks(page) {
            match block.words.as_str() {
                "cql" => executed += self.statements(&block),
                "console" => {
                    for line in block.text.lines() {
                        assert_eq!(line, "$ helenus worker --once", "{}", block.place);
                        self.worker();
                    }
                }
                "python" => self.register(3, "breast_cancer_lr"),
                _ => {}
            }
        }
        executed
    }

    fn statements(&self, block: &Block) -> usize {
        let text = self.here(&block.text);
        let statements: Vec<&str> = text
            .split(";\n")
            .map(str::trim)
            .filter(|statement| !statement.is_empty())
            .collect();
        for statement in &statements {
            let rows = self.sandbox.rows(statement);
            if statement.contains("-- returns rows") {
                assert!(!rows.is_empty(), "{}: no rows: {statement}", block.place);
            }
        }
        statements.len()
    }
}

#[test]
fn what_the_pages_tell_cql_clients_to_do_works() {
    let world = World::new("docs");
    let pages = ["cql", "cql-runs", "cql-aliases", "cql-register"];
    let executed = pages.map(|page| world.follow(&format!("docs/{page}.md")));
    assert!(executed.into_iter().sum::<usize>() > 25);
    assert!(world.follow("README.md") > 4);
    assert!(world.follow("docs/compare.md") > 3);
    assert!(world.follow("docs/evaluate.md") + world.follow("docs/evaluation-results.md") > 2);
    assert!(world.follow("docs/alarms.md") > 2);
    assert!(world.follow("docs/streams.md") > 4);
    assert!(world.follow("docs/retraining.md") > 3);
    assert!(world.follow("docs/triggers.md") + world.follow("docs/pending-rows.md") > 9);
    assert!(world.follow("docs/drift.md") > 3);
    world.worker();
    let states: Vec<String> = world
        .sandbox
        .rows("SELECT name, state FROM {helenus}.trigger_status")
        .iter()
        .map(|row| {
            ["name", "state"]
                .map(|name| row[name].as_text().unwrap().clone())
                .join(" ")
        })
        .collect();
    assert_eq!(states.len(), 6);
    assert!(
        !states.iter().any(|state| state.ends_with("invalid")),
        "{states:?}"
    );
    let row = world
        .sandbox
        .row("SELECT state, problems FROM {helenus}.job_status WHERE job = 'tumour_again'");
    assert_eq!(row["state"].as_text().unwrap(), "ready", "{row:?}");
    let row = world.sandbox.row(
        "SELECT state, reason FROM {helenus}.admissions WHERE name = 'tumour' AND version = 3",
    );
    assert_eq!(row["state"].as_text().unwrap(), "ready", "{row:?}");
    let asked = ["run_requests", "alias_requests"].map(|table| {
        world
            .sandbox
            .rows(&format!("SELECT id FROM {{helenus}}.{table}"))
            .len()
    });
    let answers = world
        .sandbox
        .rows("SELECT id, answer, reason FROM {helenus}.answers");
    assert_eq!(answers.len(), asked[0] + asked[1]);
    for answer in answers {
        let said = answer["answer"].as_text().unwrap().as_str();
        let reason = answer.get("reason").and_then(|reason| reason.as_text());
        // Refused are those that meet the run or the alias that stands in their way, not those
        // that are written wrongly.
        let in_the_way = [
            "is open over",
            "does not exist",
            "is `champion`",
            "has ended",
        ];
        assert!(
            said != "refused"
                || reason.is_some_and(|reason| in_the_way.iter().any(|why| reason.contains(why))),
            "{answer:?}"
        );
    }
}

#[test]
fn the_page_about_experiments_works_by_rows_alone() {
    let world = World::new("docs_experiments");
    let manifest = MANIFEST.replace("[1, 2]", "[\"champion\", 1, 2]");
    world.cql(&format!(
        "INSERT INTO helenus.jobs (job, revision, manifest, created_by) VALUES ('tumour', 2, $${manifest}$$, 'ada') IF NOT EXISTS"
    ));
    world.cql(
        "CREATE TABLE clinic.outcomes (id int PRIMARY KEY, diagnosis text, known_at timestamp)",
    );
    world.worker();
    assert_eq!(world.follow("docs/experiments.md"), 4);
    let state = || {
        let row = world
            .sandbox
            .row("SELECT state, reason FROM {helenus}.experiment_status");
        row["state"].as_text().unwrap().clone()
    };
    assert_eq!(state(), "running");
    world.worker();
    assert_eq!(state(), "stopped");
}

#[test]
fn the_configuration_files_shown_are_taken() {
    let sandbox = Sandbox::empty("docs_config");
    let secret = sandbox.file("secret", "hunter2\n").display().to_string();
    let shown: Vec<Block> = blocks("docs/operations.md")
        .into_iter()
        .filter(|block| block.words == "toml")
        .collect();
    assert!(!shown.is_empty());
    for block in shown {
        let text = block.text.replace("/run/secrets/helenus", &secret);
        let file = sandbox.file("shown.toml", text).display().to_string();
        let said = sandbox.helenus(&["config", "--config", &file]).ok();
        assert!(said.stdout.contains("helenus_worker"), "{}", block.place);
    }
}

/// Commands as the pages write them, `helenus run list tumour --limit 5`: in code spans, in indented
/// blocks, behind prompts.
fn commands(page: &str) -> Vec<(String, Vec<String>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(path).unwrap();
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let shown = line.strip_prefix("$ ").or(line.strip_prefix("    "));
        let spans = line.split('`').skip(1).step_by(2);
        for span in spans.chain(shown.map(str::trim_start)) {
            let Some(words) = span.strip_prefix("helenus ") else {
                continue;
            };
            let words = words.split("  ").next().unwrap_or_default();
            let words = words.split_whitespace().map(str::to_owned).collect();
            found.push((format!("{page}:{number}"), words));
        }
    }
    found
}

#[test]
fn the_commands_and_options_that_the_pages_name_exist() {
    let helenus = |words: &[&str]| {
        let mut command = cli::helenus(&std::env::temp_dir(), &[]);
        command.args(words);
        cli::run(command)
    };
    let mut helps = std::collections::BTreeMap::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut pages = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            pages.push(format!("docs/{name}"));
        }
    }
    let mut checked = 0;
    for (place, words) in pages.iter().flat_map(|page| commands(page)) {
        let is_word = |word: &&String| word.bytes().all(|byte| byte.is_ascii_lowercase());
        let mut command: Vec<&str> = words
            .iter()
            .take_while(is_word)
            .map(String::as_str)
            .collect();
        let length = match command.first() {
            Some(&"job") if command.get(1) == Some(&"target") => 3,
            Some(&"drift") if command.get(1) == Some(&"baseline") => 2,
            Some(
                &("model" | "job" | "run" | "role" | "token" | "trigger" | "gate" | "experiment"
                | "alarm" | "retraining"),
            ) => 2,
            Some(_) => 1,
            // Prose, or an option of helenus itself.
            None => continue,
        };
        command.truncate(length);
        let help = helps.entry(command.join(" ")).or_insert_with(|| {
            let said = helenus(&[&command[..], &["--help"]].concat());
            assert_eq!(said.code, Some(0), "{place}: {command:?}: {}", said.stderr);
            said.stdout
        });
        for word in words.iter().filter(|word| word.starts_with("--")) {
            let option = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            assert!(
                help.contains(option),
                "{place}: {command:?} has no {option}"
            );
        }
        checked += 1;
    }
    assert!(checked > 30, "{checked}");
}
