//! The reasons of conditions. docs/conditions.md has a line for each, with its remedy. Pure.

/// Why a condition has its status: a word for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Ready: everything holds.
    Running,
    /// ConfigValid: nothing is wrong.
    SpecAccepted,
    /// ConfigValid: the message names fields, values and remedies.
    SpecInvalid,
    /// TopicsReady: all are.
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
    /// TopicsReady: nobody can tell whether Strimzi would reset the configs of a topic that exists.
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
    /// TopicsReady: no broker answers, so nobody can tell.
    KafkaUnreachable,
    /// TopicsReady: Kafka refused to make or grow a topic.
    TopicRefused,
    /// The API server failed, so nobody can tell.
    ApiServerFailed,
    /// The API server refused an object.
    ObjectRefused,
    /// Another's object has the name.
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
    /// ProcessorAvailable: all are.
    AllReplicasAvailable,
    /// ProcessorAvailable: a change gave pods that did not become ready; those of before it run again.
    RolledBack,
    /// ProcessorAvailable: `spec.suspend` is true.
    Suspended,
    /// Degraded: nothing is.
    AsAsked,
    /// Degraded: there are fewer partitions than replicas asked for.
    ReplicasCapped,
    /// Degraded: nobody checks the times that the source's records bear.
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

/// What a state means to whoever waits for it, in kstatus' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left to do.
    Settled,
    /// The operator is at work, or tries again what may succeed.
    Working,
    /// Nothing but a change by a person helps.
    Stuck,
}

impl Reason {
    /// What it means.
    pub const fn progress(self) -> Progress {
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
