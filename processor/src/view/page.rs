//! Serves the page and its data over HTTP, and provides the channel that feeds it.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures::{Stream, StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use web::{Document, HEADERS};

use super::{history::History, types::View};

/// How many readers may follow the events at once. A further one is refused, and can poll `view` instead.
const READERS: usize = 64;

/// How soon a reader reconnects after its connection breaks.
const RETRY: Duration = Duration::from_secs(1);

/// How often a comment is sent while no view is published.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Creates a page and the publisher that feeds it.
#[must_use]
pub fn channel() -> (Publisher, Page) {
    let (latest, _) = watch::channel(None);
    let history = Arc::default();
    let page =
        Page { latest: latest.subscribe(), history: Arc::clone(&history), readers: Arc::new(Semaphore::new(READERS)) };
    (Publisher { latest, history }, page)
}

#[derive(Debug)]
pub struct Publisher {
    latest: watch::Sender<Option<Arc<Shown>>>,
    history: Arc<Mutex<History>>,
}

impl Publisher {
    /// Shows a view from now on, and adds it to the history. Call it once per second.
    pub fn publish(&self, view: View) {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).push(&view);
        self.latest.send_replace(Some(Arc::new(Shown { view, json: OnceLock::new() })));
    }
}

/// A view, with its JSON once it was requested.
#[derive(Debug)]
struct Shown {
    view: View,
    json: OnceLock<String>,
}

impl Shown {
    fn json(&self) -> &str {
        // Structs of numbers, texts and lists always serialize.
        self.json.get_or_init(|| serde_json::to_string(&self.view).unwrap_or_default())
    }
}

/// The page and its data. Clones share them.
#[derive(Clone, Debug)]
pub struct Page {
    latest: watch::Receiver<Option<Arc<Shown>>>,
    history: Arc<Mutex<History>>,
    readers: Arc<Semaphore>,
}

impl Page {
    /// Routes of the page at `/` and of its data at `view`, `view/history` and `view/events`.
    pub fn router(self) -> Router {
        Router::new()
            .route("/", get(page))
            .route("/view", get(view))
            .route("/view/history", get(history))
            .route("/view/events", get(events))
            .with_state(self)
    }
}

async fn page() -> Document {
    Document::Replica
}

async fn view(State(page): State<Page>) -> Response {
    let shown = page.latest.borrow().clone();
    match shown {
        Some(shown) => json(shown.json().to_owned()),
        None => {
            (StatusCode::SERVICE_UNAVAILABLE, HEADERS, "nothing is known yet: ask again in a second\n").into_response()
        }
    }
}

async fn history(State(page): State<Page>) -> Response {
    let columns = page.history.lock().unwrap_or_else(PoisonError::into_inner).clone();
    json(serde_json::to_string(&columns).unwrap_or_default())
}

fn json(body: String) -> Response {
    (HEADERS, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Sends the current view at once, and every new one. A slow reader misses views, and uses no more memory.
async fn events(State(page): State<Page>) -> Response {
    let Ok(permit) = Arc::clone(&page.readers).try_acquire_owned() else {
        let body = format!("{READERS} readers follow already: close one, or ask for `view` instead\n");
        return (StatusCode::SERVICE_UNAVAILABLE, HEADERS, body).into_response();
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    (HEADERS, Sse::new(follow(page.latest, permit)).keep_alive(keep_alive)).into_response()
}

/// The stream ends when the publisher is dropped.
fn follow(
    mut latest: watch::Receiver<Option<Arc<Shown>>>,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    latest.mark_changed();
    let events = stream::unfold((latest, permit), |(mut latest, permit)| async move {
        latest.changed().await.ok()?;
        let shown = latest.borrow_and_update().clone();
        Some((shown, (latest, permit)))
    });
    events.filter_map(|shown| async move { Some(Ok(Event::default().event("view").retry(RETRY).data(shown?.json()))) })
}
