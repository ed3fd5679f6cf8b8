//! The server's certificate, read again when its files change.

use std::{fs, path::Path, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;

use crate::{config::ServeTls, domain::problem::Problem, failure::Failure};

/// The certificate and key that new connections get.
pub struct Certificates {
    files: ServeTls,
    protocols: Vec<Vec<u8>>,
    current: ArcSwap<ServerConfig>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Certificates").field(&self.files).finish()
    }
}

impl Certificates {
    /// Reads the files. `protocols`: for ALPN, such as `http/1.1`.
    ///
    /// # Errors
    /// As [`server_config`].
    pub fn read(files: &ServeTls, protocols: &[&str]) -> Result<Self, Failure> {
        let protocols: Vec<Vec<u8>> = protocols
            .iter()
            .map(|name| name.as_bytes().into())
            .collect();
        let config = server_config(files, protocols.clone())?;
        Ok(Self {
            files: files.clone(),
            protocols,
            current: ArcSwap::from_pointee(config),
        })
    }

    /// Returns what makes handshakes with the present certificate.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Reads the files again; connections under way keep the certificate they have.
    ///
    /// # Errors
    /// As [`server_config`]; the certificate stays as it was.
    pub fn reload(&self) -> Result<(), Failure> {
        let config = server_config(&self.files, self.protocols.clone())?;
        self.current.store(Arc::new(config));
        Ok(())
    }
}

/// Reads the PEM files of a TLS server.
///
/// # Errors
/// Exit 2: a file cannot be read or has no PEM of its kind, or the key is not the certificate's.
pub fn server_config(files: &ServeTls, protocols: Vec<Vec<u8>>) -> Result<ServerConfig, Failure> {
    let chain = read_chain(&files.cert, "serve.tls_cert")?;
    let key = PrivateKeyDer::from_pem_slice(&content(&files.key, "serve.tls_key")?)
        .map_err(|error| invalid(&files.key, "serve.tls_key", &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(&files.cert, "serve.tls_cert", &error))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let setting = "serve.tls_client_ca";
            let mut roots = RootCertStore::empty();
            for authority in read_chain(path, setting)? {
                let added = roots.add(authority);
                added.map_err(|error| invalid(path, setting, &error))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(
                verifier.map_err(|error| invalid(path, setting, &error))?,
            )
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        Failure::input(
            Problem::new("tls.invalid", format!("certificate and key: {error}"))
                .at(files.cert.display().to_string())
                .help(format!(
                    "serve.tls_key ({}) must be the key of this certificate",
                    files.key.display()
                )),
        )
    })?;
    config.alpn_protocols = protocols;
    Ok(config)
}

/// Reads the certificates of a PEM file; at least one.
///
/// # Errors
/// Exit 2: the file cannot be read, or has no certificate. `setting` names it.
pub fn read_chain(path: &Path, setting: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let bytes = content(path, setting)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| invalid(path, setting, &error))?;
    if chain.is_empty() {
        return Err(invalid(path, setting, &"it has no PEM certificate"));
    }
    Ok(chain)
}

fn content(path: &Path, setting: &str) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| invalid(path, setting, &error))
}

fn invalid(path: &Path, setting: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::input(
        Problem::new("tls.unreadable", format!("`{setting}`: {error}"))
            .at(path.display().to_string())
            .help("a PEM file is needed that helenus can read"),
    )
}
