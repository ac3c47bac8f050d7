//! What a pass has seen of a pipeline's Kafka and topics. Pure.

use std::{collections::BTreeMap, fmt};

use crds::topics::{Role, Topic};

use super::shape;

#[derive(Clone, Debug, PartialEq)]
pub struct KafkaSeen {
    /// How clients reach it, which Strimzi publishes once the listener is up.
    pub listener: Result<Listener, NoListener>,
    /// The pipeline's topics, one of each role, in the order of [`Role::ALL`].
    pub topics: Vec<Seen>,
}

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `host:port`, several separated by commas.
    pub bootstrap_servers: String,
    /// The certificates in PEM that identify the brokers, where Strimzi publishes any. The listener has TLS then.
    pub certificates: Vec<String>,
}

impl Listener {
    #[must_use]
    pub fn without_certificates(bootstrap_servers: impl Into<String>) -> Self {
        Self { bootstrap_servers: bootstrap_servers.into(), certificates: Vec::new() }
    }
}

/// The bootstrap servers are not known (yet).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Kafka {cluster} publishes no bootstrap servers for the listener {listener:?} (it has: {found}): wait for it, or \
     correct spec.kafka.strimzi.listener"
)]
pub struct NoListener {
    /// Name of the `Kafka`.
    pub cluster: String,
    /// The listener that the spec names.
    pub listener: String,
    /// The listeners that the `Kafka` publishes.
    pub found: String,
}

/// A topic as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub role: Role,
    /// Its name in Kafka.
    pub name: String,
    pub state: State,
    /// The number of its partitions, if known.
    pub partitions: Option<i32>,
    /// Its configs: all effective ones if Kafka was asked, otherwise those that its `KafkaTopic` names.
    pub config: BTreeMap<String, String>,
    /// Kafka's own identifier, if known.
    pub topic_id: Option<String>,
    /// The identifier that it must have: that of the topic that was in use before.
    pub expected_id: Option<String>,
    /// Whether this pipeline created it.
    pub created: bool,
    pub control: Control,
}

impl Seen {
    /// The largest record batch that it takes, in bytes, if known.
    pub(super) fn max_message_bytes(&self) -> Option<i64> {
        self.config.get(shape::MAX_MESSAGE_BYTES).and_then(|value| shape::integer(value))
    }

    /// Whether a topic that was in use is gone.
    pub(super) fn is_lost(&self) -> bool {
        self.state == State::Missing && self.expected_id.is_some() && self.topic_id.is_none()
    }
}

/// What a pipeline may do to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Keep it as it should be: this pipeline creates it, or describes it by a `KafkaTopic` of its own.
    Own,
    /// Change only what the pipeline needs: the topic belongs to others, and `spec.topics.adopt` is true.
    Adopted,
    /// Nothing until `spec.topics.adopt` is true: the topic belongs to others.
    Adoptable,
    /// Nothing: a `KafkaTopic` that is not this pipeline's describes it.
    Theirs,
}

/// Whether a topic can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Missing,
    /// It exists or is being created, but is not as it should be.
    Pending(Obstacle),
    Ready,
}

/// Why a topic cannot be used, the most severe last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// It is being created or changed; no person has to act.
    Awaited,
    /// Strimzi failed to carry out a `KafkaTopic`, and says why.
    Failed,
    /// No topic operator has answered for a `KafkaTopic`.
    Ignored,
    /// A `KafkaTopic` is paused.
    Paused,
    /// A `KafkaTopic` is not managed by Strimzi.
    Unmanaged,
    /// Strimzi or Kafka does not support the change, such as taking partitions away.
    NotSupported,
    /// Two `KafkaTopic` objects describe one topic, or one that is not this pipeline's has its name.
    Contested,
    /// It exists, belongs to others, and cannot serve as it is.
    Unsuitable,
    /// It is not known whether it exists. If it does, Strimzi would reset its configs.
    AdoptionUnknown,
    /// It exists, belongs to others, and would have to be changed.
    AdoptionRequired,
    /// It is gone, or another topic has its name, and its records are lost.
    Lost,
}

impl Cause {
    /// Whether waiting does not help: a person has to act.
    pub(crate) const fn needs_person(self) -> bool {
        !matches!(self, Self::Awaited | Self::Failed | Self::Ignored)
    }
}

/// What keeps a topic from being usable: a cause for programs, and a sentence with the remedy for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    pub cause: Cause,
    pub message: String,
}

impl Obstacle {
    pub(super) fn of(topic: &Topic, cause: Cause, why: impl fmt::Display) -> Self {
        Self { cause, message: format!("{} topic {}: {why}", topic.role, topic.name) }
    }
}

/// The topic of a role.
pub(crate) fn find(seen: &[Seen], role: Role) -> Option<&Seen> {
    seen.iter().find(|seen| seen.role == role)
}
