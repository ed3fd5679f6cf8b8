//! A Cassandra with logins and permissions of a test's own.

use std::{path::Path, process::Command, time::Instant};

use scylla::client::{session::Session, session_builder::SessionBuilder};

use super::{
    block_on,
    cli::{self, Output, Running},
    required, times,
};

/// Started for one test, because it takes a quarter of a minute; wiped when dropped, and by
/// `make test` at its end.
pub struct Guarded {
    name: String,
    pub contact: String,
    directory: tempfile::TempDir,
    administrator: Session,
    began: Instant,
}

impl Guarded {
    pub fn start(what: &str) -> Self {
        let began = Instant::now();
        let name = format!("{}-{what}", required("HELENUS_TEST_NAME"));
        let up = script(
            &name,
            &["up", "--fast", "--unsafe", "--auth", "--port", "0"],
        )
        .ok();
        let contact = up.stdout.trim().lines().last().unwrap().to_owned();
        let administrator = session(&contact, "cassandra", "cassandra");
        Self {
            name,
            contact,
            directory: tempfile::tempdir().unwrap(),
            administrator,
            began,
        }
    }

    /// Where commands run.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The superuser's session.
    pub fn administrator(&self) -> &Session {
        &self.administrator
    }

    /// A session of a login whose password is its name.
    pub fn login(&self, role: &str) -> Session {
        session(&self.contact, role, role)
    }

    /// Runs a statement as superuser.
    #[track_caller]
    pub fn cql(&self, statement: &str) {
        block_on(self.administrator.query_unpaged(statement, ()))
            .unwrap_or_else(|error| panic!("{error}\n{statement}"));
    }

    /// helenus as a login whose password is its name, not yet started.
    pub fn command(&self, role: &str, arguments: &[&str]) -> Command {
        let environment = [
            ("HELENUS_CONTACT_POINTS", self.contact.as_str()),
            ("HELENUS_USERNAME", role),
            ("HELENUS_PASSWORD", role),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut command = cli::helenus(self.directory.path(), &environment);
        command.args(arguments).args(["--output", "json"]);
        command
    }

    /// Runs helenus to its end.
    #[track_caller]
    pub fn helenus(&self, role: &str, arguments: &[&str]) -> Output {
        cli::run(self.command(role, arguments))
    }

    /// Runs helenus to its end while `worker` goes over everything again and again.
    #[track_caller]
    pub fn served(&self, worker: &str, role: &str, arguments: &[&str]) -> Output {
        let mut asking = Running::start(self.command(role, arguments));
        while asking.is_running() {
            self.helenus(worker, &["worker", "--once"]).ok();
        }
        asking.finish()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        times::note(self.began);
        script(&self.name, &["wipe"]);
    }
}

fn session(contact: &str, user: &str, password: &str) -> Session {
    let builder = SessionBuilder::new()
        .known_node(contact)
        .fetch_schema_metadata(false)
        .user(user, password);
    block_on(builder.build()).unwrap()
}

fn script(name: &str, arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("scripts/cassandra"));
    command.args(arguments).args(["--name", name]);
    cli::run(command)
}
