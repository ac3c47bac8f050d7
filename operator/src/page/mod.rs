//! The operator's page: every pipeline as its status says, read-only.
//!
//! ```text
//!   list      pure  from a LoginPipeline to its line in the list, and to everything that its status says
//!   replicas  pure  from pods to those of a pipeline, and from Events to a timeline
//!   rows      both  the lines of all pipelines: written once for all who look, and what changed for each
//!   look      I/O   pods and Events of one pipeline, asked of the API server only while somebody looks
//!   pass      I/O   GETs that are passed on to a replica
//!   document  I/O   the documents, and the headers that keep them harmless
//! ```
//!
//! The list comes from what the controller's watch has told already: it costs the API server nothing. Pods and Events of one
//! pipeline are asked for when somebody opens it, each at most once in two seconds, however many look.
//!
//! Who may choose a pipeline's image chooses what its pods answer, and whoever looks may be logged in elsewhere under the
//! same origin, as with `kubectl proxy`. So no document of a pod reaches a browser: the page of a replica is the one of this
//! release, and of the pod come data alone, under a type that is none of its choosing.

mod document;
mod list;
mod look;
mod pass;
mod replicas;
mod rows;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use kube::{
    Client,
    runtime::reflector::{ObjectRef, Store},
};
use serde::Serialize;
use serde_json::json;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{MissedTickBehavior, interval},
};

use self::{
    document::{Document, Kind, answer, refusal},
    look::Look,
    rows::Rows,
};
use crate::{
    health::Health,
    leader::Lead,
    resource::Guarded,
    scope::Scope,
    stop::stopped,
};

/// How often those who look are told what has changed.
const BEAT: Duration = Duration::from_secs(1);

/// How often a comment is sent while nothing changes.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How many can be told of changes at once.
const VIEWERS: usize = 64;

/// How many answers of pods can be passed on at once.
const PASSED: usize = 32;

/// What the page shows, and whom it asks.
pub struct Sources {
    /// Every pipeline that is watched. Empty while another operator leads.
    pub pipelines: Store<Guarded>,
    /// The API server, for the pods and Events of a pipeline that somebody looks at.
    pub client: Client,
    /// Who leads.
    pub lead: watch::Receiver<Lead>,
    /// The namespace of the Lease, and so of the operator's pods.
    pub lease_namespace: String,
    /// Whether the pipelines were listed.
    pub health: Arc<Health>,
    /// The namespaces that are watched.
    pub scope: Scope,
    /// Streams end when this turns true.
    pub stop: watch::Receiver<bool>,
}

/// The page. A clone is the same page.
#[derive(Clone)]
pub struct Page(Arc<Inner>);

struct Inner {
    sources: Sources,
    rows: Rows,
    look: Look,
    viewers: Arc<Semaphore>,
    passed: Arc<Semaphore>,
}

/// What is said beside the pipelines.
#[derive(Clone, Serialize, PartialEq, Eq)]
struct Head {
    /// Of this JSON: fields may be added under the same number.
    version: u32,
    operator: &'static str,
    /// `leads`, `starting` (the pipelines are not listed yet), `stands-by` or `unknown`.
    state: &'static str,
    /// The pod that leads, where another does.
    leader: Option<String>,
    /// Where that pod is.
    leader_namespace: Option<String>,
    /// None for all.
    namespaces: Option<Vec<String>>,
}

impl Page {
    /// A page of these sources.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        Self(Arc::new(Inner {
            rows: Rows::new(sources.pipelines.clone()),
            look: Look::new(sources.client.clone()),
            viewers: Arc::new(Semaphore::new(VIEWERS)),
            passed: Arc::new(Semaphore::new(PASSED)),
            sources,
        }))
    }

    /// Its paths. Each answers GET and HEAD, and nothing else.
    pub fn router(self) -> Router {
        Router::new()
            .route("/", get(|| async { Document::Pipelines }))
            .route("/pipelines", get(pipelines))
            .route("/pipelines/events", get(events))
            .route("/pipelines/{namespace}/{name}", get(pipeline))
            .route("/pods/{namespace}/{pod}/", get(pass::page))
            .route("/pods/{namespace}/{pod}/{*path}", get(pass::data))
            .with_state(self)
    }

    fn head(&self) -> Head {
        let sources = &self.0.sources;
        let (state, leader) = match &*sources.lead.borrow() {
            Lead::Own if sources.health.is_ready() => ("leads", None),
            Lead::Own => ("starting", None),
            Lead::Another(identity) => ("stands-by", Some(pod_of(identity).to_owned())),
            Lead::Unknown => ("unknown", None),
        };
        Head {
            version: 1,
            operator: env!("CARGO_PKG_VERSION"),
            state,
            leader_namespace: leader.is_some().then(|| sources.lease_namespace.clone()),
            leader,
            namespaces: match &sources.scope {
                Scope::All => None,
                Scope::Namespaces(names) => Some(names.iter().cloned().collect()),
            },
        }
    }

    /// A pipeline that is watched.
    fn pipeline(&self, namespace: &str, name: &str) -> Result<Arc<Guarded>, Box<Response>> {
        let found = self.0.sources.pipelines.get(&ObjectRef::new(name).within(namespace));
        found.ok_or_else(|| Box::new(self.unknown(&format!("no LoginPipeline {namespace}/{name} is watched"))))
    }

    /// What is answered where nothing of that name is known.
    fn unknown(&self, what: &str) -> Response {
        let head = self.head();
        match (head.state, &head.leader) {
            ("leads", _) => refusal(StatusCode::NOT_FOUND, what),
            (_, Some(leader)) => {
                let text = format!("this operator stands by: ask the one that leads, pod {leader}");
                refusal(StatusCode::SERVICE_UNAVAILABLE, &text)
            }
            _ => refusal(StatusCode::SERVICE_UNAVAILABLE, "the pipelines are not listed yet"),
        }
    }
}

/// The pod in the name of a candidate, which is `<pod>_<random>`.
fn pod_of(identity: &str) -> &str {
    identity.rsplit_once('_').map_or(identity, |(pod, _)| pod)
}

/// The list, now.
async fn pipelines(State(page): State<Page>) -> Response {
    answer(StatusCode::OK, Kind::Json, whole(&page.head(), &page.0.rows.now()))
}

fn whole(head: &Head, rows: &rows::Shot) -> String {
    #[derive(Serialize)]
    struct Whole<'a> {
        #[serde(flatten)]
        head: &'a Head,
        time: i64,
        pipelines: Vec<&'a serde_json::value::RawValue>,
    }
    text(&Whole { head, time: Timestamp::now().as_millisecond(), pipelines: rows.rows().collect() })
}

fn changes(head: &Head, changes: &rows::Changes) -> String {
    #[derive(Serialize)]
    struct Changed<'a> {
        #[serde(flatten)]
        head: &'a Head,
        time: i64,
        changed: Vec<&'a serde_json::value::RawValue>,
        gone: Vec<[&'a str; 2]>,
    }
    let gone = changes.gone.iter().map(|(namespace, name)| [namespace.as_str(), name.as_str()]).collect();
    let changed = changes.changed.iter().map(AsRef::as_ref).collect();
    text(&Changed { head, time: Timestamp::now().as_millisecond(), changed, gone })
}

/// Strings and numbers can always be written.
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The list as a stream: first all of it, then each second what has changed, if anything has.
async fn events(State(page): State<Page>) -> Response {
    let Ok(seat) = page.0.viewers.clone().try_acquire_owned() else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, &format!("{VIEWERS} viewers are told of changes already"));
    };
    let stop = page.0.sources.stop.clone();
    let told = told(page, seat).take_until(stopped(stop)).map(Ok::<_, Infallible>);
    let stream = Sse::new(told).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    answer(StatusCode::OK, Kind::Stream, stream.into_response().into_body())
}

fn told(page: Page, seat: OwnedSemaphorePermit) -> impl Stream<Item = Event> {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let told: Option<(Head, Arc<rows::Shot>)> = None;
    stream::unfold((page, beat, told, seat), |(page, mut beat, mut told, seat)| async move {
        loop {
            beat.tick().await;
            let (head, shot) = (page.head(), page.0.rows.now());
            let event = match &told {
                None => Some(Event::default().event("pipelines").data(whole(&head, &shot))),
                Some((old_head, old)) => {
                    let news = shot.since(old);
                    let is_news = !news.is_empty() || *old_head != head;
                    is_news.then(|| Event::default().event("changes").data(changes(&head, &news)))
                }
            };
            told = Some((head, shot));
            if let Some(event) = event {
                return Some((event, (page, beat, told, seat)));
            }
        }
    })
}

/// Everything of one pipeline.
async fn pipeline(State(page): State<Page>, Path((namespace, name)): Path<(String, String)>) -> Response {
    let pipeline = match page.pipeline(&namespace, &name) {
        Ok(pipeline) => pipeline,
        Err(refused) => return *refused,
    };
    let look = &page.0.look;
    let (pods, events) = tokio::join!(look.pods(&pipeline), look.events(&pipeline));
    let now = Timestamp::now();
    let config_map = list::config_map(&pipeline);
    let part = |found: Result<serde_json::Value, String>| match found {
        Ok(found) => json!({"found": found, "problem": null}),
        Err(problem) => json!({"found": [], "problem": problem}),
    };
    let mut shown = json!(list::Pipeline::of(&pipeline));
    shown["version"] = json!(1);
    shown["time"] = json!(now.as_millisecond());
    shown["pods"] = part(pods.map(|pods| json!(replicas::shown(&pods, &namespace, &name, config_map, now))));
    shown["events"] = part(events.map(|events| json!(replicas::timeline(&events))));
    answer(StatusCode::OK, Kind::Json, shown.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_its_pod() {
        assert_eq!(pod_of("operator-7d9_x-1_0123456789abcdef"), "operator-7d9_x-1");
        assert_eq!(pod_of("somebody"), "somebody");
    }
}
