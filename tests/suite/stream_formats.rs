//! Avro with a schema registry, and Debezium's envelope.

use scylla::value::CqlValue;
use serde_json::{Value, json};

use crate::support::{
    kafka::{Registry, shared},
    stems::{Stems, stem, wait_until},
};

/// Bytes of an Avro message, written by hand so that nothing of helenus checks itself.
struct Encoded(Vec<u8>);

impl Encoded {
    fn new(schema: u32) -> Self {
        Self([vec![0], schema.to_be_bytes().to_vec()].concat())
    }

    fn long(mut self, number: i64) -> Self {
        let mut rest = ((number << 1) ^ (number >> 63)) as u64;
        while rest >= 0x80 {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
        self
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        let mut with = self.long(bytes.len() as i64);
        with.0.extend(bytes);
        with
    }

    fn double(mut self, number: f64) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn features(self, id: i64) -> Self {
        let row = stem(id);
        ["sepal_length", "sepal_width", "petal_length", "petal_width"]
            .iter()
            .fold(self, |encoded, name| {
                encoded.double(row[name].as_f64().unwrap())
            })
    }

    fn message(&self) -> Value {
        json!({"key": "k", "value_hex": hex::encode(&self.0)})
    }
}

fn schema(more: &[Value]) -> Value {
    let mut fields = vec![
        json!({"name": "garden", "type": "string"}),
        json!({"name": "id", "type": "long"}),
    ];
    for name in ["sepal_length", "sepal_width", "petal_length", "petal_width"] {
        fields.push(json!({"name": name, "type": "double"}));
    }
    fields.extend_from_slice(more);
    json!({"type": "record", "name": "Stem", "fields": fields})
}

#[test]
fn avro_is_read_by_its_writers_schema_whatever_it_becomes() {
    let stems = Stems::new("stream_avro", shared(), 1);
    stems.job("upsert = true\nformat = \"avro\"\nmax_rejected = 100", "");
    let mut registry = Registry::start(stems.sandbox.directory());
    let subject = format!("{}-value", stems.input);
    let plain = registry.register(&subject, &schema(&[]));
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 3});
    let added = registry.register(
        &subject,
        &schema(&[
            json!({"name": "serial", "type": ["null", "long"], "default": null}),
            json!({"name": "weight", "type": decimal}),
            json!({"name": "unheard_of", "type": "string"}),
        ]),
    );
    let renamed = registry.register(
        &subject,
        &schema(&[json!({"name": "remark", "aliases": ["note"], "type": ["null", "string"]})]),
    );
    registry.down();
    let environment = registry.url();
    let stream = stems.start(&[("HELENUS_KAFKA_SCHEMA_REGISTRY", &environment)]);
    let with = |id: i64, schema| Encoded::new(schema).bytes(b"g").long(id).features(id);
    let digits = num_bigint::BigInt::parse_bytes(b"-12345678901234567890123", 10).unwrap();
    let more = with(2, added)
        .long(1)
        .long(9_007_199_254_740_993)
        .bytes(&digits.to_signed_bytes_be())
        .bytes(b"new");
    let alias = with(3, renamed).long(1).bytes("ä".as_bytes());
    let emptied = with(4, renamed).long(0);
    stems.broker.write(
        &stems.input,
        &[
            with(1, plain).message(),
            more.message(),
            alias.message(),
            emptied.message(),
        ],
    );
    // The registry is away: nothing is rejected, nothing is lost.
    stems.wait_for_state("waiting", "schema registry");
    assert!(stems.broker.read(&stems.dead).is_empty());
    registry.up();
    let messages = stems.predictions(4);
    let row = |id: i64| {
        let rows = stems.sandbox.rows(&format!(
            "SELECT serial, weight, note FROM {{data}}.stems WHERE garden = 'g' AND id = {id}"
        ));
        rows.into_iter().next().unwrap()
    };
    assert_eq!(row(2)["serial"], CqlValue::BigInt(9_007_199_254_740_993));
    let CqlValue::Decimal(weight) = &row(2)["weight"] else {
        panic!("{:?}", row(2));
    };
    let (bytes, scale) = weight.as_signed_be_bytes_slice_and_exponent();
    assert_eq!(
        (num_bigint::BigInt::from_signed_bytes_be(bytes), scale),
        (digits, 3)
    );
    assert_eq!(row(3)["note"], CqlValue::Text("ä".to_owned()));
    assert!(!row(4).contains_key("note"));
    // The same numbers as the same row in JSON.
    let id = |message: &Value| message["key"]["id"].as_i64();
    let avro = messages
        .iter()
        .map(|message| message.json())
        .find(|one| id(one) == Some(1));
    let unknown = with(9, 4_711).message();
    let short = json!({"key": "k", "value_hex": hex::encode(&Encoded::new(plain).bytes(b"g").0)});
    let other = json!({"key": "k", "json": stem(9)});
    stems.broker.write(
        &stems.input,
        &[unknown, short, other, with(5, plain).message()],
    );
    let dead = stems.dead_letters(3);
    let codes: Vec<_> = dead
        .iter()
        .map(|letter| letter.header("helenus-error-code"))
        .collect();
    assert_eq!(
        codes,
        ["message.unknown_schema", "message.avro", "message.avro"]
    );
    stems.predictions(5);
    // The same row as JSON has the same hash. A stream that has not seen the new revision yet would read
    // it as Avro.
    stream.signal("TERM");
    stream.finish();
    stems.job("upsert = true", "");
    let stream = stems.start(&[]);
    stems.write(&[stem(1)]);
    wait_until("the row as JSON", || {
        stems.broker.read(&stems.output).len() == 6
    });
    let all = stems.broker.read(&stems.output);
    let same: Vec<_> = all
        .iter()
        .map(|one| one.json())
        .filter(|one| id(one) == Some(1))
        .collect();
    assert_eq!(same.len(), 2);
    assert_eq!(
        same[0]["lineage"]["input_hash"],
        same[1]["lineage"]["input_hash"]
    );
    assert_eq!(avro.unwrap()["outputs"], same[1]["outputs"]);
    stream.signal("TERM");
    stream.finish();
}

#[test]
fn debezium_envelopes_insert_update_and_delete() {
    let stems = Stems::new("stream_debezium", shared(), 1);
    stems.job(
        "upsert = true\nenvelope = \"debezium\"\ndeletes = \"delete\"\nmax_rejected = 100",
        "",
    );
    let change = |op: &str, before: Value, after: Value| json!({"before": before, "after": after, "op": op, "ts_ms": 1});
    let around = |payload: Value| json!({"schema": {"type": "struct"}, "payload": payload});
    let key = |id: i64| json!({"schema": {}, "payload": {"garden": "g", "id": id}}).to_string();
    let messages = [
        json!({"key": key(1), "json": change("c", Value::Null, stem(1))}),
        json!({"key": key(2), "json": around(change("r", Value::Null, stem(2)))}),
        json!({"key": key(3), "json": change("c", Value::Null, stem(3))}),
        json!({"key": key(1), "json": around(change("u", stem(1), { let mut row = stem(1); row["note"] = json!("new"); row }))}),
        json!({"key": key(2), "json": change("d", stem(2), Value::Null)}),
        // The tombstone that follows a delete.
        json!({"key": key(2), "value": null}),
        json!({"key": key(3), "json": change("d", Value::Null, Value::Null)}),
        json!({"key": key(4), "json": {"status": "BEGIN"}}),
        json!({"key": key(4), "json": change("t", Value::Null, Value::Null)}),
    ];
    stems.broker.write(&stems.input, &messages);
    let stream = stems.start(&[]);
    stems.predictions(4);
    let dead = stems.dead_letters(1);
    assert_eq!(dead[0].header("helenus-error-code"), "message.envelope");
    let rows = stems
        .sandbox
        .rows("SELECT id, note FROM {data}.stems WHERE garden = 'g'");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["note"], CqlValue::Text("new".to_owned()));
    wait_until("counts", || stems.status()["today"]["received"] == 9);
    let today = stems.status()["today"].clone();
    assert_eq!(
        (today["deleted"].clone(), today["ignored"].clone()),
        (json!(3), json!(1))
    );
    stream.signal("TERM");
    stream.finish();
}

#[test]
fn blobs_of_debezium_are_base64() {
    let stems = Stems::new("stream_debezium_blobs", shared(), 1);
    stems
        .sandbox
        .cql("ALTER TABLE {data}.stems ADD (scan blob, scans list<blob>)");
    stems.job(
        "upsert = true\nenvelope = \"debezium\"\nmax_rejected = 100",
        "",
    );
    let message = |id: i64, name: &str, value: Value| {
        let mut row = stem(id);
        row[name] = value;
        let envelope = json!({"schema": {}, "payload": {"before": null, "after": row, "op": "c"}});
        let key = json!({"schema": {}, "payload": {"garden": "g", "id": id}});
        json!({"key": key.to_string(), "json": envelope})
    };
    let messages = [
        message(1, "scan", json!("/9j/4AAQ")),
        // They could be hexadecimal digits, which Debezium does not write.
        message(2, "scan", json!("abcd")),
        message(3, "scan", json!("0x00ff00")),
        message(4, "scan", json!("")),
        message(5, "scan", json!({"b64": "AP8="})),
        message(6, "scan", Value::Null),
        message(7, "scans", Value::Null),
        // Not base64, and blobs inside a value.
        message(11, "scan", json!("0x123")),
        message(12, "scans", json!(["AP8="])),
    ];
    stems.broker.write(&stems.input, &messages);
    let stream = stems.start(&[]);
    stems.predictions(7);
    let dead = stems.dead_letters(2);
    for (letter, words) in dead.iter().zip(["base64", "use Avro"]) {
        assert_eq!(letter.header("helenus-error-code"), "row.not_a_value");
        let error = letter.header("helenus-error");
        assert!(error.contains(words), "{error}");
    }
    let rows = stems
        .sandbox
        .rows("SELECT id, scan FROM {data}.stems WHERE garden = 'g'");
    let scans: Vec<(i64, Option<String>)> = rows
        .iter()
        .map(|row| {
            let scan = row.get("scan").and_then(|scan| scan.as_blob());
            (row["id"].as_bigint().unwrap(), scan.map(hex::encode))
        })
        .collect();
    let scan = |id, hex: &str| (id, Some(hex.to_owned()));
    assert_eq!(
        scans,
        [
            scan(1, "ffd8ffe00010"),
            scan(2, "69b71d"),
            scan(3, "d31d347dfd34"),
            scan(4, ""),
            scan(5, "00ff"),
            (6, None),
            (7, None),
        ]
    );
    stream.signal("TERM");
    stream.finish();
}
