//! Passes over predictions: each entity once, whole and told apart; what was found survives.

use std::{collections::BTreeMap, sync::Arc};

use helenus::{
    codec::literal,
    domain::job::manifest::TableName,
    inspect::pass::{
        self, Begun, Entity, Fold, Found, LabelSpec, PassSpec, Running, Scope, Standing,
    },
    store::Store,
};
use serde_json::json;

use crate::support::{Model, Sandbox, biopsies::Biopsies, block_on};

/// Key -> what stands for each version, segment, label, time of the label.
type Seen = BTreeMap<String, (String, Option<String>, Option<String>, Option<String>)>;

/// Lists everything; stops the pass after so many entities.
struct Listing {
    scope: Arc<Scope>,
    running: Running,
    stop_after: usize,
}

impl Fold for Listing {
    type Part = Seen;

    fn empty(&self) -> Seen {
        Seen::new()
    }

    fn fold(&self, part: &mut Seen, entity: &Entity<'_>) {
        let job = &self.scope.job;
        let key = job.key.iter().zip(entity.key);
        let key =
            literal::condition(key.map(|(column, cell)| (&*column.name, &column.cql_type, *cell)));
        let standings = entity.versions.iter().map(|standing| match standing {
            Standing::Missing => "missing",
            Standing::Rejected(_) => "rejected",
            Standing::Stale(_) => "stale",
            Standing::Current(_) => "current",
        });
        let text =
            |cell: Option<&[u8]>| cell.map(|cell| String::from_utf8_lossy(cell).into_owned());
        let label = entity.label.and_then(|label| text(label.value));
        let time = entity.label.and_then(|label| label.time).map(hex::encode);
        let seen = (
            standings.collect::<Vec<_>>().join(" "),
            text(entity.segment),
            label,
            time,
        );
        assert!(
            part.insert(key, seen).is_none(),
            "an entity was shown twice"
        );
        if part.len() > self.stop_after {
            self.running.stop();
        }
    }

    fn merge(&self, sum: &mut Seen, part: Seen) {
        for (key, seen) in part {
            assert!(sum.insert(key, seen).is_none(), "an entity was shown twice");
        }
    }
}

struct Looking {
    store: Store,
    scope: Arc<Scope>,
}

impl Looking {
    fn at(sandbox: &Sandbox, wish: &PassSpec) -> Self {
        block_on(async {
            let store = sandbox.store().await;
            let scope = Arc::new(Box::pin(Scope::resolve(&store, wish)).await.unwrap());
            Self { store, scope }
        })
    }

    fn begin(&self) -> Begun {
        let options = json!({});
        let settings = async { Ok(b"fixed".to_vec()) };
        let begun = pass::begin(&self.store, &self.scope, "test", &options, settings);
        block_on(begun).unwrap()
    }

    fn end(&self, begun: &Begun) {
        block_on(pass::end(&self.store, begun, &[])).unwrap();
    }

    async fn run(
        &self,
        begun: &Begun,
        stop_after: usize,
    ) -> Result<Found<Seen>, helenus::failure::Failure> {
        let running = Running::new(None);
        let fold = Arc::new(Listing {
            scope: Arc::clone(&self.scope),
            running: running.clone(),
            stop_after,
        });
        pass::run(&self.store, &self.scope, begun, &fold, &running).await
    }
}

fn wish(sandbox: &Sandbox, job: &str, versions: &[&str]) -> PassSpec {
    PassSpec {
        job: job.to_owned(),
        versions: versions.iter().map(|&word| word.to_owned()).collect(),
        segment: None,
        labels: Some(LabelSpec {
            table: TableName {
                keyspace: sandbox.data.clone(),
                table: "outcomes".to_owned(),
            },
            column: "outcome".to_owned(),
            time: Some("known_at".to_owned()),
        }),
    }
}

#[test]
fn every_entity_is_shown_once_as_it_stands() {
    let biopsies = Biopsies::scored("pass");
    let sandbox = &biopsies.sandbox;
    let cql = |statement: &str| sandbox.cql(statement);
    cql("CREATE TABLE {data}.outcomes (id int PRIMARY KEY, outcome text, known_at timestamp)");
    for (id, outcome, at) in [
        (1, "'m'", "10"),
        (2, "null", "20"),
        (4, "'b'", "null"),
        (9_000, "'m'", "30"),
    ] {
        cql(&format!(
            "INSERT INTO {{data}}.outcomes (id, outcome, known_at) VALUES ({id}, {outcome}, {at})"
        ));
    }
    cql("ALTER TABLE {data}.biopsies ADD site text");
    cql("UPDATE {data}.biopsies SET site = 'north' WHERE id = 1");
    cql("DELETE FROM {data}.tumour_predictions WHERE id = 2 AND model_version = 2");
    cql("DELETE FROM {data}.biopsies WHERE id = 3");
    cql("UPDATE {data}.biopsies SET mean_radius = 11.5 WHERE id = 4");
    cql(
        "UPDATE {data}.tumour_predictions SET p_malignant = 0.5 WHERE id = 6 AND model_version = 1",
    );
    cql("DELETE lineage FROM {data}.tumour_predictions WHERE id = 5 AND model_version = 1");
    cql("INSERT INTO {data}.biopsies (id, mean_radius) VALUES (9001, 14.2)");
    sandbox.helenus(&["model", "promote", "tumour", "1"]).ok();
    {
        let wish = PassSpec {
            segment: Some("site".to_owned()),
            ..wish(sandbox, "tumour", &["2", "champion"])
        };
        let looking = Looking::at(sandbox, &wish);
        assert_eq!(looking.scope.versions, [2, 1]);
        assert_eq!(looking.scope.aliases_of(1), ["champion"]);
        let begun = looking.begin();
        assert!(begun.kept && !begun.resumed);
        let found = block_on(looking.run(&begun, usize::MAX)).unwrap();
        assert_eq!(found.source_rows, biopsies.rows);
        assert_eq!(found.part.len() as u64, biopsies.rows);
        assert_eq!(found.orphaned, BTreeMap::from([(1, 1), (2, 1)]));
        assert_eq!(found.stray_labels, 1);
        let seen = |id: i32| {
            let (standing, segment, label, time) = &found.part[&format!("id = {id}")];
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            [standing.clone(), text(segment), text(label), text(time)]
        };
        assert_eq!(
            seen(1),
            ["current current", "north", "m", "000000000000000a"]
        );
        assert_eq!(seen(2), ["missing current", "", "", "0000000000000014"]);
        assert_eq!(seen(4), ["stale stale", "", "b", ""]);
        assert_eq!(seen(5), ["current stale", "", "", ""]);
        assert_eq!(seen(6), ["current current", "", "", ""]);
        assert_eq!(seen(9_001), ["missing missing", "", "", ""]);
        assert!(!found.part.contains_key("id = 3"));
    }
    // Rejected rows; and a version that the manifest no longer names.
    biopsies.create("[2]");
    biopsies.score();
    {
        let looking = Looking::at(sandbox, &wish(sandbox, "tumour", &["1", "2"]));
        let begun = looking.begin();
        let found = block_on(looking.run(&begun, usize::MAX)).unwrap();
        let seen = |id: i32| found.part[&format!("id = {id}")].0.as_str();
        assert_eq!(seen(1), "current current");
        assert_eq!(seen(4), "stale current");
        assert_eq!(seen(9_001), "missing rejected");
        looking.end(&begun);
    }
    let left = sandbox.rows("SELECT pass_id FROM {helenus}.passes");
    assert_eq!(left.len(), 1, "the pass that nobody ended");
}

#[test]
fn an_interrupted_pass_goes_on_and_two_processes_share_one() {
    let biopsies = Biopsies::scored("pass_resumed");
    let sandbox = &biopsies.sandbox;
    sandbox
        .cql("CREATE TABLE {data}.outcomes (id int PRIMARY KEY, outcome text, known_at timestamp)");
    {
        let looking = Looking::at(sandbox, &wish(sandbox, "tumour", &["1", "2"]));
        let begun = looking.begin();
        let interrupted = block_on(looking.run(&begun, 20)).unwrap_err();
        assert_eq!(interrupted.exit as u8, 130, "{interrupted}");
        let kept = sandbox.rows("SELECT split FROM {helenus}.pass_parts").len();
        assert!(kept > 0 && kept < begun.row.plan.splits.len(), "{kept}");
        // The same wish finds it, in whichever process.
        let again = looking.begin();
        assert!(again.resumed);
        assert_eq!(again.id(), begun.id());
        let (one, two) = block_on(async {
            tokio::join!(
                looking.run(&again, usize::MAX),
                looking.run(&begun, usize::MAX)
            )
        });
        let (one, two) = (one.unwrap(), two.unwrap());
        assert!(one.kept_splits >= kept);
        assert_eq!(one.part, two.part);
        assert_eq!(one.part.len() as u64, biopsies.rows);
        assert_eq!(one.source_rows, biopsies.rows);
        looking.end(&again);
        looking.end(&begun);
        for table in ["passes", "pass_parts"] {
            let left = sandbox.rows(&format!("SELECT * FROM {{helenus}}.{table}"));
            assert!(left.is_empty(), "{table}: {left:?}");
        }
        // Predictions may have changed since: another pass.
        let begun = looking.begin();
        biopsies.score();
        let after = looking.begin();
        assert!(!after.resumed);
        assert_ne!(after.id(), begun.id());
    }
}

#[test]
fn labels_are_matched_by_clustering_keys_in_any_order() {
    let sandbox = Sandbox::migrated("pass_clustered");
    let model = Model::named("diabetes_columns");
    let rows = model.load(&sandbox);
    let push = model.push_arguments("diabetes");
    sandbox
        .helenus(&push.iter().map(String::as_str).collect::<Vec<_>>())
        .ok();
    let manifest = model.manifest(&sandbox, "visits", "diabetes");
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    sandbox.helenus(&["score", "visits"]).ok();
    sandbox.cql("CREATE TABLE {data}.outcomes (place text, person int, number int, outcome text, known_at timestamp, PRIMARY KEY ((place, person), number)) WITH CLUSTERING ORDER BY (number DESC)");
    let keys = sandbox.rows("SELECT clinic, patient, visit FROM {data}.patients");
    for key in &keys {
        let (clinic, patient, visit) = (
            key["clinic"].as_text().unwrap(),
            key["patient"].as_int().unwrap(),
            key["visit"].as_int().unwrap(),
        );
        sandbox.cql(&format!("INSERT INTO {{data}}.outcomes (place, person, number, outcome) VALUES ('{clinic}', {patient}, {visit}, 'o{visit}')"));
    }
    sandbox.cql("INSERT INTO {data}.outcomes (place, person, number) VALUES ('nowhere', 1, 1)");
    {
        let looking = Looking::at(&sandbox, &wish(&sandbox, "visits", &["1"]));
        let begun = looking.begin();
        let found = block_on(looking.run(&begun, usize::MAX)).unwrap();
        assert_eq!(found.part.len(), rows);
        assert_eq!(found.stray_labels, 1);
        for (key, (_, _, label, _)) in &found.part {
            let visit = key.rsplit_once("visit = ").unwrap().1;
            assert_eq!(label.as_deref(), Some(&*format!("o{visit}")), "{key}");
        }
        // Another key, an unknown column, an unknown version, the same version twice.
        let refused = |wish: PassSpec| {
            let failure = block_on(Scope::resolve(&looking.store, &wish)).unwrap_err();
            assert_eq!(failure.exit as u8, 2, "{failure}");
            failure.problems[0].code.clone()
        };
        sandbox.cql("CREATE TABLE {data}.others (id int PRIMARY KEY, outcome text)");
        let mut other = wish(&sandbox, "visits", &["1"]);
        let labels = other.labels.as_mut().unwrap();
        labels.table.table = "others".to_owned();
        assert_eq!(refused(other), "labels.key");
        let mut other = wish(&sandbox, "visits", &["1"]);
        other.segment = Some("citi".to_owned());
        assert_eq!(refused(other), "pass.unknown_column");
        let other = wish(&sandbox, "visits", &["1", "1"]);
        assert_eq!(refused(other), "versions.twice");
        assert_eq!(
            refused(wish(&sandbox, "visits", &["nobody"])),
            "job.unknown_alias"
        );
    }
}

/// Makes parts of more than a mebibyte: keys, and much that does not compress.
struct Padding;

impl Fold for Padding {
    type Part = BTreeMap<String, Vec<u8>>;

    fn empty(&self) -> Self::Part {
        BTreeMap::new()
    }

    fn fold(&self, part: &mut Self::Part, entity: &Entity<'_>) {
        let key = format!("{:?}", entity.key);
        let bytes = (0..80_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8);
        part.insert(key, bytes.collect());
    }

    fn merge(&self, sum: &mut Self::Part, part: Self::Part) {
        sum.extend(part);
    }
}

#[test]
fn a_large_part_takes_several_rows_which_go_on_and_go_away() {
    let biopsies = Biopsies::scored("pass_large");
    let sandbox = &biopsies.sandbox;
    sandbox
        .cql("CREATE TABLE {data}.outcomes (id int PRIMARY KEY, outcome text, known_at timestamp)");
    let looking = Looking::at(sandbox, &wish(sandbox, "tumour", &["1", "2"]));
    let begun = looking.begin();
    let look = || {
        let (fold, running) = (Arc::new(Padding), Running::new(None));
        let scope = &looking.scope;
        let found = async { pass::run(&looking.store, scope, &begun, &fold, &running).await };
        block_on(found).unwrap()
    };
    let first = look();
    assert_eq!(first.part.len() as u64, biopsies.rows);
    let splits = begun.row.plan.splits.len();
    let sizes: Vec<_> = sandbox
        .rows("SELECT split, part FROM {helenus}.pass_parts")
        .iter()
        .map(|row| row["part"].as_blob().unwrap().len())
        .collect();
    assert!(sizes.len() > 2 * splits && sizes.iter().all(|size| *size <= 1 << 20));
    assert!(!first.large.is_empty());
    let again = look();
    assert_eq!((again.kept_splits, &again.part), (splits, &first.part));
    assert_eq!(again.large, first.large);
    block_on(pass::end(&looking.store, &begun, &again.large)).unwrap();
    assert!(
        sandbox
            .rows("SELECT split FROM {helenus}.pass_parts")
            .is_empty()
    );
}
