//! What hostile and clumsy clients of `helenus serve` get.

use std::{fs, io::Write};

use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use crate::{
    serve_access::{rows, serve},
    support::{Served, biopsies::Biopsies},
};

pub const SCORE: &str = "/v1/jobs/tumour/score";
/// Memory in KiB by which the server may grow while it is attacked: buffers of the allocator.
pub const MAX_GROWTH: u64 = 64 * 1024;
const MIB: usize = 1 << 20;

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Resident memory of the server in KiB.
pub fn resident(served: &Served) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", served.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.unwrap().trim().trim_end_matches("kB").trim();
    number.parse().unwrap()
}

/// A request and what it must get.
struct Attack {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    status: u16,
    /// `error.code`.
    code: &'static str,
}

fn posted(name: &'static str, body: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Attack {
    Attack {
        name,
        method: "POST",
        path: SCORE,
        headers: Vec::new(),
        body: body.into(),
        status,
        code,
    }
}

fn encoded(
    name: &'static str,
    encoding: &'static str,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
) -> Attack {
    Attack {
        headers: vec![("Content-Encoding", encoding)],
        ..posted(name, body, status, code)
    }
}

fn to(
    name: &'static str,
    method: &'static str,
    path: &'static str,
    status: u16,
    code: &'static str,
) -> Attack {
    Attack {
        method,
        path,
        ..posted(name, "", status, code)
    }
}

fn attacks() -> Vec<Attack> {
    let row = |value: &str| format!("{{\"rows\":[{{\"mean_radius\":{value}}}],\"versions\":[1]}}");
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    vec![
        posted("no body", "", 400, "request.json"),
        posted("no JSON", "mean_radius=17.9", 400, "request.json"),
        posted(
            "half of a body",
            &rows().to_string()[..20],
            400,
            "request.json",
        ),
        posted("an array", "[]", 400, "request.json"),
        posted("no rows", "{\"rows\":[]}", 400, "request.no_rows"),
        posted(
            "unknown field",
            "{\"rows\":[{}],\"x\":1}",
            400,
            "request.json",
        ),
        posted(
            "field twice",
            "{\"rows\":[{}],\"rows\":[{}]}",
            400,
            "request.json",
        ),
        posted("rows of a wrong type", "{\"rows\":{}}", 400, "request.json"),
        posted(
            "a row of a wrong type",
            "{\"rows\":[1]}",
            400,
            "request.json",
        ),
        posted(
            "bad UTF-8",
            b"{\"rows\":[{\"\xff\":1}]}",
            400,
            "request.not_utf8",
        ),
        posted("a NaN literal", row("NaN"), 400, "request.json"),
        posted("an infinite literal", row("-Infinity"), 400, "request.json"),
        posted(
            "a text for a number",
            row("\"wide\""),
            400,
            "row.not_a_value",
        ),
        posted("an object for a number", row("{}"), 400, "row.not_a_value"),
        posted(
            "unknown column",
            "{\"rows\":[{\"mean_radiu\":1}],\"versions\":[1]}",
            400,
            "row.unknown_column",
        ),
        posted(
            "a column twice",
            "{\"rows\":[{\"mean_radius\":1,\"mean_radius\":2}],\"versions\":[1]}",
            400,
            "row.repeated_column",
        ),
        posted(
            "unknown version",
            "{\"rows\":[{}],\"versions\":[7]}",
            400,
            "job.unknown_version",
        ),
        posted(
            "a version beyond all numbers",
            "{\"rows\":[{}],\"versions\":[99999999999999999999]}",
            400,
            "request.json",
        ),
        posted(
            "unknown alias",
            "{\"rows\":[{}],\"versions\":[\"best\"]}",
            400,
            "job.unknown_version",
        ),
        posted("deep body", deep(100_000), 400, "request.json"),
        posted("deep value", row(&deep(100_000)), 400, "row.not_a_value"),
        posted(
            "deep versions",
            format!("{{\"rows\":[{{}}],\"versions\":[{}]}}", deep(100_000)),
            400,
            "request.json",
        ),
        posted(
            "too many rows",
            format!("{{\"rows\":[{}]}}", vec!["{}"; 1001].join(",")),
            413,
            "request.too_many_rows",
        ),
        posted("large body", vec![b' '; 2 * MIB], 413, "request.too_large"),
        encoded(
            "gzip bomb",
            "gzip",
            gzip(&vec![b' '; 64 * MIB]),
            413,
            "request.too_large",
        ),
        encoded(
            "bomb in a bomb",
            "gzip, gzip",
            gzip(&gzip(&vec![0; MIB])),
            415,
            "request.encoding",
        ),
        encoded("not gzip", "gzip", b"{}".to_vec(), 400, "request.encoding"),
        encoded(
            "half of a gzip",
            "gzip",
            gzip(b"{\"rows\":[{}]}")[..15].to_vec(),
            400,
            "request.encoding",
        ),
        encoded(
            "unknown encoding",
            "br",
            b"{}".to_vec(),
            415,
            "request.encoding",
        ),
        to(
            "unknown job",
            "POST",
            "/v1/jobs/tumor/score",
            404,
            "job.unknown",
        ),
        to(
            "unknown path",
            "GET",
            "/v1/nothing",
            404,
            "request.unknown_path",
        ),
        to(
            "path of another place",
            "GET",
            "/v1/../../etc/passwd",
            404,
            "request.unknown_path",
        ),
        to("wrong method", "DELETE", SCORE, 405, "request.method"),
        to("unknown method", "BREW", SCORE, 405, "request.method"),
        to(
            "path that is not UTF-8",
            "GET",
            "/v1/jobs/tumour/predictions/%ff",
            400,
            "request.path",
        ),
        to(
            "unknown parameter",
            "GET",
            "/v1/jobs/tumour/predictions/1?x=1",
            400,
            "request.query",
        ),
        to(
            "key that does not exist",
            "GET",
            "/v1/jobs/tumour/predictions/0?version=1",
            404,
            "row.unknown",
        ),
        to(
            "key of a wrong type",
            "GET",
            "/v1/jobs/tumour/predictions/x?version=1",
            400,
            "keys.not_a_value",
        ),
    ]
}

/// What is wrong with the answer to an attack.
fn attack(served: &Served, attack: &Attack) -> Vec<String> {
    let Attack {
        name,
        method,
        path,
        headers,
        body,
        status,
        code,
        ..
    } = attack;
    let answer = served.request(method, path, headers, body);
    let error = answer.json()["error"].clone();
    let message = error["message"].as_str().unwrap_or_default();
    let allowed = (*status == 405).then_some("POST");
    let holds = [
        ("status", answer.status == *status),
        ("code", error["code"] == *code),
        ("message", message.len() > 5 && message.len() < 500),
        ("id", answer.header("x-request-id").is_some()),
        (
            "type",
            answer.header("content-type") == Some("application/json"),
        ),
        ("allow", answer.header("allow") == allowed),
    ];
    let wrong = holds.iter().filter(|(_, holds)| !holds);
    wrong
        .map(|(what, _)| format!("{name}: {what} of {} {}", answer.status, answer.text()))
        .collect()
}

#[test]
fn every_attack_gets_its_error_and_memory_stays_flat() {
    let biopsies = Biopsies::scored("attacks");
    let settings = [
        ("HELENUS_SERVE_MAX_BODY_MIB", "1"),
        ("HELENUS_SERVE_MAX_ROWS", "1000"),
    ];
    let mut served = serve(&biopsies.sandbox, &settings, &[]);
    served.wait_until_ready();
    let attacks = attacks();
    let all = || {
        let wrong: Vec<String> = attacks
            .iter()
            .flat_map(|one| attack(&served, one))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    };
    all();
    let before = resident(&served);
    for _ in 0..10 {
        all();
    }
    let after = resident(&served);
    assert!(after < before + MAX_GROWTH, "from {before} to {after} KiB");
    served.post(SCORE, &rows()).status(200);
    let body = gzip(rows().to_string().as_bytes());
    let compressed = served.request("POST", SCORE, &[("Content-Encoding", "gzip")], &body);
    compressed.status(200);
    assert!(served.is_running());
    let log = served.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn errors_of_the_inference_protocol_are_one_text() {
    let biopsies = Biopsies::scored("attack_oip");
    let settings = [("HELENUS_SERVE_MAX_BODY_MIB", "1")];
    let served = serve(&biopsies.sandbox, &settings, &[]);
    let infer = "/v2/models/tumour/infer";
    let large = served
        .request("POST", infer, &[], &vec![b' '; 2 * MIB])
        .status(413);
    let encoded = served.request("POST", infer, &[("Content-Encoding", "br")], b"{}");
    let unknown = served.get("/v2/nothing/at/all").status(404);
    for answer in [large, encoded.status(415), unknown] {
        let json = answer.json();
        assert!(json["error"].is_string(), "{json}");
        assert_eq!(json, json!({"error": json["error"]}));
    }
}
