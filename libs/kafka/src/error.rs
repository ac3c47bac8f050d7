//! One classifier for every error that librdkafka reports.

use rdkafka::error::RDKafkaErrorCode;

use super::settings::SettingsError;

/// What the caller can do about an error of a transactional call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The same call can be repeated, and continues where it stopped.
    Retriable,
    /// The transaction must be aborted; then the producer can continue.
    Abortable,
    /// The outcome of the transaction is unknown: only a new producer can settle it.
    Fatal,
}

impl Class {
    /// Maps librdkafka's three error flags to a class. An error without any flag is not classified by librdkafka, so it
    /// counts as fatal.
    #[must_use]
    pub const fn of(fatal: bool, retriable: bool, requires_abort: bool) -> Self {
        if fatal {
            Self::Fatal
        } else if requires_abort {
            Self::Abortable
        } else if retriable {
            Self::Retriable
        } else {
            Self::Fatal
        }
    }
}

/// A call of librdkafka failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{call}: {message}")]
pub struct KafkaError {
    pub call: &'static str,
    /// librdkafka's error code; 0 if the error does not come from librdkafka.
    pub code: i32,
    /// What the caller can do; meaningful only for transactional calls.
    pub class: Class,
    pub message: String,
}

impl KafkaError {
    /// Whether the group refused an offset because it has rebalanced: the member's generation is over.
    #[must_use]
    pub fn is_rebalance(&self) -> bool {
        [RDKafkaErrorCode::IllegalGeneration, RDKafkaErrorCode::UnknownMemberId, RDKafkaErrorCode::RebalanceInProgress]
            .into_iter()
            .any(|code| self.code == code as i32)
    }

    /// Whether a record was refused, for its size or for another reason. Once its topic has refused a record, the client
    /// takes no more, and gives the state of the transaction as the only reason.
    #[must_use]
    pub fn is_refused_record(&self) -> bool {
        [RDKafkaErrorCode::MessageSizeTooLarge, RDKafkaErrorCode::State]
            .into_iter()
            .any(|code| self.code == code as i32)
    }

    /// Whether another producer has taken over the transactional id.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        [RDKafkaErrorCode::Fenced, RDKafkaErrorCode::ProducerFenced, RDKafkaErrorCode::InvalidProducerEpoch]
            .into_iter()
            .any(|code| self.code == code as i32)
    }
}

impl From<SettingsError> for KafkaError {
    fn from(error: SettingsError) -> Self {
        Self { call: "settings", code: 0, class: Class::Fatal, message: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_flags_is_fatal() {
        assert_eq!(Class::of(false, false, false), Class::Fatal);
        assert_eq!(Class::of(false, true, false), Class::Retriable);
        assert_eq!(Class::of(false, true, true), Class::Abortable);
        assert_eq!(Class::of(true, true, true), Class::Fatal);
    }

    #[test]
    fn the_group_refuses_an_old_generation() {
        let error = |code| KafkaError { call: "send", code, class: Class::Abortable, message: String::new() };
        // `ILLEGAL_GENERATION` and `TRANSACTION_COORDINATOR_FENCED` in Kafka's protocol.
        assert!(error(22).is_rebalance());
        assert!(!error(52).is_rebalance());
    }
}
