//! The operator's page: every pipeline as its status says, read-only.
//!
//! ```text
//!   list      pure  from a LoginPipeline to its line in the list, and to everything that its status says
//!   replicas  pure  from pods to those of a pipeline, and from Events to a timeline
//!   rows      both  the lines of all pipelines: written once for all viewers, and what changed for each
//!   details   I/O   pods and Events of one pipeline, asked of the API server only while somebody has it open
//!   state     I/O   what all requests share
//!   proxy     I/O   GETs that are passed on to a replica
//! ```
//!
//! The list comes from what the controller's watch has delivered already, so it costs the API server nothing. Pods and Events
//! of one pipeline are asked for when somebody opens it, each at most once in two seconds, however many viewers there are.
//!
//! The person who chooses a pipeline's image chooses what its pods answer, and a viewer may be logged in elsewhere under the
//! same origin, as with `kubectl proxy`. So no document of a pod reaches a browser: the page of a replica is the one of this
//! release, and a pod supplies only data, under a content type that the operator chooses.

mod list;
mod replicas;
mod rows;

mod details;
mod state;

mod proxy;

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
use serde::Serialize;
use serde_json::{json, value::RawValue};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{MissedTickBehavior, interval},
};
use web::{Document, Kind, answer, refusal};

pub(crate) use self::state::{Page, Sources};
use self::{
    rows::{Changes, Lines},
    state::{Head, VIEWERS},
};
use crate::stop::stopped;

/// How often viewers are told what has changed.
const BEAT: Duration = Duration::from_secs(1);

/// How often a comment is sent while nothing changes.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The paths of the page. Each answers GET and HEAD, and nothing else.
pub(crate) fn router(page: Page) -> Router {
    Router::new()
        .route("/", get(|| async { Document::Pipelines }))
        .route("/pipelines", get(pipelines))
        .route("/pipelines/events", get(events))
        .route("/pipelines/{namespace}/{name}", get(pipeline))
        .route("/pods/{namespace}/{pod}/", get(proxy::page))
        .route("/pods/{namespace}/{pod}/{*path}", get(proxy::data))
        .with_state(page)
}

/// Answers with the whole list.
async fn pipelines(State(page): State<Page>) -> Response {
    answer(StatusCode::OK, Kind::Json, whole(&page.head(), &page.0.rows.current()))
}

fn whole(head: &Head, rows: &Lines) -> String {
    #[derive(Serialize)]
    struct Whole<'a> {
        #[serde(flatten)]
        head: &'a Head,
        time: i64,
        pipelines: Vec<&'a RawValue>,
    }
    text(&Whole { head, time: Timestamp::now().as_millisecond(), pipelines: rows.rows().collect() })
}

fn changes(head: &Head, changes: &Changes) -> String {
    #[derive(Serialize)]
    struct Changed<'a> {
        #[serde(flatten)]
        head: &'a Head,
        time: i64,
        changed: Vec<&'a RawValue>,
        gone: Vec<[&'a str; 2]>,
    }
    let gone = changes.gone.iter().map(|(namespace, name)| [namespace.as_str(), name.as_str()]).collect();
    let changed = changes.changed.iter().map(AsRef::as_ref).collect();
    text(&Changed { head, time: Timestamp::now().as_millisecond(), changed, gone })
}

/// A value as JSON. Strings and numbers can always be written.
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The list as a stream: first all of it, then each second what has changed, if anything has.
async fn events(State(page): State<Page>) -> Response {
    let Ok(seat) = page.0.viewers.clone().try_acquire_owned() else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, &format!("{VIEWERS} viewers are told of changes already"));
    };
    let stop = page.0.sources.stop.clone();
    let updates = updates(page, seat).take_until(stopped(stop)).map(Ok::<_, Infallible>);
    let stream = Sse::new(updates).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    answer(StatusCode::OK, Kind::Stream, stream.into_response().into_body())
}

fn updates(page: Page, seat: OwnedSemaphorePermit) -> impl Stream<Item = Event> {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let sent: Option<(Head, Arc<Lines>)> = None;
    stream::unfold((page, beat, sent, seat), |(page, mut beat, mut sent, seat)| async move {
        loop {
            beat.tick().await;
            let (head, lines) = (page.head(), page.0.rows.current());
            let event = match &sent {
                None => Some(Event::default().event("pipelines").data(whole(&head, &lines))),
                Some((old_head, old)) => {
                    let news = lines.since(old);
                    let is_news = !news.is_empty() || *old_head != head;
                    is_news.then(|| Event::default().event("changes").data(changes(&head, &news)))
                }
            };
            sent = Some((head, lines));
            if let Some(event) = event {
                return Some((event, (page, beat, sent, seat)));
            }
        }
    })
}

/// Answers with everything about one pipeline.
async fn pipeline(State(page): State<Page>, Path((namespace, name)): Path<(String, String)>) -> Response {
    let pipeline = match page.pipeline(&namespace, &name) {
        Ok(pipeline) => pipeline,
        Err(refused) => return *refused,
    };
    let details = &page.0.details;
    let (pods, events) = tokio::join!(details.pods(&pipeline), details.events(&pipeline));
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
