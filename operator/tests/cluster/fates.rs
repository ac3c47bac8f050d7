//! Plays the controller that runs Deployments; it creates only the pods that do not become ready, with the messages of
//! kubelet and scheduler.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::support::{Answer, World};

/// Fates by the text that causes them.
pub type Fates = Arc<Mutex<BTreeMap<String, Fate>>>;

/// The fate of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It starts for ever, and the deadline has not passed.
    Starting,
    /// Its image does not exist.
    NoImage,
    /// It crashes, with this last output.
    Crash(&'static str),
    /// No node has enough room.
    NoNode,
}

/// The label with the name of the pod's Deployment.
const DEPLOYMENT: &str = "test/deployment";

impl Fate {
    /// The Deployment's condition `Progressing`.
    pub fn progressing(self) -> Value {
        match self {
            Self::Starting => json!({"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}),
            Self::NoImage | Self::Crash(_) | Self::NoNode => json!({
                "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
                "message": "ReplicaSet \"a\" has timed out progressing.",
            }),
        }
    }

    fn pod_status(self, image: &str) -> Value {
        let container = |state: Value, last: Value| {
            json!({"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [{
                "name": "processor", "image": image, "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": state}, "lastState": last,
            }]})
        };
        match self {
            Self::Starting => container(json!({"reason": "ContainerCreating"}), json!({})),
            Self::NoImage => {
                let message = format!("Back-off pulling image {image:?}: ErrImagePull: {image}: not found");
                container(json!({"reason": "ImagePullBackOff", "message": message}), json!({}))
            }
            Self::Crash(words) => container(
                json!({"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}),
                json!({"terminated": {"exitCode": 2, "reason": "Error", "message": words}}),
            ),
            Self::NoNode => json!({"phase": "Pending", "conditions": [{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": "0/3 nodes are available: 3 Insufficient cpu.",
            }]}),
        }
    }
}

/// The Deployments of a namespace, with their controller.
pub struct Deployments {
    deployments: Api<Deployment>,
    config_maps: Api<ConfigMap>,
    pods: Api<Pod>,
    fates: Fates,
}

impl Deployments {
    /// Those of this world.
    pub fn of(world: &World, fates: &Fates) -> Self {
        Self {
            deployments: world.deployments(),
            config_maps: world.config_maps(),
            pods: Api::namespaced(world.client.clone(), &world.namespace),
            fates: fates.clone(),
        }
    }

    /// Sets the status of each.
    pub async fn answer(&self, answer: impl Fn(&str) -> Answer) {
        let Ok(list) = self.deployments.list(&ListParams::default()).await else { return };
        for deployment in list {
            let answer = answer(&deployment.name_any());
            if answer == Answer::Never {
                continue;
            }
            let fate = self.fate(&deployment).await;
            let status = match fate {
                Some(fate) => failing(&deployment, fate),
                None => running(&deployment, answer),
            };
            let current = serde_json::to_value(&deployment.status).unwrap();
            if status.as_object().unwrap().iter().any(|(key, value)| current.get(key).unwrap_or(&json!(0)) != value) {
                self.play(&deployment, fate).await;
                let patch = Patch::Merge(json!({"status": status}));
                let _ = self.deployments.patch_status(&deployment.name_any(), &PatchParams::default(), &patch).await;
            }
        }
    }

    /// The fate of the pods of a Deployment's current template.
    async fn fate(&self, deployment: &Deployment) -> Option<Fate> {
        if self.fates.lock().unwrap().is_empty() {
            return None;
        }
        let template = json!(deployment.spec.as_ref().unwrap().template);
        let config_map = template.pointer("/spec/volumes/0/configMap/name").and_then(Value::as_str)?.to_owned();
        let config_map = self.config_maps.get_opt(&config_map).await.ok()?;
        let text = format!("{template} {}", config_map.map(|map| map.data.unwrap()["job.json"].clone())?);
        let fates = self.fates.lock().unwrap();
        fates.iter().find(|(part, _)| text.contains(*part)).map(|(_, fate)| *fate)
    }

    /// Creates the pods of a Deployment's current template that meet a fate: one, as a rolling update does. Pods of
    /// other templates are deleted.
    async fn play(&self, deployment: &Deployment, fate: Option<Fate>) {
        let name = deployment.name_any();
        let wanted = fate.map(|_| format!("{name}-{}", deployment.metadata.generation.unwrap()));
        let theirs = ListParams::default().labels(&format!("{DEPLOYMENT}={name}"));
        let Ok(existing) = self.pods.list(&theirs).await else { return };
        for pod in existing.iter().filter(|pod| Some(pod.name_any()) != wanted) {
            let _ = self.pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await;
        }
        let (Some(fate), Some(wanted)) = (fate, wanted) else { return };
        let template = &deployment.spec.as_ref().unwrap().template;
        if !existing.iter().any(|pod| pod.name_any() == wanted) {
            let mut pod = json!({"metadata": {"name": wanted}, "spec": template.spec});
            pod["metadata"]["labels"] = json!(template.metadata.as_ref().unwrap().labels);
            pod["metadata"]["labels"][DEPLOYMENT] = name.into();
            self.pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        }
        let image = template.spec.as_ref().unwrap().containers[0].image.clone().unwrap();
        let status = Patch::Merge(json!({"status": fate.pod_status(&image)}));
        self.pods.patch_status(&wanted, &PatchParams::default(), &status).await.unwrap();
    }
}

fn running(deployment: &Deployment, answer: Answer) -> Value {
    let wanted = deployment.spec.as_ref().unwrap().replicas.unwrap();
    let available = if answer == Answer::Badly { wanted - 1 } else { wanted };
    json!({
        "observedGeneration": deployment.metadata.generation,
        "replicas": wanted, "updatedReplicas": wanted, "readyReplicas": available, "availableReplicas": available,
        "conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}],
    })
}

/// The earlier pods stay as they are; without any, none is available.
fn failing(deployment: &Deployment, fate: Fate) -> Value {
    let wanted = deployment.spec.as_ref().unwrap().replicas.unwrap();
    let before = deployment.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default();
    let (all, updated) = if before > 0 { (before + 1, 1) } else { (wanted, wanted) };
    json!({
        "observedGeneration": deployment.metadata.generation,
        "replicas": all, "updatedReplicas": updated, "readyReplicas": before, "availableReplicas": before,
        "conditions": [fate.progressing()],
    })
}
