//! Attacks on the console, over plain HTTP: what a browser would be tricked into, and what people
//! with a token may not do.

mod markup;

use scraper::{Html, Selector};

use crate::{
    console::{serve, token},
    support::{Sandbox, Served, biopsies::Biopsies, served::Reply},
};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
/// What the tests' client calls the server.
const OWN: (&str, &str) = ("Origin", "http://helenus");

/// Logs in; returns the cookie.
#[track_caller]
pub fn log_in(served: &Served, token: &str) -> String {
    let body = format!("token={token}&next=%2F");
    let reply = served.request("POST", "/login", &[FORM, OWN], body.as_bytes());
    let cookie = reply.status(303).header("set-cookie").unwrap().to_owned();
    for part in [
        "__Host-helenus=",
        "HttpOnly",
        "Secure",
        "SameSite=Strict",
        "Path=/",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

#[track_caller]
pub fn get(served: &Served, path: &str, cookie: &str) -> Reply {
    served.request("GET", path, &[("Cookie", cookie)], b"")
}

/// Name of the form at a path.
#[track_caller]
fn form(served: &Served, path: &str, cookie: &str) -> String {
    let page = get(served, path, cookie).status(200).text();
    let page = Html::parse_document(&page);
    let path = path.split('?').next().unwrap();
    let selector = format!("form[action=\"{path}\"] input[name=\"form\"]");
    let input = page.select(&Selector::parse(&selector).unwrap()).next();
    input
        .expect("a form")
        .value()
        .attr("value")
        .unwrap()
        .to_owned()
}

fn send(served: &Served, path: &str, headers: &[(&str, &str)], form: &str) -> Reply {
    let body = format!("form={form}&why=because");
    served.request("POST", path, &[&[FORM], headers].concat(), body.as_bytes())
}

fn is_paused(sandbox: &Sandbox) -> bool {
    let row = sandbox.row("SELECT paused FROM {helenus}.jobs WHERE job = 'tumour' LIMIT 1");
    row.get("paused").and_then(|paused| paused.as_boolean()) == Some(true)
}

fn asked(sandbox: &Sandbox) -> usize {
    sandbox.rows("SELECT id FROM {helenus}.run_requests").len()
}

#[test]
fn forms_of_other_sites_and_of_other_people_change_nothing() {
    let biopsies = Biopsies::scored("console_forms");
    let sandbox = &biopsies.sandbox;
    let anna = token(sandbox, "anna", "read,run", &[]);
    let carla = token(sandbox, "carla", "read", &[]);
    let served = serve(sandbox, &["--console-session", "1h"]);
    let cookie = log_in(&served, &anna);
    let other = log_in(&served, &anna);
    let own = [OWN, ("Cookie", &cookie)];
    let path = "/jobs/tumour/pause";

    // Sent by a page elsewhere, with the cookie that a lax browser would add.
    let name = form(&served, path, &cookie);
    for origin in [
        "https://evil.example",
        "null",
        "http://helenus.evil.example",
        "http://helenus:81",
    ] {
        let headers = [("Origin", origin), ("Cookie", &cookie)];
        send(&served, path, &headers, &name).status(403);
    }
    send(&served, path, &[("Cookie", &cookie)], &name).status(403);
    let marked = [&own[..], &[("Sec-Fetch-Site", "cross-site")]].concat();
    send(&served, path, &marked, &name).status(403);
    // As text/plain, which needs no permission of the server's.
    let plain = [("Content-Type", "text/plain"), OWN, ("Cookie", &cookie)];
    let body = format!("form={name}&why=because");
    served
        .request("POST", path, &plain, body.as_bytes())
        .status(400);
    // By a link: reading a URL does nothing.
    get(&served, &format!("{path}?form={name}&why=because"), &cookie).status(200);

    // Without a form, with another session's, with one of another action, without a session.
    send(&served, path, &own, "").status(409);
    send(&served, path, &own, &"0".repeat(64)).status(409);
    let stolen = form(&served, path, &other);
    send(&served, path, &own, &stolen).status(409);
    let run = form(&served, "/jobs/tumour/run", &cookie);
    send(&served, path, &own, &run).status(409);
    send(&served, path, &[OWN], &name).status(401);
    let forged = format!("__Host-helenus={}", "0".repeat(64));
    send(&served, path, &[OWN, ("Cookie", &forged)], &name).status(401);
    // Without a reason, or with one that is none.
    for why in ["", "%20%09", "a%00b"] {
        let body = format!("form={name}&why={why}");
        let headers = [FORM, OWN, ("Cookie", &cookie)];
        served
            .request("POST", path, &headers, body.as_bytes())
            .status(422);
    }
    assert!(!is_paused(sandbox));

    // Its own form does it, once.
    send(&served, path, &own, &name).status(303);
    assert!(is_paused(sandbox));
    let again = send(&served, path, &own, &name).status(409);
    assert!(again.text().contains("sent already"), "{}", again.text());
    let run = form(&served, "/jobs/tumour/run", &cookie);
    let before = asked(sandbox);
    send(&served, "/jobs/tumour/run", &own, &run).status(303);
    send(&served, "/jobs/tumour/run", &own, &run).status(409);
    assert_eq!(asked(sandbox), before + 1);

    // Without the right there is neither form nor action.
    let reader = log_in(&served, &carla);
    get(&served, path, &reader).status(403);
    send(&served, path, &[OWN, ("Cookie", &reader)], &name).status(403);
    // Logging out needs a form, too, and ends the session.
    send(&served, "/logout", &own, "").status(400);
    get(&served, "/", &cookie).status(200);
    let page = get(&served, "/", &cookie).text();
    let page = Html::parse_document(&page);
    let selector = Selector::parse("form[action=\"/logout\"] input").unwrap();
    let name = page
        .select(&selector)
        .next()
        .unwrap()
        .value()
        .attr("value")
        .unwrap()
        .to_owned();
    send(&served, "/logout", &own, &name).status(303);
    get(&served, "/", &cookie).status(303);
}

#[test]
fn a_session_ends_with_its_token_and_sees_no_more_than_it() {
    let biopsies = Biopsies::scored("console_sessions");
    let sandbox = &biopsies.sandbox;
    let narrow = token(
        sandbox,
        "narrow",
        "read,run",
        &["--job", "other", "--model", "other"],
    );
    let gone = token(sandbox, "gone", "read", &[]);
    let scorer = token(sandbox, "scorer", "score", &[]);
    sandbox.cql("INSERT INTO {helenus}.workers (bucket, worker, host, pid, state, doing) VALUES ('all', uuid(), 'here', 1, 'working', ['scores split 3 of tumour'])");
    sandbox.cql("INSERT INTO {helenus}.streams (job, member, state, reason) VALUES ('tumour', uuid(), 'paused', 'tumour: all is rejected')");
    sandbox.cql("INSERT INTO {helenus}.stream_positions (job, topic, partition, position) VALUES ('tumour', 'biopsies', 0, 7)");
    let served = serve(sandbox, &["--console-session", "2s"]);
    let file = sandbox.directory().join("tokens.toml");

    // Its own jobs and models only, in lists, too.
    let cookie = log_in(&served, &narrow);
    for path in [
        "/jobs/tumour",
        "/models/tumour",
        "/jobs/tumour/run",
        "/jobs/tumour/stream",
        "/jobs/tumour/stream/resume",
        "/jobs/tumour.json",
    ] {
        get(&served, path, &cookie).status(403);
    }
    for path in [
        "/",
        "/models",
        "/requests",
        "/streams",
        "/workers",
        "/index.json",
        "/models.csv",
        "/workers.json",
    ] {
        let page = get(&served, path, &cookie).status(200);
        assert!(!page.text().contains("tumour"), "{path}: {}", page.text());
    }
    // Without `read` nobody gets in; a wrong token says no more than that.
    let refuse = |token: &str| {
        let body = format!("token={token}");
        let reply = served.request("POST", "/login", &[FORM, OWN], body.as_bytes());
        assert_eq!(reply.header("set-cookie"), None);
        reply.status(401)
    };
    refuse(&scorer);
    refuse("hst_unknown");
    refuse("");
    // Old after two seconds.
    std::thread::sleep(std::time::Duration::from_millis(2_200));
    get(&served, "/", &cookie).status(303);
    get(&served, "/index.json", &cookie).status(401);
    // Revoked: refused as soon as the file was read again.
    let cookie = log_in(&served, &gone);
    get(&served, "/", &cookie).status(200);
    sandbox
        .helenus(&["token", "revoke", "gone", "--file", file.to_str().unwrap()])
        .ok();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while get(&served, "/", &cookie).status != 303 {
        assert!(
            std::time::Instant::now() < until,
            "a revoked token still reads"
        );
    }
    // A program sends its token with each request, and gets no forms.
    let bearer = format!("Bearer {narrow}");
    let bearer = [("Authorization", bearer.as_str())];
    served
        .request("GET", "/index.json", &bearer, b"")
        .status(200);
    served
        .request("GET", "/jobs/other/run", &bearer, b"")
        .status(400);
}

#[test]
fn paths_and_redirects_lead_nowhere_else() {
    let biopsies = Biopsies::scored("console_paths");
    let sandbox = &biopsies.sandbox;
    let anna = token(sandbox, "anna", "read,run", &[]);
    let served = serve(sandbox, &[]);
    let cookie = log_in(&served, &anna);
    for path in [
        "/jobs/../../etc/passwd",
        "/jobs/%2e%2e/%2e%2e/etc/passwd",
        "/assets/../Cargo.toml",
        "/assets/..%2f..%2fCargo.toml",
        "/jobs/%00",
        "/jobs/%ff",
        "/jobs//tumour",
        "/jobs/tumour/",
        "/jobs/tumour/runs/1",
        "/jobs/tumour/runs/%27%20OR%201=1",
        "/jobs/tumour/run.json",
        "/jobs/none",
        "/models/none",
        "/models/tumour/versions/99",
        "/requests/none",
        "/jobs/tumour/none",
        "/experiments/tumour/none",
        "/jobs/tumour.csv?table=none",
        "/jobs/none/run",
        "/jobs/none/triggers/x",
    ] {
        let reply = get(&served, path, &cookie);
        assert!(
            [400, 404].contains(&reply.status),
            "{path}: {}",
            reply.status
        );
    }
    for next in [
        "https%3A%2F%2Fevil.example",
        "%2F%2Fevil.example",
        "%2F%5Cevil.example",
        "%5C%5Cevil.example",
        "javascript%3Aalert(1)",
        "%2Fjobs%2F..%2F..%2Fevil",
        "%0d%0aLocation:%20https:%2F%2Fevil.example",
    ] {
        let body = format!("token={anna}&next={next}");
        let reply = served
            .request("POST", "/login", &[FORM, OWN], body.as_bytes())
            .status(303);
        assert_eq!(reply.header("location"), Some("/"), "{next}");
    }
    // A stranger is led to the login, and told nothing.
    let stranger = served.get("/jobs/tumour?runs.q=x").status(303);
    let location = stranger.header("location").unwrap();
    assert_eq!(location, "/login?next=%2Fjobs%2Ftumour%3Fruns.q%3Dx");
    served.get("/events?page=%2F").status(401);
    // The API is as it was: it knows no cookies.
    get(&served, "/v1/jobs", &cookie).status(401);
    get(&served, "/v1/none", &cookie).status(401);
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        served
            .request(method, "/jobs/tumour", &[("Cookie", &cookie)], b"")
            .status(405);
    }
    let large = vec![b'x'; 20_000];
    let headers = [FORM, OWN, ("Cookie", cookie.as_str())];
    served
        .request("POST", "/jobs/tumour/run", &headers, &large)
        .status(400);

    // Nothing can be framed, sniffed, kept or run from elsewhere.
    for path in ["/", "/login", "/jobs/none", "/jobs/tumour.csv"] {
        let reply = get(&served, path, &cookie);
        let policy = reply.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.header("x-frame-options"), Some("DENY"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn the_console_is_for_this_machine_or_for_tls() {
    let biopsies = Biopsies::scored("console_open");
    let sandbox = &biopsies.sandbox;
    let open = [
        "serve",
        "--console",
        "--open",
        "--serve-listen",
        "0.0.0.0:0",
    ];
    let refused = sandbox.json(&open).code(2);
    assert_eq!(refused.error()["code"], "serve.console_plain");
    let unused = ["serve", "--console-session", "1h"];
    sandbox.json(&unused).code(2);

    // Without tokens a session begins by itself, but not under a name that a stranger may have.
    let served = Served::start(sandbox, &["--console"]);
    served.get("/").status(403);
    served.get("/jobs/tumour.json").status(403);
    let local = head(&served, "GET", "/", &[]);
    assert!(
        local.contains("HTTP/1.1 200") && local.contains("set-cookie: __Host-helenus="),
        "{local}"
    );
    let evil = head(
        &served,
        "POST",
        "/jobs/tumour/run",
        &["Origin: https://evil.example"],
    );
    assert!(evil.contains("HTTP/1.1 403"), "{evil}");
    // A server without a console has no pages.
    let plain = Served::start(sandbox, &[]);
    plain.get("/").status(404);
    plain.get("/jobs/tumour").status(404);
}

/// A request that calls the server by its address.
fn head(served: &Served, method: &str, path: &str, headers: &[&str]) -> String {
    use std::io::{Read, Write};

    let mut stream = served.connect();
    let mut text = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
        served.address
    );
    for header in headers {
        text.push_str(&format!("{header}\r\n"));
    }
    if method == "POST" {
        text.push_str("Content-Length: 0\r\n");
    }
    stream.write_all(format!("{text}\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
