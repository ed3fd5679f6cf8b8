//! Checks the settings of `helenus serve`: who may call it, and its certificate.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Report, State};
use crate::{
    config::{Serve, ServeTls},
    domain::token::{self, TokenEntry},
    http::{tls, validity},
};

const CHECK: &str = "serving";
/// Time before the end of a token or certificate at which there is a warning.
const SOON: TimeDelta = TimeDelta::days(14);
/// Permission of users other than the owner and the group to read.
const READABLE: u32 = 0o004;
/// Permission of users other than the owner to write.
const WRITABLE: u32 = 0o022;

/// Checks the settings.
pub fn examine(report: &mut Report, serve: &Serve) {
    let now = Utc::now();
    match &serve.tokens {
        Some(path) => tokens(report, path, now),
        None if serve.listen.ip().is_loopback() => report.good(
            CHECK,
            "no file of tokens: `helenus serve` serves this machine only",
        ),
        None => report.add(
            CHECK,
            State::Warning,
            format!(
                "{} is reached by other machines, and there are no tokens",
                serve.listen
            ),
            "make tokens with `helenus token new`; without them `helenus serve` needs --open",
        ),
    }
    match &serve.tls {
        Some(files) => certificate(report, files, now),
        None if serve.tokens.is_some() && !serve.listen.ip().is_loopback() => report.add(
            CHECK,
            State::Warning,
            "tokens travel without TLS",
            "set serve.tls_cert and serve.tls_key, unless a proxy in front has the certificate",
        ),
        None => {}
    }
}

fn tokens(report: &mut Report, path: &Path, now: DateTime<Utc>) {
    let file = path.display().to_string();
    let read = fs::metadata(path).and_then(|found| Ok((found, fs::read_to_string(path)?)));
    let (metadata, text) = match read {
        Ok(read) => read,
        Err(error) => {
            let text = format!("{file}: {error}");
            let help = "`helenus token new` makes it; helenus must be able to read it";
            return report.add(CHECK, State::Bad, text, help);
        }
    };
    let mode = metadata.mode();
    if mode & (READABLE | WRITABLE) != 0 {
        let text = format!(
            "{file}: other users can read or change it (mode {:04o})",
            mode & 0o7777
        );
        report.add(
            CHECK,
            State::Warning,
            text,
            "chmod 600, or 640 with a group for helenus",
        );
    }
    match token::parse(&file, &text) {
        Err(problems) => {
            for problem in &problems {
                report.add(CHECK, State::Bad, problem.line(), "");
            }
        }
        Ok(entries) => expiry(report, &file, &entries, now),
    }
}

fn expiry(report: &mut Report, file: &str, entries: &[TokenEntry], now: DateTime<Utc>) {
    let names = |is_meant: &dyn Fn(&TokenEntry) -> bool| {
        let meant = entries.iter().filter(|entry| is_meant(entry));
        meant
            .map(|entry| entry.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let expired = names(&|entry| entry.is_expired(now));
    let soon = names(&|entry| entry.is_expired(now + SOON) && !entry.is_expired(now));
    let help = "`helenus token new` makes new ones, `helenus token revoke` removes old ones";
    if !expired.is_empty() {
        let text = format!("{file}: tokens that have expired: {expired}");
        report.add(CHECK, State::Warning, text, help);
    }
    if !soon.is_empty() {
        let days = SOON.num_days();
        let text = format!("{file}: tokens that expire within {days} days: {soon}");
        report.add(CHECK, State::Warning, text, help);
    }
    if entries.is_empty() {
        let text = format!("{file}: there are no tokens, so no caller is accepted");
        report.add(CHECK, State::Warning, text, help);
    } else if expired.is_empty() && soon.is_empty() {
        report.good(CHECK, format!("{file}: {} tokens", entries.len()));
    }
}

fn certificate(report: &mut Report, files: &ServeTls, now: DateTime<Utc>) {
    // What the server itself does at its start.
    let read = tls::server_config(files, Vec::new())
        .and_then(|_| tls::read_chain(&files.cert, "serve.tls_cert"));
    let chain = match read {
        Ok(chain) => chain,
        Err(failure) => return report.failure(CHECK, &failure),
    };
    let file = files.cert.display();
    let ends = chain
        .iter()
        .filter_map(|certificate| validity::not_after(certificate));
    let help = "replace the files; a running server reads them within a second";
    match ends.min() {
        None => report.good(CHECK, format!("{file}: certificate and key fit together")),
        Some(end) if end <= now => {
            let text = format!("{file}: the certificate expired on {}", end.format("%F"));
            report.add(CHECK, State::Bad, text, help);
        }
        Some(end) => {
            let text = format!(
                "{file}: the certificate is valid until {}",
                end.format("%F")
            );
            match end <= now + SOON {
                true => report.add(CHECK, State::Warning, text, help),
                false => report.good(CHECK, text),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, path::PathBuf};

    use super::*;

    fn serve(listen: &str) -> Serve {
        let flags = crate::config::Flags {
            // A file that exists and says nothing: no other is looked for.
            config: Some("/dev/null".into()),
            serve_listen: Some(listen.to_owned()),
            ..Default::default()
        };
        crate::config::Config::resolve(&flags).unwrap().serve
    }

    fn found(serve: &Serve) -> Vec<(State, String)> {
        let mut report = Report::default();
        examine(&mut report, serve);
        let findings = report.0.into_iter();
        findings.map(|one| (one.state, one.text)).collect()
    }

    #[track_caller]
    fn assert_found(serve: &Serve, expected: &[(State, &str)]) {
        let found = found(serve);
        let is_right = |((state, text), expected): (&(State, String), &(State, &str))| {
            *state == expected.0 && text.contains(expected.1)
        };
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        assert!(found.iter().zip(expected).all(is_right), "{found:#?}");
    }

    #[test]
    fn a_server_for_other_machines_should_have_tokens_and_tls() {
        let mut open = serve("0.0.0.0:8080");
        assert_found(
            &serve("127.0.0.1:8080"),
            &[(State::Good, "this machine only")],
        );
        assert_found(&open, &[(State::Warning, "there are no tokens")]);
        open.tokens = Some("/nowhere/tokens.toml".into());
        assert_found(
            &open,
            &[
                (State::Bad, "/nowhere/tokens.toml"),
                (State::Warning, "without TLS"),
            ],
        );
    }

    #[test]
    fn a_file_of_tokens_is_private_valid_and_up_to_date() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let entry = |name: &str, days: i64| TokenEntry {
            name: name.to_owned(),
            sha256: token::sha256(name),
            rights: vec![token::Right::Score],
            jobs: None,
            models: None,
            expires: Some(Utc::now() + TimeDelta::days(days)),
        };
        let mut serve = serve("127.0.0.1:8080");
        serve.tokens = Some(path.clone());
        let write = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        write(&entry("good", 100).render(), 0o600);
        assert_found(&serve, &[(State::Good, "1 tokens")]);
        let two = token::append(&entry("late", -1).render(), &entry("soon", 3));
        write(&two, 0o644);
        assert_found(
            &serve,
            &[
                (State::Warning, "mode 0644"),
                (State::Warning, "have expired: late"),
                (State::Warning, "within 14 days: soon"),
            ],
        );
        write("[[token]]\nname = 'x'\n", 0o640);
        assert_found(
            &serve,
            &[(State::Bad, "no `sha256`"), (State::Bad, "no `rights`")],
        );
        write("", 0o600);
        assert_found(&serve, &[(State::Warning, "no caller is accepted")]);
    }

    #[test]
    fn certificate_and_key_must_fit_together() {
        let file = |name: &str| {
            PathBuf::from(env!("CARGO_MANIFEST_DIR"))
                .join("tests/tls")
                .join(name)
        };
        let mut serve = serve("127.0.0.1:8080");
        let mut with = |cert: &str, key: &str| {
            serve.tls = Some(ServeTls {
                cert: file(cert),
                key: file(key),
                client_ca: Some(file("ca.pem")),
            });
            found(&serve).remove(1)
        };
        let (state, text) = with("node.pem", "node.key");
        assert_eq!(state, State::Good, "{text}");
        assert!(text.contains("valid until 2126-10-28"), "{text}");
        for (cert, key) in [
            ("node.pem", "client.key"),
            ("node.key", "node.key"),
            ("nowhere.pem", "node.key"),
        ] {
            let (state, text) = with(cert, key);
            assert_eq!(state, State::Bad, "{cert}, {key}: {text}");
        }
    }
}
