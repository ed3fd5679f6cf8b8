//! Who may call `helenus serve`, over which connections, and how it ends.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};

use crate::support::{
    Sandbox, Served,
    biopsies::Biopsies,
    cli::Running,
    served::{Reply, head, reply},
};

/// Longer than a changed file takes to be read.
const SOON: Duration = Duration::from_secs(30);
const SCORE: &str = "/v1/jobs/tumour/score";

/// Starts a server with settings from the environment.
pub fn serve(sandbox: &Sandbox, settings: &[(&str, &str)], arguments: &[&str]) -> Served {
    let first = ["serve", "--serve-listen", "127.0.0.1:0"];
    let mut command = sandbox.command(&[&first[..], arguments].concat());
    command.envs(settings.iter().copied());
    Served::listening(Running::start(command))
}

/// Makes a token and returns it.
pub fn token(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let made = sandbox.json(&[&["token", "new"], arguments].concat());
    made.ok().result()["token"].as_str().unwrap().to_owned()
}

pub fn rows() -> Value {
    json!({"rows": [{"mean_radius": 17.9}], "versions": [1]})
}

fn call(served: &Served, authorization: &str, path: &str) -> Reply {
    let headers = [("Authorization", authorization)];
    match path {
        SCORE => served.request("POST", path, &headers, rows().to_string().as_bytes()),
        _ => served.request("GET", path, &headers, b""),
    }
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < until, "not within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn tokens_are_made_listed_and_revoked_without_a_cassandra() {
    let sandbox = Sandbox::empty("tokens");
    let file = sandbox.directory().join("tokens.toml");
    let path = file.to_str().unwrap();
    let shown = sandbox.json(&["token", "new", "ops", "--rights", "read,run"]);
    let shown = shown.ok().result();
    let made = shown["token"].as_str().unwrap();
    assert!(made.starts_with("hst_") && made.len() == 68, "{made}");
    assert_eq!(shown["file"], Value::Null);
    assert!(
        shown["entry"]
            .as_str()
            .unwrap()
            .contains("[\"read\", \"run\"]")
    );
    let known = ["--contact-points", "127.0.0.1:1", "--file", path];
    let new = |arguments: &[&str]| sandbox.json(&[&["token", "new"], arguments, &known].concat());
    new(&[
        "shop",
        "--rights",
        "score",
        "--job",
        "tumour",
        "--expires",
        "90d",
    ])
    .ok();
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let taken = new(&["shop", "--rights", "read"]).code(4);
    assert_eq!(taken.error()["code"], "tokens.taken");
    new(&["sh op", "--rights", "read"]).code(2);
    new(&["x", "--rights", "fly"]).code(2);
    new(&["x", "--rights", "read", "--expires", "2020-01-01"]).code(2);
    new(&["ops", "--rights", "read", "--model", "m"]).ok();
    let list = || {
        let listed = sandbox
            .json(&["token", "list", "--serve-tokens", path])
            .ok();
        assert!(!listed.stdout.contains("sha256"), "{}", listed.stdout);
        listed.result()["tokens"].clone()
    };
    let listed = list();
    assert_eq!(listed[0]["name"], "shop");
    assert_eq!(listed[0]["jobs"], json!(["tumour"]));
    assert_eq!(listed[0]["expired"], false);
    assert_eq!(listed[1]["models"], json!(["m"]));
    let unknown = sandbox.json(&["token", "revoke", "shpo", "--file", path]);
    assert_eq!(unknown.code(5).error()["help"], "did you mean `shop`?");
    sandbox
        .json(&["token", "revoke", "shop", "--file", path])
        .ok();
    assert_eq!(list().as_array().unwrap().len(), 1);
    sandbox.json(&["token", "list"]).code(2);
}

#[test]
fn a_token_decides_what_its_caller_may_do_and_changes_apply_at_once() {
    let biopsies = Biopsies::scored("serve_tokens");
    let sandbox = &biopsies.sandbox;
    let file = sandbox.directory().join("tokens.toml");
    let path = file.to_str().unwrap();
    let new = |arguments: &[&str]| token(sandbox, &[arguments, &["--file", path]].concat());
    let shop = new(&["shop", "--rights", "score", "--job", "tumour"]);
    let other = new(&["other", "--rights", "score", "--job", "another"]);
    let reader = new(&["reader", "--rights", "read"]);
    let late = new(&["late", "--rights", "score"]);
    // What expired meanwhile: the command makes none that has.
    let text = fs::read_to_string(&file).unwrap() + "expires = 2020-01-01\n";
    fs::write(&file, text).unwrap();
    let log = [("HELENUS_SERVE_ACCESS_LOG", "true")];
    let served = serve(sandbox, &log, &["--serve-tokens", path]);
    served.wait_until_ready();
    let bearer = |token: &str| format!("Bearer {token}");
    let wrong = "Bearer hst_0000";
    let plain = "Bearer realm=\"helenus\"";
    let invalid = "Bearer realm=\"helenus\", error=\"invalid_token\"";
    for (authorization, status, challenge, code) in [
        (bearer(&shop), 200, None, ""),
        (bearer(&shop).replace("Bearer", "bearer"), 200, None, ""),
        (bearer(&other), 403, None, "serve.forbidden"),
        (bearer(&reader), 403, None, "serve.forbidden"),
        (bearer(&late), 401, Some(invalid), "serve.invalid_token"),
        (wrong.to_owned(), 401, Some(invalid), "serve.invalid_token"),
        (
            bearer(&shop[..60]),
            401,
            Some(invalid),
            "serve.invalid_token",
        ),
        (
            "Basic c2hvcA==".to_owned(),
            401,
            Some(plain),
            "serve.no_token",
        ),
        (shop.clone(), 401, Some(plain), "serve.no_token"),
        (String::new(), 401, Some(plain), "serve.no_token"),
    ] {
        let answer = call(&served, &authorization, SCORE).status(status);
        assert_eq!(
            answer.header("www-authenticate"),
            challenge,
            "{authorization}"
        );
        if status != 200 {
            assert_eq!(answer.code(), code, "{authorization}");
        }
    }
    let twice = [("Authorization", &*bearer(&shop)), ("Authorization", wrong)];
    served.request("GET", "/v1/jobs", &twice, b"").status(401);
    // The error of the inference protocol is one text.
    let inference = served.get("/v2/models/tumour").status(401).json();
    let text = inference["error"].as_str().unwrap();
    assert!(text.contains("the request has no token"), "{text}");
    for public in ["/live", "/ready", "/metrics"] {
        served.get(public).status(200);
    }

    // Revoked, and another one made: both within a moment, without a restart.
    sandbox
        .json(&["token", "revoke", "shop", "--file", path])
        .ok();
    wait_until("the revoked token is refused", || {
        call(&served, &bearer(&shop), SCORE).status == 401
    });
    let fresh = new(&["fresh", "--rights", "score"]);
    wait_until("the new token is accepted", || {
        call(&served, &bearer(&fresh), SCORE).status == 200
    });
    // A broken file changes nothing, and is reported once.
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("[\"read\"]", "[\"fly\"]")).unwrap();
    let reports = || served.log().matches("the tokens stay as they were").count();
    wait_until("the broken file is reported", || reports() > 0);
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(reports(), 1, "{}", served.log());
    call(&served, &bearer(&fresh), SCORE).status(200);

    let log = served.stop().ok().stderr;
    assert!(log.contains("caller=\"fresh\""), "{log}");
    assert!(log.contains("route=\"/v1/jobs/{job}/score\""), "{log}");
    for secret in [&shop, &fresh, &late] {
        assert!(!log.contains(&secret[4..]), "{log}");
    }
}

#[test]
fn requests_are_traced_and_measured() {
    let biopsies = Biopsies::scored("serve_traced");
    let served = Served::start(&biopsies.sandbox, &[]);
    let answer = served.request("GET", "/live", &[("X-Request-Id", "shop-17")], b"");
    assert_eq!(answer.header("x-request-id"), Some("shop-17"));
    let made = served.request("GET", "/live", &[("X-Request-Id", "a b")], b"");
    assert_eq!(made.header("x-request-id").unwrap().len(), 32);
    let two = json!({"rows": [{"mean_radius": 17.9}, {}], "versions": [1]});
    served.post(SCORE, &two).status(200);
    served.post(SCORE, &json!({"rows": []})).status(400);
    let id = biopsies
        .sandbox
        .row("SELECT id FROM {data}.biopsies LIMIT 1");
    let id = format!("{:?}", id["id"]);
    let id: String = id.chars().filter(char::is_ascii_digit).collect();
    let stored = format!("/v1/jobs/tumour/predictions/{id}?version=1");
    assert_eq!(served.get(&stored).status(200).json()["found"], true);
    served.get("/nowhere").status(404);
    let text = served.get("/metrics").status(200).text();
    for line in [
        "helenus_http_requests_total{route=\"/v1/jobs/{job}/score\",status=\"2xx\"} 1",
        "helenus_http_requests_total{route=\"/v1/jobs/{job}/score\",status=\"4xx\"} 1",
        "helenus_http_requests_total{route=\"none\",status=\"4xx\"} 1",
        "helenus_http_request_seconds_count{route=\"/v1/jobs/{job}/score\"} 2",
        "helenus_served_rows_total{job_name=\"tumour\",outcome=\"stored\"} 1",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    let value = |series: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap_or_else(|| panic!("no {series}\n{text}"))
            .trim()
            .parse()
            .unwrap()
    };
    let rows = |outcome: &str| {
        value(&format!(
            "helenus_served_rows_total{{job_name=\"tumour\",outcome=\"{outcome}\"}}"
        ))
    };
    assert_eq!(rows("scored") + rows("rejected"), 2.0, "{text}");
    assert_eq!(value("helenus_resident_models "), 2.0);
    assert!(value("helenus_http_connections ") >= 1.0);
    assert!(value("helenus_served_stale_seconds ") < 60.0);
    for metric in helenus::metrics::SERVING {
        assert!(text.contains(metric.name), "{}", metric.name);
    }
}

fn certificate(name: &str) -> String {
    format!("{}/tests/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// One request over TLS; `client`: its own certificate.
fn over_tls(served: &Served, ca: &str, client: Option<&str>) -> std::io::Result<Reply> {
    let read = |name: &str| CertificateDer::from_pem_file(certificate(name)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(read(ca)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => config.with_no_client_auth(),
        Some(name) => {
            let key = PrivateKeyDer::from_pem_file(certificate(&format!("{name}.key"))).unwrap();
            let chain = vec![read(&format!("{name}.pem"))];
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let name = "127.0.0.1".try_into().unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream: StreamOwned<ClientConnection, TcpStream> =
        StreamOwned::new(connection, served.connect());
    let close = [("Connection", "close")];
    stream.write_all(&head("GET", "/live", &close, 0))?;
    reply(&mut stream)
}

#[test]
fn with_a_certificate_only_tls_is_spoken() {
    let sandbox = Sandbox::migrated("serve_tls");
    let (cert, key) = (certificate("node.pem"), certificate("node.key"));
    let ca = certificate("ca.pem");
    let mut settings = vec![
        ("HELENUS_SERVE_TLS_CERT", cert.as_str()),
        ("HELENUS_SERVE_TLS_KEY", key.as_str()),
    ];
    let served = serve(&sandbox, &settings, &[]);
    let answer = over_tls(&served, "ca.pem", None).unwrap().status(200);
    assert_eq!(answer.text(), "ok\n");
    let error = over_tls(&served, "stranger.pem", None).unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    let mut plain = served.connect();
    plain.write_all(&head("GET", "/live", &[], 0)).unwrap();
    assert!(reply(&mut plain).is_err());
    over_tls(&served, "ca.pem", None).unwrap().status(200);
    drop(served);

    settings.push(("HELENUS_SERVE_TLS_CLIENT_CA", &ca));
    let served = serve(&sandbox, &settings, &[]);
    over_tls(&served, "ca.pem", Some("client"))
        .unwrap()
        .status(200);
    over_tls(&served, "ca.pem", None).unwrap_err();
    drop(served);

    let wrong = certificate("client.key");
    let settings = [
        ("HELENUS_SERVE_TLS_CERT", cert.as_str()),
        ("HELENUS_SERVE_TLS_KEY", wrong.as_str()),
    ];
    let mut command = sandbox.command(&["serve", "--output", "json"]);
    command.envs(settings);
    let refused = Running::start(command).finish().code(2);
    assert_eq!(refused.error()["code"], "tls.invalid");
}

#[test]
fn a_server_that_ends_says_so_first_and_finishes_what_it_began() {
    let biopsies = Biopsies::scored("serve_drain");
    let served = Served::start(
        &biopsies.sandbox,
        &["--drain-timeout", "60s", "--output", "json"],
    );
    let body = rows().to_string();
    let mut slow = served.connect();
    slow.write_all(&head("POST", SCORE, &[], body.len()))
        .unwrap();
    let mut idle = served.connect();
    idle.write_all(&head("GET", "/live", &[], 0)).unwrap();
    reply(&mut idle).unwrap().status(200);
    served.signal("TERM");
    // On a new connection each time: a load balancer must be able to see it.
    wait_until("it is not ready", || served.get("/ready").status == 503);
    wait_until("it accepts no more connections", || {
        TcpStream::connect(served.address).is_err()
    });
    assert!(reply(&mut idle).is_err(), "an idle connection stayed open");
    slow.write_all(body.as_bytes()).unwrap();
    reply(&mut slow).unwrap().status(200);
    let ended = served.finish().ok();
    assert_eq!(ended.result(), json!({"drained": true, "aborted": 0}));
}

#[test]
fn a_request_that_does_not_end_is_cut_when_the_time_for_draining_is_over() {
    let sandbox = Sandbox::migrated("serve_cut");
    let served = Served::start(&sandbox, &["--drain-timeout", "1s", "--output", "json"]);
    let mut slow = served.connect();
    slow.write_all(&head("POST", SCORE, &[], 10)).unwrap();
    served.get("/live").status(200);
    let ended = served.stop().ok();
    assert_eq!(ended.result(), json!({"drained": false, "aborted": 1}));
    assert!(ended.stderr.contains("aborted=1"), "{}", ended.stderr);
}
