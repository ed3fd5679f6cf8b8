//! The schema: made once, whoever and however many make it.

use crate::support::Sandbox;

/// Everything that readers and writers of helenus's keyspace can rely on, in one text.
pub fn schema(sandbox: &Sandbox) -> String {
    let mut text = String::new();
    let tables = sandbox.rows("SELECT table_name, compaction, compression, default_time_to_live, gc_grace_seconds FROM system_schema.tables WHERE keyspace_name = '{helenus}'");
    for table in tables {
        let field = |name: &str| plain(&table[name]);
        let name = field("table_name");
        let compressed = !field("compression").contains("enabled=false");
        text.push_str(&format!(
            "{name}: {}, compressed {compressed}, default_time_to_live {}, gc_grace_seconds {}\n",
            strategy(&table["compaction"]),
            field("default_time_to_live"),
            field("gc_grace_seconds"),
        ));
        let mut columns: Vec<String> = sandbox
            .rows(&format!("SELECT column_name, kind, position, clustering_order, type FROM system_schema.columns WHERE keyspace_name = '{{helenus}}' AND table_name = '{name}'"))
            .iter()
            .map(|column| {
                let field = |name: &str| plain(&column[name]);
                let rank = match field("kind").as_str() {
                    "partition_key" => 0,
                    "clustering" => 1,
                    "static" => 2,
                    _ => 3,
                };
                let position = match rank {
                    0 | 1 => format!(" {} {}", field("position"), field("clustering_order")),
                    _ => String::new(),
                };
                format!("{rank}{position}  {} {} ({})", field("column_name"), field("type"), field("kind"))
            })
            .collect();
        columns.sort();
        for column in columns {
            text.push_str(&format!("{}\n", &column[1..]));
        }
    }
    text
}

/// The compaction strategy with what helenus chose; the rest is filled in by Cassandra.
fn strategy(options: &scylla::value::CqlValue) -> String {
    let chosen: Vec<String> = options
        .as_map()
        .unwrap()
        .iter()
        .map(|(name, value)| (plain(name), plain(value)))
        .filter(|(name, _)| name == "class" || name.starts_with("compaction_window"))
        .map(|(_, value)| value.rsplit('.').next().unwrap().to_owned())
        .collect();
    chosen.join(" ")
}

fn plain(value: &scylla::value::CqlValue) -> String {
    use scylla::value::CqlValue;
    match value {
        CqlValue::Text(text) => text.clone(),
        CqlValue::Map(entries) => entries
            .iter()
            .map(|(name, value)| format!("{}={} ", plain(name), plain(value)))
            .collect(),
        CqlValue::Int(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_migrated_schema_is_the_golden_one() {
    let sandbox = Sandbox::shared("golden");
    let schema = schema(&sandbox);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/schema.txt");
    if std::env::var_os("HELENUS_TEST_BLESS").is_some() {
        std::fs::write(path, &schema).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        schema, golden,
        "HELENUS_TEST_BLESS=1 writes tests/golden/schema.txt anew"
    );
}

/// Files of `cql/`.
fn files() -> usize {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/cql")).unwrap();
    // Beside them lies baseline.cql.
    files.count() - 1
}

#[test]
fn a_second_migration_changes_nothing() {
    let sandbox = Sandbox::empty("twice");
    let first = sandbox.json(&["migrate"]).ok();
    assert_eq!(first.result()["created_keyspace"], true);
    assert_eq!(first.result()["applied"].as_array().unwrap().len(), files());
    assert!(
        first.json()["warnings"][0]
            .as_str()
            .unwrap()
            .contains("one replica"),
        "{first:?}"
    );
    let second = sandbox.json(&["migrate"]).ok();
    assert_eq!(second.result()["applied"].as_array().unwrap().len(), 0);
    assert_eq!(
        second.result()["schema_version"],
        first.result()["schema_version"]
    );
}

#[test]
fn four_processes_at_once_make_one_schema() {
    let sandbox = Sandbox::empty("four");
    let processes: Vec<_> = (0..4)
        .map(|_| sandbox.start(&["migrate", "--output", "json"]))
        .collect();
    let applied: usize = processes
        .into_iter()
        .map(|process| {
            process.finish().ok().result()["applied"]
                .as_array()
                .unwrap()
                .len()
        })
        .sum();
    assert_eq!(applied, files(), "each file is applied by one of them");
    assert_eq!(schema(&sandbox), schema(&Sandbox::shared("four")));
    let lease = sandbox.row("SELECT * FROM {helenus}.leases WHERE name = 'ddl'");
    assert!(
        !lease.contains_key("owner"),
        "the lease was given back: {lease:?}"
    );
}

#[test]
fn what_died_half_way_is_completed_by_the_next() {
    let sandbox = Sandbox::empty("half_way");
    let dying = sandbox.start(&["migrate", "--lease-seconds", "2"]);
    // Somewhere between the first table and the last row: wherever it is, it must not matter.
    let tables = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{helenus}'";
    while sandbox.rows(tables).len() < 6 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    dying.kill();
    assert!(
        sandbox
            .rows("SELECT * FROM {helenus}.schema_migrations WHERE bucket = 'cql'")
            .len()
            < files(),
        "it was killed too late"
    );
    let refused = sandbox.json(&["config"]).ok();
    assert_eq!(
        refused.result()["settings"]["keyspace"]["value"],
        sandbox.keyspace.as_str()
    );
    sandbox.helenus(&["migrate"]).ok();
    assert_eq!(schema(&sandbox), schema(&Sandbox::shared("half_way")));
    assert_eq!(
        sandbox
            .rows("SELECT * FROM {helenus}.schema_migrations WHERE bucket = 'cql'")
            .len(),
        files()
    );
}

#[test]
fn the_baseline_is_what_the_numbered_files_come_to() {
    let sandbox = Sandbox::empty("numbered");
    sandbox.cql("CREATE KEYSPACE {helenus} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1} AND durable_writes = false");
    let new = Sandbox::shared("numbered");
    let compaction = "SELECT compaction FROM system_schema.tables WHERE keyspace_name = '{helenus}' AND table_name = 'model_chunks'";
    let class = strategy(&new.row(compaction)["compaction"]);
    // As an older helenus leaves it when it dies after its second table.
    sandbox.cql(&format!("CREATE TABLE {{helenus}}.model_chunks (sha256 blob, chunk int, data blob, checksum blob, PRIMARY KEY ((sha256, chunk))) WITH compression = {{'enabled': false}} AND compaction = {{'class': '{class}'}}"));
    sandbox.helenus(&["migrate"]).ok();
    let begun = "SELECT * FROM {helenus}.schema_migrations WHERE bucket = 'baseline'";
    assert!(sandbox.rows(begun).is_empty());
    assert_eq!(new.rows(begun).len(), 1);
    assert_eq!(schema(&sandbox), schema(&new));
}

#[test]
fn an_edited_applied_file_is_refused() {
    let sandbox = Sandbox::migrated("edited");
    sandbox.cql("UPDATE {helenus}.schema_migrations SET checksum = 0x00 WHERE bucket = 'cql' AND number = 2");
    let refused = sandbox.json(&["migrate"]).code(3);
    assert_eq!(refused.error()["code"], "schema.edited");
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("002_models.cql")
    );
}

#[test]
fn a_newer_database_is_refused_by_migrate_too() {
    let sandbox = Sandbox::migrated("newer_files");
    sandbox.cql("INSERT INTO {helenus}.schema_migrations (bucket, number, name) VALUES ('cql', 99, '099_later.cql')");
    assert_eq!(
        sandbox.json(&["migrate"]).code(3).error()["code"],
        "schema.newer"
    );
    let sandbox = Sandbox::migrated("newer_settings");
    sandbox.cql("UPDATE {helenus}.settings SET schema_version = 99 WHERE id = 'helenus'");
    assert_eq!(
        sandbox.json(&["migrate"]).code(3).error()["code"],
        "schema.newer"
    );
}

#[test]
fn settings_are_chosen_once() {
    let sandbox = Sandbox::migrated_with("settings", &["--lease-seconds", "3"]);
    assert_eq!(
        sandbox
            .json(&["migrate", "--lease-seconds", "3"])
            .ok()
            .result()["lease_seconds"],
        3
    );
    let refused = sandbox.json(&["migrate", "--lease-seconds", "4"]).code(4);
    assert_eq!(refused.error()["code"], "schema.settings");
    let refused = sandbox
        .json(&[
            "migrate",
            "--serial",
            "local",
            "--control-dc",
            "datacenter1",
        ])
        .code(4);
    assert_eq!(refused.error()["code"], "schema.settings");
}

#[test]
fn a_replication_that_cassandra_refuses_is_the_callers_mistake() {
    let sandbox = Sandbox::empty("replication");
    for replication in [
        "{'class': 'NoSuchStrategy', 'replication_factor': 1}",
        "three",
        "{'class': ",
    ] {
        let refused = sandbox
            .json(&["migrate", "--replication", replication])
            .code(2);
        assert_eq!(refused.error()["code"], "schema.replication", "{refused:?}");
    }
    let given = "{'class': 'NetworkTopologyStrategy', 'datacenter1': 1}";
    let made = sandbox.json(&["migrate", "--replication", given]).ok();
    assert_eq!(made.result()["replication"]["datacenter1"], "1");
}

#[test]
fn a_table_made_again_under_its_old_id_is_empty() {
    let sandbox = Sandbox::empty("same_id");
    let id = helenus::store::driver::script::table_id(&sandbox.data, "again");
    let create = format!("CREATE TABLE {{data}}.again (id int PRIMARY KEY) WITH id = {id}");
    sandbox.cql(&create);
    sandbox.cql("INSERT INTO {data}.again (id) VALUES (1)");
    sandbox.cql("DROP TABLE {data}.again");
    sandbox.cql(&create);
    assert!(sandbox.rows("SELECT * FROM {data}.again").is_empty());
}
