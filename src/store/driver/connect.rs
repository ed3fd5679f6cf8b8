//! Opens a session from a configuration, or explains what to fix.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use scylla::{
    client::{
        execution_profile::ExecutionProfile, session::Session, session_builder::SessionBuilder,
    },
    frame::Compression as FrameCompression,
    statement::Consistency as DriverConsistency,
};

use super::{
    budget::{Budget, ROW_BYTES},
    connect_failure::{explain, unreachable},
    ddl::once_visible,
    error::{StoreError, StoreErrorKind},
    gate::Gate,
    statement::Cache,
};
use crate::{
    config::{Compression, Config, Consistency, Tls},
    domain::problem::Problem,
    failure::Failure,
    store::{
        Gates, Store,
        admin::settings::{SCHEMA_VERSION, Serial, Settings},
    },
};

/// The partitioner whose tokens helenus computes.
const PARTITIONER: &str = "org.apache.cassandra.dht.Murmur3Partitioner";

impl Store {
    /// Opens a session on a migrated keyspace.
    ///
    /// # Errors
    /// All with exit 3 and what to do: no node answers, wrong credentials, unknown data centre, a
    /// release that is too old, wrong partitioner, keyspace missing, not migrated, newer than this binary, or conditional
    /// writes belong to another data centre.
    pub async fn connect(config: &Config) -> Result<Self, Failure> {
        let mut store = Self::connect_unmigrated(config).await?;
        if !store.use_keyspace().await? {
            return Err(not_migrated(config, "does not exist"));
        }
        let settings = match store.read_settings().await {
            Ok(Some(settings)) => settings,
            Ok(None) => return Err(not_migrated(config, "is not migrated")),
            Err(error) if error.kind == StoreErrorKind::Missing => {
                return Err(not_migrated(config, "is not migrated"));
            }
            Err(error) => return Err(error.into()),
        };
        store.adopt(settings)?;
        match store.settings.schema_version {
            0 => Err(not_migrated(config, "was not migrated to the end")),
            version if version < SCHEMA_VERSION => Err(Failure::system(
                Problem::new(
                    "schema.old",
                    format!(
                        "keyspace `{}` has schema {version}, this helenus needs {SCHEMA_VERSION}",
                        config.keyspace
                    ),
                )
                .help("run `helenus migrate`"),
            )),
            version if version > SCHEMA_VERSION => Err(newer(config, version)),
            _ => Ok(store),
        }
    }

    /// Opens a session without a keyspace and with default settings: for migrate and doctor.
    ///
    /// # Errors
    /// As [`Store::connect`], except for those about the keyspace.
    pub async fn connect_unmigrated(config: &Config) -> Result<Self, Failure> {
        let session = open(config).await?;
        let store = Self {
            session: Arc::new(session),
            config: Arc::new(config.clone()),
            settings: Settings::default(),
            statements: Arc::new(Cache::default()),
            gates: Arc::new(Gates {
                // Each reader reads two tables in step.
                reads: Gate::of_reads(2 * config.readers),
                writes: Gate::of_writes(config.concurrency),
            }),
            rows: Budget::new(ROW_BYTES),
            row_sizes: Arc::default(),
        };
        store.check_datacenter()?;
        if let Some(problem) = store.release().await?.too_old() {
            return Err(Failure::system(problem));
        }
        let partitioner = store
            .row::<(String,)>(
                "SELECT partitioner FROM system.local WHERE key = 'local'",
                (),
            )
            .await?;
        match partitioner {
            Some((name,)) if name == PARTITIONER => {}
            other => {
                let name = other.map(|(name,)| name).unwrap_or_default();
                return Err(Failure::system(
                    Problem::new(
                        "cassandra.partitioner",
                        format!("the cluster's partitioner is `{name}`"),
                    )
                    .help("helenus reads by Murmur3 token ranges; only Murmur3Partitioner works"),
                ));
            }
        }
        Ok(store)
    }

    /// Makes helenus's keyspace the current one; returns `false` if it does not exist.
    pub(in crate::store) async fn use_keyspace(&self) -> Result<bool, Failure> {
        let keyspace = self.keyspace();
        let found = self
            .row::<(String,)>(
                "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?",
                (keyspace,),
            )
            .await?;
        if found.is_none() {
            return Ok(false);
        }
        once_visible(|| async {
            self.session
                .use_keyspace(keyspace, true)
                .await
                .map_err(|error| StoreError::use_keyspace(&error, keyspace))
        })
        .await?;
        Ok(true)
    }

    /// Adopts these settings.
    ///
    /// # Errors
    /// Conditional writes belong to a data centre other than this process's.
    pub(in crate::store) fn adopt(&mut self, settings: Settings) -> Result<(), Failure> {
        if let Serial::Local(control) = &settings.serial {
            let mut here = self.datacenters();
            if let Some(local) = &self.config.local_datacenter {
                here.retain(|name| name == local);
            }
            if here.len() != 1 || here[0] != *control {
                return Err(Failure::system(
                    Problem::new(
                        "cassandra.control_datacenter",
                        format!(
                            "conditional writes of keyspace `{}` belong to data centre `{control}`, this process uses {}",
                            self.keyspace(),
                            listed(&here)
                        ),
                    )
                    .help(format!("start it in `{control}` with --local-datacenter {control}: elsewhere two processes could hold one lease")),
                ));
            }
        }
        if settings != self.settings {
            self.settings = settings;
            // Prepared statements carry the serial consistency.
            self.statements = Arc::new(Cache::default());
        }
        Ok(())
    }

    fn check_datacenter(&self) -> Result<(), Failure> {
        let Some(local) = &self.config.local_datacenter else {
            return Ok(());
        };
        let known = self.datacenters();
        if known.contains(local) {
            return Ok(());
        }
        Err(Failure::system(
            Problem::new(
                "cassandra.datacenter",
                format!("data centre `{local}` has no node"),
            )
            .help(format!(
                "the cluster has {}; set local_datacenter to one of them",
                listed(&known)
            )),
        ))
    }

    /// Returns the names of the data centres that the driver currently knows.
    pub fn datacenters(&self) -> Vec<String> {
        let state = self.session.get_cluster_state();
        let mut names: Vec<_> = state
            .get_nodes_info()
            .iter()
            .filter_map(|node| node.datacenter.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// Returns the failure for a keyspace that was not migrated, or not completely.
pub(in crate::store) fn not_migrated(config: &Config, what: &str) -> Failure {
    Failure::system(
        Problem::new(
            "schema.missing",
            format!("keyspace `{}` {what}", config.keyspace),
        )
        .help("run `helenus migrate`, or name another keyspace with --keyspace"),
    )
}

/// Returns the failure for a keyspace that a newer helenus has migrated.
pub(in crate::store) fn newer(config: &Config, version: i32) -> Failure {
    Failure::system(
        Problem::new(
            "schema.newer",
            format!(
                "keyspace `{}` has schema {version}, newer than this helenus ({} knows {SCHEMA_VERSION})",
                config.keyspace,
                env!("CARGO_PKG_VERSION")
            ),
        )
        .help("upgrade helenus; an older one could write what newer ones misread"),
    )
}

async fn open(config: &Config) -> Result<Session, Failure> {
    let profile = ExecutionProfile::builder()
        .consistency(match config.consistency {
            Consistency::LocalQuorum => DriverConsistency::LocalQuorum,
            Consistency::Quorum => DriverConsistency::Quorum,
            Consistency::All => DriverConsistency::All,
        })
        .request_timeout(Some(config.request_timeout))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&config.contact_points)
        .default_execution_profile_handle(profile.into_handle())
        .connection_timeout(config.connect_timeout)
        // Routing needs keyspaces and tables; columns are read from system_schema when needed.
        .fetch_full_schema_metadata(false)
        // Schema changes wait for agreement themselves, and nothing here needs to know about new
        // tables: the driver would read the whole schema again after each change.
        .auto_await_schema_agreement(false)
        .compression(match config.compression {
            Compression::None => None,
            Compression::Lz4 => Some(FrameCompression::Lz4),
            Compression::Snappy => Some(FrameCompression::Snappy),
        });
    if let (Some(username), Some(password)) = (&config.username, &config.password) {
        builder = builder.user(username, password.reveal());
    }
    if let Some(datacenter) = &config.local_datacenter {
        builder = builder.prefer_datacenter(datacenter.clone());
    }
    if let Some(tls) = &config.tls {
        builder = builder.tls_context(Some(Arc::new(client_config(tls)?)));
    }
    // The driver's own limit covers only the TCP part of each connection; without this limit, a
    // silent port would block until keep-alive gives up, a minute later.
    let points = u32::try_from(config.contact_points.len()).unwrap_or(u32::MAX);
    let limit = config
        .connect_timeout
        .saturating_mul(points.saturating_add(1));
    match tokio::time::timeout(limit, builder.build()).await {
        Ok(built) => built.map_err(|error| explain(&error, config)),
        Err(_) => Err(unreachable(
            config,
            &format!("no answer within {limit:?}"),
            "does that port speak CQL (and TLS as configured), and is Cassandra not overloaded? connect_timeout sets the limit",
        )),
    }
}

fn client_config(tls: &Tls) -> Result<ClientConfig, Failure> {
    let unusable = |path: &std::path::Path, error: String| {
        Failure::input(
            Problem::new("tls.unusable", format!("certificate or key: {error}"))
                .at(path.display().to_string())
                .help("PEM files are needed"),
        )
    };
    let certificates = |path: &std::path::Path| {
        CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unusable(path, error.to_string()))
            .and_then(|found| match found.is_empty() {
                true => Err(unusable(path, "holds no certificate".to_owned())),
                false => Ok(found),
            })
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(&tls.ca, error.to_string()))?;
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    match &tls.client {
        None => Ok(builder.with_no_client_auth()),
        Some((cert, key)) => {
            let private = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unusable(key, error.to_string()))?;
            builder
                .with_client_auth_cert(certificates(cert)?, private)
                .map_err(|error| unusable(cert, error.to_string()))
        }
    }
}
