//! Asks all pods of all pipelines for lag and rate at an interval, and triggers a pass where a figure changed enough to report.
//!
//! The API server lists the pods of all pipelines at once, so a quiet cluster costs a few requests a minute and no write. The
//! last counts of the pods stay in memory, because a rate needs two; an operator that has just started keeps what was
//! reported until it has them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use cli::exit::with_causes;
use crds::{pipeline::LoginPipelineStatus, topics::Role};
use futures::{SinkExt, StreamExt, channel::mpsc, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Resource, ResourceExt,
    api::ListParams,
    runtime::reflector::{ObjectRef, Store},
};

use crate::{
    build::PIPELINE_LABEL,
    pace::{PAGE, jitter},
    pods::{
        Measurements, address,
        ask::get,
        figures::{Counts, Figures, counted, decide, lag, rate},
    },
    resource::{Guarded, Key},
};

/// How many pods are asked at once.
const AT_A_TIME: usize = 32;

/// What the pods of each pipeline counted, and when.
struct Round {
    at: Instant,
    counts: BTreeMap<Key, Counts>,
}

impl Round {
    fn of(&self, pipeline: &Key) -> Counts {
        self.counts.get(pipeline).cloned().unwrap_or_default()
    }
}

/// Runs for ever: measures the pods of these parts with this pause between, and sends the pipelines of which there is
/// something new to report. A part that cannot be read keeps the others from nothing.
pub(super) async fn run(
    parts: Vec<Api<Pod>>,
    pipelines: Store<Guarded>,
    pause: Duration,
    measurements: Arc<Measurements>,
    mut triggers: mpsc::Sender<ObjectRef<Guarded>>,
) {
    let mut parts: Vec<(Api<Pod>, Option<Round>)> = parts.into_iter().map(|part| (part, None)).collect();
    loop {
        // Never sooner than after the pause, because it bounds how often the figures alone cause a write.
        tokio::time::sleep(pause.mul_f64(2.0 - jitter())).await;
        let mut figures = BTreeMap::new();
        let mut news = Vec::new();
        for (part, before) in &mut parts {
            let now = match running_pods(part).await {
                Ok(pods) => ask(pods).await,
                Err(error) => {
                    let (namespace, error) = (part.namespace(), with_causes(&error));
                    tracing::warn!(namespace, error, "the pods were not read, so lag and rate stay as they were");
                    continue;
                }
            };
            for pipeline in pipelines.state() {
                let Ok(known) = &pipeline.0 else { continue };
                let key = (known.namespace().unwrap_or_default(), known.name_any());
                if part.namespace().is_some_and(|namespace| namespace != key.0) {
                    continue;
                }
                let reported = reported(known.status.as_ref());
                let decided = decide(reported, figures_of(&key, known.status.as_ref(), before.as_ref(), &now));
                if decided != reported {
                    news.push(ObjectRef::from_obj(&*pipeline));
                }
                figures.insert(key, decided);
            }
            *before = Some(now);
        }
        measurements.set(figures);
        for pipeline in news {
            // The receiver lives as long as the controller does.
            let _ = triggers.send(pipeline).await;
        }
    }
}

fn reported(status: Option<&LoginPipelineStatus>) -> Figures {
    status.map_or_else(Figures::default, |status| Figures { lag: status.lag, rate: status.rate })
}

fn figures_of(key: &Key, status: Option<&LoginPipelineStatus>, before: Option<&Round>, now: &Round) -> Figures {
    let topics = status.map(|status| &status.topics).into_iter().flatten();
    let partitions = topics.filter(|topic| topic.role == Role::Source).find_map(|topic| topic.partitions);
    let counts = now.of(key);
    Figures {
        lag: lag(&counts, partitions),
        rate: match before {
            Some(before) => rate(&before.of(key), &counts, now.at - before.at),
            None => reported(status).rate,
        },
    }
}

/// A pod that runs.
struct RunningPod {
    pipeline: Key,
    uid: String,
    address: SocketAddr,
    is_ready: bool,
}

async fn running_pods(api: &Api<Pod>) -> Result<Vec<RunningPod>, kube::Error> {
    let mut params = ListParams::default().labels(PIPELINE_LABEL).limit(PAGE);
    let mut pods = Vec::new();
    loop {
        let page = api.list(&params).await?;
        pods.extend(page.items.iter().filter_map(running));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(pods),
        }
    }
}

fn running(pod: &Pod) -> Option<RunningPod> {
    let status = pod.status.as_ref()?;
    let is_running = status.phase.as_deref() == Some("Running") && pod.meta().deletion_timestamp.is_none();
    let mut conditions = status.conditions.iter().flatten();
    Some(RunningPod {
        pipeline: (pod.namespace()?, pod.labels().get(PIPELINE_LABEL)?.clone()),
        uid: pod.uid()?,
        address: address(pod)?,
        is_ready: conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True"),
    })
    .filter(|_| is_running)
}

async fn ask(pods: Vec<RunningPod>) -> Round {
    let at = Instant::now();
    let mut answers = stream::iter(pods)
        .map(|pod| async move {
            let metrics = get(pod.address, "/metrics").await;
            (pod, metrics.as_deref().and_then(counted))
        })
        .buffer_unordered(AT_A_TIME);
    let mut counts = BTreeMap::<Key, Counts>::new();
    while let Some((pod, counted)) = answers.next().await {
        // A pod that neither is ready nor answers is between two containers: the next one counts from 0.
        if counted.is_some() || pod.is_ready {
            counts.entry(pod.pipeline).or_default().insert(pod.uid, counted);
        }
    }
    Round { at, counts }
}
