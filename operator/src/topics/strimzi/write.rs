//! Writes and deletes the `KafkaTopic` objects of a pipeline. I/O only: [`Action`] says what is done.

use std::collections::BTreeMap;

use crds::{
    strimzi::{self, KafkaTopic},
    topics::{Role, Topic},
};
use jiff::Timestamp;
use kube::{Api, Client};

use super::judge::{Action, Judge, is_adopted};
use crate::{
    build::kafka_topic,
    objects::owned::{self, ApplyError},
    topics::seen::Seen,
};

/// Changes a pipeline's topics as they were judged. Only an observation gives one.
pub struct StrimziWriter<'a> {
    pub(super) client: &'a Client,
    /// The version of Strimzi's API.
    pub(super) version: &'static str,
    pub(super) judge: Judge<'a>,
    pub(super) actions: BTreeMap<Role, Action>,
}

impl StrimziWriter<'_> {
    /// Creates or updates the topic's object. The topic is ready when the topic operator has answered.
    ///
    /// # Errors
    /// When the API server refuses or fails.
    pub(in crate::topics) async fn ensure(&self, topic: &Topic, seen: &Seen) -> Result<Seen, ApplyError> {
        let (existing, is_adopted) = match self.actions.get(&topic.role) {
            Some(Action::Create { is_adopted }) => (None, *is_adopted),
            Some(Action::Update(object)) => (Some(&**object), is_adopted(object)),
            Some(Action::Leave) | None => return Ok(seen.clone()),
        };
        let Judge { valid, cluster, .. } = self.judge;
        let desired = kafka_topic(valid, cluster, self.version, topic, is_adopted);
        let written = owned::apply(&self.api(), "KafkaTopic", desired, existing, &valid.owner.uid).await?;
        Ok(self.judge.after_write(topic, seen, &written, Timestamp::now()))
    }

    /// Deletes the topic's object if it is this pipeline's. Strimzi deletes the topic with it.
    ///
    /// # Errors
    /// When the API server refuses or fails.
    pub(in crate::topics) async fn delete(&self, role: Role) -> Result<(), ApplyError> {
        match self.actions.get(&role) {
            Some(Action::Update(object)) => owned::delete(&self.api(), "KafkaTopic", &**object).await,
            _ => Ok(()),
        }
    }

    fn api(&self) -> Api<KafkaTopic> {
        let resource = strimzi::api_resource(self.version, "KafkaTopic");
        Api::namespaced_with(self.client.clone(), self.judge.valid.kafka_namespace(), &resource)
    }
}
