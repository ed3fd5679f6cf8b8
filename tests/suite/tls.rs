//! TLS between helenus and Cassandra: who is trusted, who is asked to prove itself.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use crate::support::{Sandbox, cassandra, required};

/// TLS in front of the Cassandra under test; ends when dropped.
struct Proxy {
    child: Child,
    contact: String,
}

impl Proxy {
    fn start(certificate: &str, client_ca: Option<&str>) -> Self {
        let contact = cassandra::contact();
        let (host, port) = contact.rsplit_once(':').unwrap();
        let mut child = Command::new(required("HELENUS_TEST_PYTHON"))
            .arg(file("proxy.py"))
            .args([host, port])
            .args([
                file(&format!("{certificate}.pem")),
                file(&format!("{certificate}.key")),
            ])
            .args(client_ca.map(file))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            child,
            contact: format!("127.0.0.1:{}", line.trim()),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn file(name: &str) -> String {
    format!("{}/tests/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_node_that_the_authority_signed_with_its_address_is_trusted() {
    let sandbox = Sandbox::shared("tls_good");
    let proxy = Proxy::start("node", None);
    let listed = [
        "model",
        "list",
        "--tls-enabled",
        "--contact-points",
        &proxy.contact,
    ];
    sandbox
        .json(&[&listed[..], &["--tls-ca", &file("ca.pem")]].concat())
        .ok();

    let refused = sandbox
        .json(&[&listed[..], &["--tls-ca", &file("stranger.pem")]].concat())
        .code(3);
    assert_eq!(
        refused.error()["code"],
        "cassandra.unreachable",
        "{refused:?}"
    );
    assert!(
        refused.error()["help"]
            .as_str()
            .unwrap()
            .contains("tls.ca must have signed"),
        "{refused:?}"
    );

    let plain = sandbox
        .json(&[
            "model",
            "list",
            "--contact-points",
            &proxy.contact,
            "--connect-timeout",
            "2s",
        ])
        .code(3);
    assert!(
        plain.error()["help"].as_str().unwrap().contains("TLS"),
        "{plain:?}"
    );
}

#[test]
fn a_node_without_its_address_in_its_certificate_is_not_trusted() {
    let sandbox = Sandbox::shared("tls_san");
    let proxy = Proxy::start("nameless", None);
    let refused = sandbox
        .json(&[
            "model",
            "list",
            "--tls-enabled",
            "--contact-points",
            &proxy.contact,
            "--tls-ca",
            &file("ca.pem"),
        ])
        .code(3);
    assert!(
        refused.error()["help"]
            .as_str()
            .unwrap()
            .contains("subject alternative names"),
        "{refused:?}"
    );
}

#[test]
fn a_cluster_that_wants_a_clients_certificate_gets_it() {
    let sandbox = Sandbox::shared("tls_client");
    let proxy = Proxy::start("node", Some("ca.pem"));
    let (ca, cert, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let listed = [
        "model",
        "list",
        "--tls-enabled",
        "--contact-points",
        &proxy.contact,
        "--tls-ca",
        &ca,
    ];
    sandbox
        .json(&[&listed[..], &["--tls-cert", &cert, "--tls-key", &key]].concat())
        .ok();
    let refused = sandbox.json(&listed).code(3);
    assert_eq!(
        refused.error()["code"],
        "cassandra.unreachable",
        "{refused:?}"
    );
    let refused = sandbox
        .json(&[&listed[..], &["--tls-cert", &cert, "--tls-key", &cert]].concat())
        .code(2);
    assert_eq!(refused.error()["code"], "tls.unusable", "{refused:?}");
}

#[test]
fn a_cluster_without_tls_is_not_spoken_to_in_tls() {
    let sandbox = Sandbox::shared("tls_none");
    let refused = sandbox
        .json(&[
            "model",
            "list",
            "--tls-enabled",
            "--tls-ca",
            &file("ca.pem"),
            "--connect-timeout",
            "2s",
        ])
        .code(3);
    assert!(
        refused.error()["help"].as_str().unwrap().contains("TLS"),
        "{refused:?}"
    );
}
