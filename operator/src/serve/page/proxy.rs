//! GETs that are passed on to a replica: only to the address of a replica, only with the paths of its page, and without
//! anything else from the viewer's request.

use std::{net::SocketAddr, time::Duration};

use axum::{
    body::Body,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use cli::exit::with_causes;
use futures::stream;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame, Incoming};
use kube::ResourceExt;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep_until, timeout},
};
use web::{Document, Kind, answer, refusal};

use super::{
    replicas::{answers_at, can_be_named},
    state::{PROXIED, Page},
};
use crate::{
    pods::ask::{self, AskError, Connection},
    stop::stopped,
};

/// The paths of a replica, and the content type of each, whatever type the replica names.
const PATHS: [(&str, Kind); 5] = [
    ("view", Kind::Json),
    ("view/history", Kind::Json),
    ("view/events", Kind::Stream),
    ("metrics", Kind::Text),
    ("readyz", Kind::Text),
];

/// How long a whole answer may take, and how long until a stream begins.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest answer, in bytes: ten times an hour's history.
const BOUND: usize = 4 * 1024 * 1024;

/// How long a stream may be silent. A replica says something each second.
const SILENCE: Duration = Duration::from_secs(30);

/// How long a stream lasts. A browser then asks again.
const LASTS: Duration = Duration::from_secs(60 * 60);

/// The page of a replica, which then asks for that replica's data.
pub(super) async fn page(State(page): State<Page>, Path((namespace, pod)): Path<(String, String)>) -> Response {
    match find(&page, &namespace, &pod).await {
        Ok(_) => Document::Replica.into_response(),
        Err(refused) => *refused,
    }
}

/// Passes on what a replica of a watched pipeline answers.
pub(super) async fn data(
    State(page): State<Page>,
    Path((namespace, pod, path)): Path<(String, String, String)>,
) -> Response {
    let Some((path, kind)) = PATHS.into_iter().find(|(known, _)| *known == path) else {
        return refusal(
            StatusCode::NOT_FOUND,
            "of a pod there are view, view/history, view/events, metrics and readyz",
        );
    };
    let Ok(seat) = page.0.proxied.clone().try_acquire_owned() else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, &format!("{PROXIED} answers of pods are passed on already"));
    };
    let address = match find(&page, &namespace, &pod).await {
        Ok(address) => address,
        Err(refused) => return *refused,
    };
    let answered = match kind {
        Kind::Stream => stream_of(address, path, page.0.sources.stop.clone(), seat).await,
        Kind::Json | Kind::Text => {
            let found = ask::whole(address, &format!("/{path}"), PATIENCE, BOUND).await;
            found.map(|(status, body)| (status, Body::from(body)))
        }
    };
    match answered {
        // A replica that is not ready answers 503 with the reason; pass it on.
        Ok((status @ (StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE), body)) => answer(status, kind, body),
        Ok((status, _)) => {
            let text = format!("pod {pod} answers {status}: it may run an image without this");
            refusal(StatusCode::BAD_GATEWAY, &text)
        }
        Err(error) => refusal(StatusCode::BAD_GATEWAY, &format!("pod {pod}: {}", with_causes(&error))),
    }
}

/// The address of the replica of a watched pipeline that has this name.
async fn find(page: &Page, namespace: &str, pod: &str) -> Result<SocketAddr, Box<Response>> {
    let mut pipelines = page.0.sources.pipelines.state();
    // The pods of other pipelines are not even listed.
    pipelines.retain(|pipeline| {
        pipeline.namespace().as_deref() == Some(namespace) && can_be_named(pod, &pipeline.name_any())
    });
    for pipeline in pipelines {
        let pods = page.0.details.pods(&pipeline).await;
        let pods = pods.map_err(|problem| Box::new(refusal(StatusCode::BAD_GATEWAY, &problem)))?;
        let found = pods.iter().find(|found| found.name_any() == pod);
        if let Some(address) = found.and_then(|found| answers_at(found, namespace, &pipeline.name_any())) {
            return Ok(address);
        }
    }
    Err(Box::new(page.unknown(&format!("no replica {namespace}/{pod} of a LoginPipeline runs"))))
}

/// A stream, passed on as it comes.
async fn stream_of(
    address: SocketAddr,
    path: &str,
    stop: watch::Receiver<bool>,
    seat: OwnedSemaphorePermit,
) -> Result<(StatusCode, Body), AskError> {
    let answer = ask::open(address, &format!("/{path}"), PATIENCE).await?;
    let status = answer.response.status();
    let (body, connection) = answer.into_parts();
    let passing = Passing { body, until: Instant::now() + LASTS, stop, _connection: connection, _seat: seat };
    let parts = stream::unfold(passing, |mut passing| async { Some((passing.next().await?, passing)) });
    Ok((status, Body::from_stream(parts)))
}

/// A stream that is passed on. When the browser goes it is dropped, and with it the connection to the pod.
struct Passing {
    body: Incoming,
    until: Instant,
    stop: watch::Receiver<bool>,
    _connection: Connection,
    _seat: OwnedSemaphorePermit,
}

impl Passing {
    /// The next part. None at the end, and when it is time to end.
    async fn next(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            let frame = tokio::select! {
                frame = timeout(SILENCE, self.body.frame()) => frame.ok()??,
                () = sleep_until(self.until) => return None,
                () = stopped(self.stop.clone()) => return None,
            };
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => return Some(Ok(data)),
                // Trailers are not passed on.
                Ok(Err(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
