//! The reasons of conditions. docs/conditions.md has a line for each, with its remedy. Pure.

use crds::pipeline::ConditionStatus;

/// Why a condition has its status: a word for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Ready: the topics are ready and every replica is available.
    Running,
    /// ConfigValid: the spec can be run.
    SpecAccepted,
    /// ConfigValid: the message names fields, values and remedies.
    SpecInvalid,
    /// TopicsReady: every topic is ready.
    AllTopicsReady,
    /// TopicsReady: topics are being made or changed; the message says which, and how.
    TopicsNotReady,
    /// TopicsReady: Strimzi failed to carry out a KafkaTopic, and says why.
    TopicFailed,
    /// TopicsReady: no topic operator answers for a KafkaTopic.
    TopicIgnored,
    /// TopicsReady: a KafkaTopic is paused.
    TopicPaused,
    /// TopicsReady: a KafkaTopic is not managed by Strimzi.
    TopicUnmanaged,
    /// TopicsReady: what is asked cannot be done to a topic, such as to take partitions away.
    TopicNotSupported,
    /// TopicsReady: two KafkaTopics describe one topic, or another's has the name of ours.
    TopicContested,
    /// TopicsReady: another's topic cannot serve as it is.
    TopicUnsuitable,
    /// TopicsReady: it is not known whether Strimzi would reset the configs of an existing topic.
    AdoptionUnknown,
    /// TopicsReady: another's topic would have to be changed; the message lists how.
    AdoptionRequired,
    /// TopicsReady: a topic was deleted, or deleted and made again, and what it held is lost.
    TopicLost,
    /// TopicsReady: another pipeline writes one of the topics.
    Conflict,
    /// TopicsReady: the Kafka of another namespace does not allow for this one.
    NamespaceNotAllowed,
    /// TopicsReady: the spec asks for Strimzi.
    StrimziNotInstalled,
    /// TopicsReady: no `Kafka` of that name.
    KafkaNotFound,
    /// TopicsReady: the `Kafka` publishes no such listener.
    ListenerNotFound,
    /// TopicsReady: a Secret that the spec names is missing, or lacks what it should hold.
    SecretUnusable,
    /// TopicsReady: no broker answers, so the state is not known.
    KafkaUnreachable,
    /// TopicsReady: Kafka refused to make or grow a topic.
    TopicRefused,
    /// The API server failed, so the state is not known.
    ApiServerFailed,
    /// The API server refused an object.
    ObjectRefused,
    /// An object that is not the pipeline's has the name.
    NameTaken,
    /// ProcessorAvailable: the first pods start when the topics are ready.
    WaitingForTopics,
    /// ProcessorAvailable: pods are being started or replaced.
    Progressing,
    /// ProcessorAvailable: pods have not become ready for so long that the Deployment gave up.
    ProgressDeadlineExceeded,
    /// ProcessorAvailable: no pod can be made.
    ReplicaFailure,
    /// ProcessorAvailable: `spec.processor.replicas` is 0.
    ScaledToZero,
    /// ProcessorAvailable: every replica is available.
    AllReplicasAvailable,
    /// ProcessorAvailable: a change gave pods that did not become ready; those of before it run again.
    RolledBack,
    /// ProcessorAvailable: `spec.suspend` is true.
    Suspended,
    /// Degraded: everything is as the spec asks for.
    AsAsked,
    /// Degraded: there are fewer partitions than replicas asked for.
    ReplicasCapped,
    /// Degraded: the timestamps of the source's records are not bounded.
    SourceCreateTime,
    /// Ready: the pipeline is being deleted, and its topics with it.
    Deleting,
    /// Paused: `spec.suspend` is false.
    NotSuspended,
    /// Paused: pods are left, or transactions open.
    Draining,
    /// Paused: no pod is left, no transaction is open.
    Drained,
}

/// What a state means for a tool that waits for it, in kstatus' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing is left to do.
    Settled,
    /// The operator is at work, or tries again what may succeed.
    Working,
    /// Only a change by a person can help.
    Stuck,
}

impl Reason {
    /// The status of a condition that an error of this reason keeps from being True.
    pub(crate) const fn status_of_failure(self) -> ConditionStatus {
        match self {
            Self::KafkaUnreachable | Self::ApiServerFailed => ConditionStatus::Unknown,
            _ => ConditionStatus::False,
        }
    }

    /// Its meaning in kstatus' words.
    pub(crate) const fn progress(self) -> Progress {
        match self {
            Self::Running | Self::ScaledToZero | Self::Suspended => Progress::Settled,
            Self::SpecInvalid
            | Self::TopicRefused
            | Self::ObjectRefused
            | Self::ProgressDeadlineExceeded
            | Self::RolledBack
            | Self::TopicPaused
            | Self::TopicUnmanaged
            | Self::TopicNotSupported
            | Self::TopicContested
            | Self::TopicUnsuitable
            | Self::AdoptionUnknown
            | Self::AdoptionRequired
            | Self::TopicLost
            | Self::Conflict
            | Self::NamespaceNotAllowed => Progress::Stuck,
            _ => Progress::Working,
        }
    }
}
