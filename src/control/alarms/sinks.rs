//! Where alarms are sent: the log, a webhook, a command.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::{
    config::{Config, SigningSecret, Webhook},
    domain::{
        alarm::{
            Alarm,
            delivery::{AlarmEvent, message, message_id},
        },
        printable::printable,
    },
    http::client::{self, Authorities},
    program::{Ended, Program},
};

/// A place that the settings name.
#[derive(Debug, Clone)]
pub enum AlarmSink {
    Log,
    Webhook(Webhook),
    /// A program and its arguments.
    Command(Vec<String>),
}

/// Returns the sinks of the settings.
pub fn sinks(config: &Config) -> Vec<AlarmSink> {
    let settings = &config.alarms;
    let mut sinks = Vec::new();
    if settings.log {
        sinks.push(AlarmSink::Log);
    }
    sinks.extend(settings.webhook.clone().map(AlarmSink::Webhook));
    if !settings.command.is_empty() {
        sinks.push(AlarmSink::Command(settings.command.clone()));
    }
    sinks
}

impl AlarmSink {
    /// Returns the stored spelling.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Webhook(_) => "webhook",
            Self::Command(_) => "command",
        }
    }

    /// Sends the message about an event, within `limit`.
    ///
    /// # Errors
    /// Why it did not arrive, for people. It may have arrived all the same.
    pub async fn send(
        &self,
        alarm: &Alarm,
        event: AlarmEvent,
        keyspace: &str,
        limit: Duration,
    ) -> Result<(), String> {
        match self {
            Self::Log => {
                log(alarm, event);
                Ok(())
            }
            Self::Webhook(webhook) => {
                let sent = post(webhook, alarm, event, keyspace);
                match tokio::time::timeout(limit, sent).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(format!("no answer within {} ms", limit.as_millis())),
                }
            }
            Self::Command(words) => {
                let message = message(alarm, event, keyspace);
                run(words, &message, limit).await
            }
        }
    }
}

fn log(alarm: &Alarm, event: AlarmEvent) {
    let (job, kind, alarm_id) = (&alarm.job, &alarm.kind, alarm.id);
    let what = printable(&alarm.what);
    match event {
        AlarmEvent::Opened => tracing::warn!(job, kind, %alarm_id, "alarm: {what}"),
        AlarmEvent::Closed => tracing::info!(job, kind, %alarm_id, "alarm closed: {what}"),
    }
}

async fn post(
    webhook: &Webhook,
    alarm: &Alarm,
    event: AlarmEvent,
    keyspace: &str,
) -> Result<(), String> {
    let secret = webhook.secret()?;
    let body = message(alarm, event, keyspace).to_string();
    let id = message_id(alarm.id, event);
    let headers = signed(&secret, &id, Utc::now(), &body);
    let ca = Authorities {
        file: webhook.ca.as_deref(),
        setting: "alarms.webhook_ca",
    };
    let status = client::post(&webhook.url, &headers, body.into_bytes(), ca).await?;
    match status.is_success() {
        true => Ok(()),
        false => Err(format!("it answered {status}")),
    }
}

/// Returns the headers of Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`.
fn signed(
    secret: &SigningSecret,
    id: &str,
    now: DateTime<Utc>,
    body: &str,
) -> [(&'static str, String); 3] {
    let seconds = now.timestamp();
    // A key of any length is permitted.
    let mut mac = match Hmac::<Sha256>::new_from_slice(secret.reveal()) {
        Ok(mac) => mac,
        Err(error) => unreachable!("{error}"),
    };
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", format!("v1,{signature}")),
    ]
}

async fn run(words: &[String], message: &Value, limit: Duration) -> Result<(), String> {
    let program = Program {
        words: words.to_vec(),
        input: format!("{message}\n").into_bytes(),
        time_limit: limit,
        ..Program::default()
    };
    match program.run().await {
        Ok(Ended::Exited(status)) if status.success() => Ok(()),
        Ok(Ended::Exited(status)) => Err(format!("the command ended with {status}")),
        Ok(Ended::TimedOut) => Err(format!(
            "the command did not end within {} ms",
            limit.as_millis()
        )),
        Err(error) => Err(format!("the command could not be started: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks libraries.
    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let at = DateTime::from_timestamp(1_614_265_330, 0).unwrap();
        let headers = signed(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            at,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(
            headers[2].1,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
