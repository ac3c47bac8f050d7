//! Why a Kafka does not answer. librdkafka's calls only say that the time is over; what it says of its connections comes
//! beside them, to a client that is asked for it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crds::trouble::{explain, failure};
use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
};

/// Tries to reach a Kafka, and says what keeps a client from it, with what to check; none where nothing does. Blocks for at
/// most about this time.
#[must_use]
pub fn diagnose(client: &ClientConfig, timeout: Duration) -> Option<String> {
    /// What the client has to say waits for this, in a queue.
    const GLANCE: Duration = Duration::from_millis(10);
    let mut client = client.clone();
    // The context is told of every connection that fails.
    client.set_log_level(RDKafkaLogLevel::Info);
    let consumer: BaseConsumer<Trouble> = match client.create_with_context(Trouble::default()) {
        Ok(consumer) => consumer,
        Err(error) => return Some(error.to_string()),
    };
    let error = consumer.fetch_metadata(None, timeout).err()?;
    while let Some(Err(_)) = consumer.poll(GLANCE) {}
    consumer.context().last().or_else(|| Some(error.to_string()))
}

/// The last trouble that a client had with a connection.
#[derive(Clone, Debug, Default)]
struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    fn note(&self, words: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(explain(words));
    }

    fn last(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        if let Some(words) = failure(facility, message) {
            self.note(words);
        }
    }
}

impl ConsumerContext for Trouble {}
