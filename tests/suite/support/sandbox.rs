//! Keyspaces for one test.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
    time::Instant,
};

use super::{
    cassandra::{self, Named, contact},
    cli::{self, Output, Running},
    keyspaces::Keyspace,
    random_name, times,
};

/// Keyspaces that are dropped together: each that waits makes every schema change a little slower.
const AT_ONCE: usize = 24;

/// helenus's keyspace, a keyspace for the user's tables, and a directory.
///
/// Each table costs Cassandra a few hundred kilobytes of heap and every later schema change some
/// time: after the sandbox its keyspaces are dropped, or emptied for the next test, unless the test
/// failed.
pub struct Sandbox {
    /// helenus's own keyspace.
    pub keyspace: String,
    /// The user's keyspace.
    pub data: String,
    directory: tempfile::TempDir,
    suffix: String,
    /// Whether tests share helenus's keyspace.
    is_shared: bool,
    /// helenus's keyspace, if it came from the pool or goes there.
    pooled: Option<Keyspace>,
    began: Instant,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        times::note(self.began);
        // A worker of another test may still look at a shared one's jobs, and so at their tables.
        if self.is_shared || std::thread::panicking() {
            return;
        }
        drop_later(&self.data);
        match self.pooled.take() {
            Some(keyspace) => keyspace.give_back(),
            None => drop_later(&self.keyspace),
        }
    }
}

/// Drops keyspaces some at a time. For each table that goes Cassandra flushes all tables that were
/// written since the last one went: a third of its work in this suite, when tests dropped theirs one
/// by one. What is left at the end goes with the server.
fn drop_later(keyspace: &str) {
    static GONE: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let gone = {
        let mut gone = GONE.lock().unwrap_or_else(PoisonError::into_inner);
        gone.push(keyspace.to_owned());
        match gone.len() < AT_ONCE {
            true => return,
            false => std::mem::take(&mut *gone),
        }
    };
    for keyspace in gone {
        cassandra::cql(&format!("DROP KEYSPACE IF EXISTS \"{keyspace}\""));
    }
}

impl Sandbox {
    /// Nothing but an empty keyspace for the user; helenus's does not exist.
    pub fn empty(test: &str) -> Self {
        let suffix = random_name();
        let stem: String = test.chars().take(24).collect();
        let sandbox = Self {
            keyspace: format!("t_{stem}_{suffix}"),
            data: format!("d_{stem}_{suffix}"),
            directory: tempfile::tempdir().unwrap(),
            suffix,
            is_shared: false,
            pooled: None,
            began: Instant::now(),
        };
        create_keyspace(&sandbox.data);
        sandbox
    }

    /// A migrated keyspace of the test's own, with a lease time of 15 s.
    pub fn migrated(test: &str) -> Self {
        Self::migrated_with(test, &[])
    }

    /// A migrated keyspace of the test's own, with options of `migrate` (`--lease-seconds 2`).
    #[track_caller]
    pub fn migrated_with(test: &str, options: &[&str]) -> Self {
        let mut sandbox = Self::empty(test);
        let keyspace = Keyspace::idle(options).unwrap_or_else(|| {
            create_keyspace(&sandbox.keyspace);
            sandbox.migrate(options);
            Keyspace::just_migrated(&sandbox.keyspace, options)
        });
        sandbox.keyspace.clone_from(&keyspace.name);
        sandbox.pooled = Some(keyspace);
        sandbox
    }

    /// Migrates. A Cassandra that has just started, with several tests at it, may cost `migrate` its
    /// lease of two seconds (exit 3); the same command goes on where it was.
    #[track_caller]
    fn migrate(&self, options: &[&str]) {
        let migrate = || self.helenus(&[&["migrate"], options].concat());
        let mut tries = (0..4).map(|_| migrate());
        match tries.find(|tried| tried.code != Some(3)) {
            Some(migrated) => drop(migrated.ok()),
            None => drop(migrate().ok()),
        }
    }

    /// The migrated keyspace that tests of this process share: for those that only look at models
    /// and jobs whose names are their own ([`Sandbox::name`]). The user's keyspace is not shared.
    pub fn shared(test: &str) -> Self {
        static SHARED: OnceLock<String> = OnceLock::new();
        let keyspace = SHARED.get_or_init(|| {
            let mut sandbox = Self::migrated("shared");
            sandbox.is_shared = true;
            sandbox.keyspace.clone()
        });
        let mut sandbox = Self::empty(test);
        sandbox.keyspace.clone_from(keyspace);
        sandbox.is_shared = true;
        sandbox
    }

    /// A name that no other test uses; at most 28 characters if `stem` has at most 19.
    pub fn name(&self, stem: &str) -> String {
        format!("{stem}_{}", self.suffix)
    }

    /// A directory of the test's own, which is also the working directory of what it runs.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file there.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Runs helenus to its end.
    #[track_caller]
    pub fn helenus(&self, arguments: &[&str]) -> Output {
        cli::run(self.command(arguments))
    }

    /// Runs helenus to its end with `--output json`.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Output {
        self.helenus(&[arguments, &["--output", "json"]].concat())
    }

    /// Starts helenus.
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }

    /// helenus, set up for this sandbox, not yet started.
    pub fn command(&self, arguments: &[&str]) -> std::process::Command {
        let environment = [
            ("HELENUS_CONTACT_POINTS".to_owned(), contact()),
            ("HELENUS_KEYSPACE".to_owned(), self.keyspace.clone()),
        ];
        let mut command = cli::helenus(self.directory(), &environment);
        command.args(arguments);
        command
    }

    /// Runs a statement. `{helenus}` stands for helenus's keyspace, `{data}` for the user's.
    #[track_caller]
    pub fn cql(&self, statement: &str) {
        cassandra::cql(&self.filled(statement));
    }

    /// All rows of a SELECT; placeholders as in [`Sandbox::cql`].
    #[track_caller]
    pub fn rows(&self, select: &str) -> Vec<Named> {
        cassandra::rows(&self.filled(select))
    }

    /// The only row of a SELECT; placeholders as in [`Sandbox::cql`].
    #[track_caller]
    pub fn row(&self, select: &str) -> Named {
        cassandra::row(&self.filled(select))
    }

    /// A text with its placeholders filled in.
    pub fn filled(&self, text: &str) -> String {
        text.replace("{helenus}", &self.keyspace)
            .replace("{data}", &self.data)
    }

    /// helenus's own way to this keyspace, for tests of `store` and `worker`.
    pub fn config(&self) -> helenus::config::Config {
        // Admission starts helenus again, which this process is not.
        helenus::scorer::child::use_program(env!("CARGO_BIN_EXE_helenus"));
        let flags = helenus::config::Flags {
            // A file that exists and says nothing: no other is looked for.
            config: Some("/dev/null".into()),
            contact_points: Some(contact()),
            keyspace: Some(self.keyspace.clone()),
            ..Default::default()
        };
        helenus::config::Config::resolve(&flags).unwrap()
    }

    /// A connected store on this keyspace. Call it inside [`super::block_on`].
    pub async fn store(&self) -> helenus::store::Store {
        helenus::store::Store::connect(&self.config())
            .await
            .unwrap()
    }
}

fn create_keyspace(name: &str) {
    // Without the commit log schema changes cost less, and no test here loses power.
    cassandra::cql(&format!(
        "CREATE KEYSPACE \"{name}\" WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}} AND durable_writes = false"
    ));
}
