//! What people use beside helenus: cqlsh and Python's driver.

use std::process::{Command, Stdio};

use super::{
    cassandra::contact,
    cli::{Output, run},
    required,
    sandbox::Sandbox,
};

impl Sandbox {
    /// Runs statements through cqlsh; placeholders as in [`Sandbox::cql`].
    #[track_caller]
    pub fn cqlsh(&self, statements: &str) -> Output {
        let contact = contact();
        let (host, port) = contact.rsplit_once(':').unwrap();
        let mut command = Command::new(required("HELENUS_TEST_CQLSH"));
        command
            .args([
                "--no-color",
                "--request-timeout=60",
                host,
                port,
                "--execute",
            ])
            .arg(self.filled(statements))
            .current_dir(self.directory())
            .stdin(Stdio::null());
        run(command)
    }

    /// Runs a Python program that finds `session` (cassandra-driver, connected), `helenus` and
    /// `data` (the keyspaces' names) defined, and `sys.argv[1:]`.
    #[track_caller]
    pub fn python(&self, program: &str, arguments: &[&str]) -> Output {
        let contact = contact();
        let (host, port) = contact.rsplit_once(':').unwrap();
        let prelude = format!(
            "import sys\nfrom cassandra.cluster import Cluster\n\
             cluster = Cluster(['{host}'], port={port}, schema_metadata_enabled=False, token_metadata_enabled=False)\n\
             session = cluster.connect()\nsession.default_timeout = 60\nhelenus, data = '{}', '{}'\n",
            self.keyspace, self.data
        );
        let mut command = Command::new(required("HELENUS_TEST_PYTHON"));
        command
            .arg("-c")
            .arg(format!("{prelude}{program}\ncluster.shutdown()\n"))
            .args(arguments)
            .current_dir(self.directory())
            .stdin(Stdio::null());
        run(command)
    }
}
