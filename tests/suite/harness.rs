//! What the tests stand on, itself tested.

use crate::support::{Model, Sandbox};

#[test]
fn the_loader_brings_every_models_rows() {
    for name in Model::all() {
        // Some models share a table: each gets a keyspace of its own.
        let sandbox = Sandbox::shared(&name);
        assert!(Model::named(&name).load(&sandbox) > 0, "{name}");
    }
}

#[test]
fn cqlsh_and_python_reach_the_same_rows() {
    let sandbox = Sandbox::shared("tools");
    sandbox.cql("CREATE TABLE {data}.t (id int PRIMARY KEY, word text)");
    sandbox
        .cqlsh("INSERT INTO {data}.t (id, word) VALUES (1, 'one')")
        .ok();
    let program = "session.execute(f\"INSERT INTO {data}.t (id, word) VALUES (2, %s)\", [sys.argv[1]])\nprint(len(list(session.execute(f'SELECT * FROM {data}.t'))))";
    let said = sandbox.python(program, &["two"]).ok();
    assert_eq!(said.stdout.trim(), "2");
    let row = sandbox.row("SELECT word FROM {data}.t WHERE id = 2");
    assert_eq!(row["word"].as_text().unwrap(), "two");
}
