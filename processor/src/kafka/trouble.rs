//! Why connections to Kafka fail. librdkafka tells that beside its calls, which only say that the time is over.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, config::RDKafkaLogLevel, consumer::ConsumerContext, error::KafkaError, types::RDKafkaErrorCode,
};

/// How long a trouble explains what fails: librdkafka repeats one that lasts every half a minute.
const RECENT: Duration = Duration::from_secs(60);

/// The last trouble that a client had with a connection.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Option<(Instant, String)>>>);

impl Trouble {
    /// Notes what librdkafka says of a connection.
    pub fn note(&self, words: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), explain(words)));
    }

    /// An error, with what explains it.
    #[must_use]
    pub fn with(&self, source: KafkaError) -> Told {
        Told { source: Box::new(source), trouble: self.recent() }
    }

    /// What it was, if it was recent.
    #[must_use]
    pub fn recent(&self) -> Option<String> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(at, _)| at.elapsed() < RECENT).map(|(_, words)| words.clone())
    }
}

/// What the binding says, and what kept the client from a broker a moment ago.
#[derive(Debug, thiserror::Error)]
#[error("{source}{}", trouble.as_ref().map_or_else(String::new, |trouble| format!(" ({trouble})")))]
pub struct Told {
    /// The binding's error.
    pub source: Box<KafkaError>,
    /// What librdkafka said of a connection.
    pub trouble: Option<String>,
}

impl From<KafkaError> for Told {
    fn from(source: KafkaError) -> Self {
        Self { source: Box::new(source), trouble: None }
    }
}

impl ClientContext for Trouble {
    fn error(&self, error: KafkaError, reason: &str) {
        // That all brokers are down explains nothing.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.note(reason);
        }
    }

    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        // A broker that hangs up, as one does that expects TLS, is no error to librdkafka; the line begins with a thread's name.
        if let ("FAIL", Some((_, words))) = (facility, message.split_once("]: ")) {
            self.note(words);
        }
        tracing::debug!(facility, "{message}");
    }
}

impl ConsumerContext for Trouble {}

/// librdkafka's words, the same each time, with what to check.
fn explain(words: &str) -> String {
    // At their end stands how long the attempt took, and how far it came.
    let (words, state) = words.rsplit_once(" (after ").unwrap_or((words, ""));
    let advice = if words.contains(": SASL ") {
        "; check the user name, the password and the mechanism"
    } else if words.contains("SSL handshake failed") || words.contains("SSL routines") {
        "; check that this listener of Kafka speaks TLS, that its certificate names this host and is signed by an authority \
         that the config trusts, and that Kafka trusts the client's certificate, where it asks for one"
    } else if words.contains("security.protocol") || state.contains("in state APIVERSION_QUERY") {
        // Kafka hung up at the first word.
        "; check that the config has TLS and SASL where this listener of Kafka has them"
    } else {
        ""
    };
    format!("{words}{advice}")
}

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
    }

    /// The words are librdkafka's own, of which `tests/security.rs` has them fresh.
    #[test]
    fn a_refusal_says_what_to_check_and_is_the_same_each_time() {
        let refused =
            |took| explain(&format!("sasl_ssl://a:1/1: SASL authentication error: no (after {took}ms in state X)"));
        assert!(
            refused(3).ends_with("error: no; check the user name, the password and the mechanism"),
            "{}",
            refused(3)
        );
        assert_eq!(refused(3), refused(7));
        let alert = "ssl://a:1/1: Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate";
        assert!(explain(alert).contains("that Kafka trusts the client's certificate"));
        let hint =
            "a:1/1: Disconnected: verify that security.protocol is correctly configured, broker might require SASL";
        assert!(explain(hint).ends_with("where this listener of Kafka has them"));
        let hung_up = "a:1/1: Disconnected: connection closed by peer (after 3ms in state APIVERSION_QUERY)";
        assert!(explain(hung_up).ends_with("where this listener of Kafka has them"));
    }
}
