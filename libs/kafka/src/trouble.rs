//! Why connections to Kafka fail. librdkafka reports this in callbacks; its calls only report a timeout.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

use crate::explain::{explain, failure};

/// How long a problem counts as recent. librdkafka repeats a lasting one every 30 seconds.
const RECENT: Duration = Duration::from_secs(60);

/// The last connection problem of a client.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Option<(Instant, String)>>>);

impl Trouble {
    /// Records what librdkafka reports about a connection.
    pub fn note(&self, words: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), explain(words)));
    }

    /// Adds the recent connection problem, if there is one, to an error.
    #[must_use]
    pub fn with(&self, source: KafkaError) -> ExplainedError {
        ExplainedError { source: Box::new(source), trouble: self.recent() }
    }

    /// Returns the last problem if it is recent.
    #[must_use]
    pub fn recent(&self) -> Option<String> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(at, _)| at.elapsed() < RECENT).map(|(_, words)| words.clone())
    }
}

/// Tries to reach a Kafka. Returns what prevents the connection and what to check, or `None` if the connection works.
/// Blocks for about `timeout` at most.
#[must_use]
pub fn diagnose(client: &ClientConfig, timeout: Duration) -> Option<String> {
    /// How long to poll the queue that holds the client's events.
    const GLANCE: Duration = Duration::from_millis(10);
    let mut client = client.clone();
    // At this level the context receives every failed connection.
    client.set_log_level(RDKafkaLogLevel::Info);
    let consumer: BaseConsumer<Trouble> = match client.create_with_context(Trouble::default()) {
        Ok(consumer) => consumer,
        Err(error) => return Some(error.to_string()),
    };
    let error = consumer.fetch_metadata(None, timeout).err()?;
    while let Some(Err(_)) = consumer.poll(GLANCE) {}
    consumer.context().recent().or_else(|| Some(error.to_string()))
}

/// The binding's error, with the recent connection problem. That problem is more specific than the error that no broker
/// answered.
#[derive(Debug, thiserror::Error)]
#[error("{}", words(source, trouble.as_deref()))]
pub struct ExplainedError {
    pub source: Box<KafkaError>,
    /// What librdkafka reported about the connection.
    pub trouble: Option<String>,
}

fn words(source: &KafkaError, trouble: Option<&str>) -> String {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut};
    let no_answer = [AllBrokersDown, BrokerTransportFailure, OperationTimedOut];
    match trouble {
        None => source.to_string(),
        Some(trouble) if source.rdkafka_error_code().is_some_and(|code| no_answer.contains(&code)) => {
            trouble.to_owned()
        }
        Some(trouble) => format!("{source} ({trouble})"),
    }
}

impl From<KafkaError> for ExplainedError {
    fn from(source: KafkaError) -> Self {
        Self { source: Box::new(source), trouble: None }
    }
}

impl ClientContext for Trouble {
    fn error(&self, error: KafkaError, reason: &str) {
        // The error that all brokers are down does not say why.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.note(reason);
        }
    }

    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        if let Some(words) = failure(facility, message) {
            self.note(words);
        }
        tracing::debug!(facility, "{message}");
    }
}

impl ConsumerContext for Trouble {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_trouble_explains_what_fails() {
        let trouble = Trouble::default();
        assert_eq!(trouble.recent(), None);
        trouble.log(RDKafkaLogLevel::Info, "FAIL", "[thrd:a:1/1]: a:1/1: Disconnected (after 3ms in state UP)");
        trouble.log(RDKafkaLogLevel::Info, "REQTMOUT", "[thrd:a:1/1]: a:1/1: Timed out 1 in-flight");
        assert_eq!(trouble.recent().as_deref(), Some("a:1/1: Disconnected"));

        let error = KafkaError::Global;
        trouble.error(
            error(RDKafkaErrorCode::BrokerTransportFailure),
            "a:1/1: Connect failed (after 3ms in state CONNECT)",
        );
        trouble.error(error(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(trouble.recent().as_deref(), Some("a:1/1: Connect failed"));

        let said = |code| trouble.with(KafkaError::MetadataFetch(code)).to_string();
        assert_eq!(said(RDKafkaErrorCode::OperationTimedOut), "a:1/1: Connect failed");
        let refused = said(RDKafkaErrorCode::TopicAuthorizationFailed);
        assert!(refused.contains("authorization") && refused.ends_with(" (a:1/1: Connect failed)"), "{refused}");
    }
}
