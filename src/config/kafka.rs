//! Settings of Kafka and of the schema registry.

use std::path::PathBuf;

use super::{Secret, layers::Layers, values};
use crate::domain::{job::stream::is_topic_name, problem::Problem};

/// The settings of Kafka, named `kafka.…` in the file.
#[derive(Debug, Clone, Default)]
pub struct Kafka {
    /// `host:port` each, separated by commas; Kafka is not used if `None`.
    pub brokers: Option<String>,
    pub security: KafkaSecurity,
    /// The login, if `security` has one.
    pub sasl: Option<KafkaLogin>,
    /// Authorities that signed the brokers' certificates; the system's if `None`.
    pub tls_ca: Option<PathBuf>,
    /// Client certificate and its private key, if the brokers require them.
    pub tls_client: Option<(PathBuf, PathBuf)>,
    /// URL of the schema registry, without a slash at its end.
    pub schema_registry: Option<String>,
    /// Authorities that signed the registry's certificate; the system's if `None`.
    pub schema_registry_ca: Option<PathBuf>,
    /// The topic of requests for runs, and that of its messages which are not requests.
    pub requests: Option<(String, String)>,
}

/// Kafka's `security.protocol`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KafkaSecurity {
    #[default]
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

/// A login by name and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaLogin {
    /// PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    pub mechanism: String,
    pub username: String,
    pub password: Secret,
}

impl KafkaSecurity {
    const ALL: [(&str, Self); 4] = [
        ("plaintext", Self::Plaintext),
        ("ssl", Self::Ssl),
        ("sasl_plaintext", Self::SaslPlaintext),
        ("sasl_ssl", Self::SaslSsl),
    ];

    /// Returns Kafka's name.
    pub fn name(self) -> &'static str {
        let named = Self::ALL.iter().find(|(_, security)| *security == self);
        named.map_or("plaintext", |(name, _)| name)
    }

    fn has_login(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }
}

pub(super) fn resolve(layers: &mut Layers) -> Kafka {
    let security = layers.required("kafka.security", |text| {
        let found = KafkaSecurity::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, security)| *security).ok_or_else(|| {
            format!("unknown value `{text}`: use plaintext, ssl, sasl_plaintext or sasl_ssl")
        })
    });
    let tls_ca = layers.optional("kafka.tls_ca", values::path);
    let tls_client = tls_client(layers);
    if !security.has_tls() && (tls_ca.is_some() || tls_client.is_some()) {
        incomplete(
            layers,
            "certificates for Kafka are given but `kafka.security` has no TLS",
            "set kafka.security to ssl or sasl_ssl",
        );
    }
    Kafka {
        brokers: layers.optional("kafka.brokers", brokers),
        sasl: login(layers, security),
        security,
        tls_ca,
        tls_client,
        schema_registry: layers.optional("kafka.schema_registry", |text| {
            super::alarms::url(text).map(|url| url.trim_end_matches('/').to_owned())
        }),
        schema_registry_ca: layers.optional("kafka.schema_registry_ca", values::path),
        requests: requests(layers),
    }
}

fn requests(layers: &mut Layers) -> Option<(String, String)> {
    let topic = layers.optional("kafka.requests_topic", topic_name);
    let dead_letters = layers.optional("kafka.requests_dead_letters", topic_name);
    match (topic, dead_letters) {
        (Some(topic), Some(dead_letters)) if topic != dead_letters => Some((topic, dead_letters)),
        (None, None) => None,
        _ => {
            incomplete(
                layers,
                "`kafka.requests_topic` needs a second topic for what is not a request",
                "set kafka.requests_topic and kafka.requests_dead_letters to different topics",
            );
            None
        }
    }
}

fn topic_name(text: &str) -> Result<String, String> {
    match is_topic_name(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is not a valid topic name")),
    }
}

fn brokers(text: &str) -> Result<String, String> {
    let brokers: Vec<&str> = text.split(',').map(str::trim).collect();
    let is_broker = |broker: &&str| {
        broker
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    match brokers.iter().all(is_broker) {
        true => Ok(brokers.join(",")),
        false => Err(format!(
            "invalid brokers `{text}`: use `host:port`, separated by commas"
        )),
    }
}

fn tls_client(layers: &mut Layers) -> Option<(PathBuf, PathBuf)> {
    let cert = layers.optional("kafka.tls_cert", values::path);
    let key = layers.optional("kafka.tls_key", values::path);
    if cert.is_some() != key.is_some() {
        incomplete(
            layers,
            "`kafka.tls_cert` and `kafka.tls_key` must be given together",
            "give the client's certificate and its private key, or neither",
        );
    }
    cert.zip(key)
}

fn login(layers: &mut Layers, security: KafkaSecurity) -> Option<KafkaLogin> {
    let mechanism = layers.required("kafka.sasl_mechanism", |text| match text {
        "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512" => Ok(text.to_owned()),
        _ => Err(format!(
            "unknown mechanism `{text}`: use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
        )),
    });
    let username = layers.optional("kafka.sasl_username", values::text);
    let file = layers.optional("kafka.sasl_password_file", values::path);
    match (security.has_login(), username, file) {
        (true, Some(username), Some(file)) => match std::fs::read_to_string(&file) {
            Ok(text) => Some(KafkaLogin {
                mechanism,
                username,
                password: Secret::new(text.trim_end_matches(['\r', '\n'])),
            }),
            Err(error) => {
                let message = format!("cannot read the password file: {error}");
                let problem = Problem::new("config.unreadable", message);
                layers.problems.push(problem.at(file.display().to_string()));
                None
            }
        },
        (false, None, None) => None,
        (true, ..) => {
            incomplete(
                layers,
                "`kafka.security` has a login, but its name or password is not given",
                "set kafka.sasl_username and kafka.sasl_password_file",
            );
            None
        }
        (false, ..) => {
            incomplete(
                layers,
                "a login for Kafka is given but `kafka.security` has none",
                "set kafka.security to sasl_ssl",
            );
            None
        }
    }
}

fn incomplete(layers: &mut Layers, message: &str, help: &str) {
    let problem = Problem::new("config.incomplete", message).help(help);
    layers.problems.push(problem);
}

#[cfg(test)]
mod tests {
    use super::brokers;

    #[test]
    fn brokers_have_ports() {
        assert_eq!(brokers("a:9092, [::1]:9093").unwrap(), "a:9092,[::1]:9093");
        for wrong in ["", "a", "a:port", "a:9092,", ":9092"] {
            assert!(brokers(wrong).is_err(), "{wrong}");
        }
    }
}
