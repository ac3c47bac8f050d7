//! Topics of a Kafka that is known by its bootstrap servers.
//!
//! What this pipeline made is brought back to what it should be, in the configs that it set. What others made is used as it
//! is; with `spec.topics.adopt` the pipeline changes what it needs to be different, and nothing else.

use std::collections::BTreeMap;

use crds::{pipeline::Topics as TopicsSpec, topics::Topic};

use super::{
    Control, KafkaSeen, Listener, Seen, State, TopicsError,
    admin::{Access, Admin, Existing, Made},
    lost::Known,
    obstacle::{Cause, Obstacle},
    shape::{self, Change},
};

/// A Kafka that is known by its bootstrap servers.
#[derive(Clone, Debug)]
pub struct ExternalTopics {
    servers: String,
    admin: Admin,
    spec: TopicsSpec,
}

impl ExternalTopics {
    /// A Kafka that is reached so; `spec` says what holds for topics.
    #[must_use]
    pub fn new(access: Access, spec: TopicsSpec) -> Self {
        Self { servers: access.servers.clone(), admin: Admin::new(access), spec }
    }

    /// Reads which of the topics exist and what they are.
    ///
    /// # Errors
    /// When no broker answers in time, or Kafka refuses.
    pub async fn observe(&self, topics: &[Topic], known: Known<'_>) -> Result<KafkaSeen, TopicsError> {
        let found = self.admin.existing(topics.iter().map(|topic| topic.name.clone()).collect()).await?;
        let topics = topics.iter().map(|topic| see(topic, &found, known, self.spec.adopt)).collect();
        let listener = Listener::without_certificates(self.servers.clone());
        Ok(KafkaSeen { listener: Ok(listener), topics })
    }

    /// Deletes the topic.
    ///
    /// # Errors
    /// When no broker answers in time, or Kafka refuses.
    pub async fn delete(&self, seen: &Seen) -> Result<(), TopicsError> {
        self.admin.delete(&seen.name).await
    }

    /// Makes the topic, grows it, or changes its configs. What was made or grown is pending until it has been observed.
    ///
    /// # Errors
    /// When no broker answers in time, or Kafka refuses.
    pub async fn ensure(&self, topic: &Topic, seen: &Seen, source_bytes: i64) -> Result<Seen, TopicsError> {
        let pending = |what: &str| State::Pending(Obstacle::of(topic, Cause::Awaited, what));
        if seen.state == State::Missing {
            let made = self.admin.create(topic, self.spec.replication_factor.unwrap_or(-1)).await?;
            return Ok(Seen {
                state: pending("it was made a moment ago"),
                created: made == Made::ByUs || seen.created,
                ..seen.clone()
            });
        }
        let changes = match seen.control {
            Control::Own => shape::drift(topic, &seen.config),
            Control::Adopted => shape::unmet(topic, &seen.config, source_bytes),
            Control::Adoptable | Control::Theirs => return Ok(seen.clone()),
        };
        let mut seen = seen.clone();
        if !changes.is_empty() {
            let altered: Vec<_> = changes.into_iter().map(|Change { what, to, .. }| (what, to)).collect();
            self.admin.alter(topic, altered.clone()).await?;
            seen.config.extend(altered);
        }
        if seen.partitions < Some(topic.partitions) {
            self.admin.grow(topic).await?;
            seen.state = pending("it was grown a moment ago");
        }
        Ok(seen)
    }
}

fn see(topic: &Topic, found: &BTreeMap<String, Existing>, known: Known<'_>, adopt: bool) -> Seen {
    let existing = found.get(&topic.name);
    let id = existing.map(|existing| existing.id.as_str());
    let created = existing.is_some() && known.was_created(topic, id);
    Seen {
        role: topic.role,
        name: topic.name.clone(),
        state: if existing.is_some() { State::Ready } else { State::Missing },
        partitions: existing.map(|existing| existing.partitions),
        config: existing.map(|existing| existing.config.clone()).unwrap_or_default(),
        topic_id: id.map(ToOwned::to_owned),
        expected_id: known.expected_id(topic).map(ToOwned::to_owned),
        created,
        control: match existing {
            Some(_) if !created && adopt => Control::Adopted,
            Some(_) if !created => Control::Adoptable,
            _ => Control::Own,
        },
    }
}

#[cfg(test)]
mod tests {
    use crds::{pipeline::TopicStatus, topics::Role};

    use super::*;

    fn topic() -> Topic {
        Topic { role: Role::Output, name: "out".to_owned(), partitions: 3, config: Vec::new() }
    }

    fn control(reported: Option<(&str, bool)>, existing: Option<&str>, adopt: bool) -> (bool, Control) {
        let reported: Vec<_> = reported
            .map(|(id, created)| TopicStatus {
                role: Role::Output,
                name: "out".to_owned(),
                partitions: None,
                topic_id: Some(id.to_owned()),
                created,
            })
            .into_iter()
            .collect();
        let existing = existing.map(|id| ("out".to_owned(), Existing { id: id.to_owned(), ..Existing::default() }));
        let seen = see(&topic(), &existing.into_iter().collect(), Known::new(&reported, None), adopt);
        (seen.created, seen.control)
    }

    #[test]
    fn what_this_pipeline_made_is_its_own_as_long_as_it_is_the_same_topic() {
        assert_eq!(control(None, None, false), (false, Control::Own));
        assert_eq!(control(None, Some("a"), false), (false, Control::Adoptable));
        assert_eq!(control(None, Some("a"), true), (false, Control::Adopted));
        assert_eq!(control(Some(("a", false)), Some("a"), false), (false, Control::Adoptable));
        assert_eq!(control(Some(("a", true)), Some("a"), false), (true, Control::Own));
        // Whoever made it anew, it was not this pipeline.
        assert_eq!(control(Some(("a", true)), Some("b"), false), (false, Control::Adoptable));
    }
}
