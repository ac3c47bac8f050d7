//! Topics in use that were lost with their records: deleted, or deleted and made again without the pipeline. Pure.
//!
//! Kafka gives every topic its own identifier, and the status remembers that of each topic in use. Another topic of the
//! same name has other records at the same offsets: offsets committed for the old one are wrong for the new one, and no
//! error shows it once the new one has grown as long. So the operator neither creates such a topic again nor calls it
//! ready until a person has accepted the loss.

use crds::{pipeline::TopicStatus, topics::Topic};

/// The annotation of a LoginPipeline by which a person accepts that topics are lost: `<role>=<topicId>`, several
/// separated by commas, with the identifiers that the topics had. It has no effect once the status remembers another
/// identifier.
pub(crate) const ACCEPT_ANNOTATION: &str = "loginpipeline.dev/accept-lost-topic";

/// What earlier passes found of a pipeline's topics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    reported: &'a [TopicStatus],
    accepted: Option<&'a str>,
}

impl<'a> Known<'a> {
    /// `reported` comes from the last status, `accepted` is the value of [`ACCEPT_ANNOTATION`].
    pub(crate) const fn new(reported: &'a [TopicStatus], accepted: Option<&'a str>) -> Self {
        Self { reported, accepted }
    }

    /// The identifier that the topic must have; None for a topic that was never seen or whose loss is accepted.
    pub(super) fn expected_id(self, topic: &Topic) -> Option<&'a str> {
        let id = self.status(topic)?.topic_id.as_deref()?;
        let accepted = self.accepted.unwrap_or_default().split(',').any(|entry| {
            entry.trim().split_once('=').is_some_and(|(role, lost)| role == topic.role.slug() && lost == id)
        });
        (!accepted).then_some(id)
    }

    /// Whether the pipeline created the topic that has this identifier now.
    pub(super) fn was_created(self, topic: &Topic, id: Option<&str>) -> bool {
        self.status(topic).is_some_and(|status| {
            let is_same = match (status.topic_id.as_deref(), id) {
                (Some(reported), Some(id)) => reported == id,
                // It was created a moment ago.
                (None, _) | (_, None) => true,
            };
            status.created && is_same
        })
    }

    fn status(self, topic: &Topic) -> Option<&'a TopicStatus> {
        self.reported.iter().find(|status| status.role == topic.role && status.name == topic.name)
    }
}

#[cfg(test)]
mod tests {
    use crds::topics::Role;

    use super::*;

    fn expected(name: &str, accepted: Option<&str>) -> Option<String> {
        let reported = [TopicStatus {
            role: Role::DeadLetters,
            name: "dead".to_owned(),
            partitions: None,
            topic_id: Some("old".to_owned()),
            created: true,
        }];
        let topic = Topic { role: Role::DeadLetters, name: name.to_owned(), partitions: 1, config: Vec::new() };
        Known::new(&reported, accepted).expected_id(&topic).map(ToOwned::to_owned)
    }

    #[test]
    fn a_loss_is_accepted_only_for_the_same_role_and_topic_id() {
        assert_eq!(expected("dead", None).as_deref(), Some("old"));
        assert_eq!(expected("another", None), None);
        for accepted in ["dead-letters=old", "source=a, dead-letters=old", "dead-letters=old,"] {
            assert_eq!(expected("dead", Some(accepted)), None, "{accepted}");
        }
        for other in ["", "dead-letters", "dead-letters=new", "source=old", "dead-letters=old2", "=old", "*=old"] {
            assert_eq!(expected("dead", Some(other)).as_deref(), Some("old"), "{other}");
        }
    }
}
