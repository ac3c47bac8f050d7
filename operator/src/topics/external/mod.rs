//! Topics of a Kafka that is known by its bootstrap servers.
//!
//! The configs that this pipeline set on topics that it created are restored when they drift. Topics of others are used
//! as they are; with `spec.topics.adopt` the pipeline changes what it needs, and nothing else.

mod judge;

use crds::topics::Topic;

use self::judge::{Action, actions, see};
use super::{
    admin::{Access, Admin, Made},
    error::TopicsError,
    lost::Known,
    policy::Policy,
    seen::{Cause, KafkaSeen, Listener, Obstacle, Seen, State},
};
use crate::validate::Valid;

/// A pipeline's topics in a Kafka that is known by its bootstrap servers.
pub struct ExternalTopics<'a> {
    pub(super) access: Access,
    pub(super) valid: &'a Valid,
}

impl ExternalTopics<'_> {
    /// Observes the topics. Only what is returned can change them.
    ///
    /// # Errors
    /// When no broker answers in time, or Kafka refuses.
    pub(super) async fn observe(self, known: Known<'_>) -> Result<(KafkaSeen, ExternalWriter), TopicsError> {
        let (valid, topics, policy) = (self.valid, self.valid.topics(), Policy::of(self.valid));
        let listener = Listener::without_certificates(self.access.servers.clone());
        let admin = Admin::new(self.access);
        let found = admin.existing(topics.iter().map(|topic| topic.name.clone()).collect()).await?;
        let topics = topics.iter().map(|topic| see(topic, &found, known, policy)).collect();
        let writer = ExternalWriter { admin, replicas: valid.spec.topics.replication_factor.unwrap_or(-1) };
        Ok((KafkaSeen { listener: Ok(listener), topics }, writer))
    }
}

/// Changes topics through Kafka's Admin API.
pub struct ExternalWriter {
    admin: Admin,
    /// Replicas of a topic that is created; -1 for the brokers' default.
    replicas: i32,
}

impl ExternalWriter {
    /// Creates the topic, sets its configs or grows it. A topic that was created or grown is pending until it is
    /// observed again.
    ///
    /// # Errors
    /// When no broker answers in time, or Kafka refuses.
    pub(super) async fn ensure(&self, topic: &Topic, seen: &Seen, source_bytes: i64) -> Result<Seen, TopicsError> {
        let pending = |why: &str| State::Pending(Obstacle::of(topic, Cause::Awaited, why));
        let mut now = seen.clone();
        for action in actions(topic, seen, source_bytes) {
            match action {
                Action::Create => {
                    let made = self.admin.create(topic, self.replicas).await?;
                    now.created |= made == Made::ByUs;
                    now.state = pending("it was created a moment ago");
                }
                Action::SetConfigs(configs) => {
                    self.admin.alter(topic, configs.clone()).await?;
                    now.config.extend(configs);
                }
                Action::Grow => {
                    self.admin.grow(topic).await?;
                    now.state = pending("its partitions were added a moment ago");
                }
            }
        }
        Ok(now)
    }

    /// # Errors
    /// When no broker answers in time, or Kafka refuses.
    pub(super) async fn delete(&self, name: &str) -> Result<(), TopicsError> {
        self.admin.delete(name).await
    }
}
