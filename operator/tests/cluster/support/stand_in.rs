//! Plays the controllers of a cluster.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use crds::strimzi::KafkaTopic;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;

use super::World;
use crate::fates::{Deployments, Fate, Fates};

/// How a controller answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// It reports success.
    #[default]
    Well,
    /// It does not answer.
    Never,
    /// It reports a failure.
    Badly,
}

/// Plays the topic operator and the Deployment controller in a namespace, until it is dropped.
pub struct StandIn {
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    fates: Fates,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl StandIn {
    /// Starts it; `answers` has the answers to objects by the end of their names: the longest match counts, and the
    /// default is success.
    pub fn start(world: &World, answers: &[(&str, Answer)]) -> Self {
        let answers: BTreeMap<_, _> = answers.iter().map(|(name, answer)| ((*name).to_owned(), *answer)).collect();
        let answers = Arc::new(Mutex::new(answers));
        let fates = Fates::default();
        let (topics, deployments, shared) = (world.topics(), Deployments::of(world, &fates), answers.clone());
        let task = tokio::spawn(async move {
            loop {
                let answer = |name: &str| {
                    let answers = shared.lock().unwrap();
                    let longest =
                        answers.iter().filter(|(end, _)| name.ends_with(*end)).max_by_key(|(end, _)| end.len());
                    longest.map_or(Answer::Well, |(_, answer)| *answer)
                };
                answer_topics(&topics, answer).await;
                deployments.answer(answer).await;
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        });
        Self { answers, fates, task }
    }

    /// From now on, gives this answer to objects whose name ends so.
    pub fn answer(&self, name: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(name.to_owned(), answer);
    }

    /// From now on, pods whose template or job config contains this text meet this fate; without a fate they become
    /// ready.
    pub fn fate(&self, text: &str, fate: Option<Fate>) {
        let mut fates = self.fates.lock().unwrap();
        match fate {
            Some(fate) => fates.insert(text.to_owned(), fate),
            None => fates.remove(text),
        };
    }
}

async fn answer_topics(topics: &Api<KafkaTopic>, answer: impl Fn(&str) -> Answer) {
    // Strimzi may not be installed (yet).
    let Ok(list) = topics.list(&ListParams::default()).await else { return };
    for topic in list {
        let ready = match answer(&topic.name_any()) {
            Answer::Never => continue,
            Answer::Well => json!({"type": "Ready", "status": "True"}),
            Answer::Badly => {
                json!({"type": "Ready", "status": "False", "reason": "NotSupported", "message": "Decreasing partitions not supported"})
            }
        };
        let status = json!({
            "observedGeneration": topic.metadata.generation,
            "conditions": [ready],
            "topicName": topic.spec.topic_name,
            "topicId": format!("id-{}", topic.uid().unwrap()),
        });
        if serde_json::to_value(&topic.status).unwrap() != status {
            // It may have been deleted in the meantime.
            let patch = Patch::Merge(json!({"status": status}));
            let _ = topics.patch_status(&topic.name_any(), &PatchParams::default(), &patch).await;
        }
    }
}
