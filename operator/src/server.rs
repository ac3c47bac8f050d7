//! `/healthz`, `/readyz` and `/metrics`, and beside them the page.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::{metrics::expose, page::Page};

/// A loop that has not turned for this long stands still. Each turns once a second, whatever it waits for.
const STANDSTILL: Duration = Duration::from_secs(60);

/// How the operator is.
pub struct Health {
    started: Instant,
    /// When the loop turned last, milliseconds after the start.
    turned: AtomicU64,
    is_ready: AtomicBool,
}

impl Default for Health {
    fn default() -> Self {
        Self { started: Instant::now(), turned: AtomicU64::new(0), is_ready: AtomicBool::new(false) }
    }
}

impl Health {
    /// The loop has turned.
    pub fn turn(&self) {
        self.turned.store(self.age(), Ordering::Relaxed);
    }

    /// It does what it should: it stands by, or knows the pipelines.
    pub fn ready(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Ordering::Relaxed);
    }

    /// Whether it does what it should.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    fn age(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How long the loop has stood still, if it does.
    fn standstill(&self) -> Option<Duration> {
        let since = Duration::from_millis(self.age().saturating_sub(self.turned.load(Ordering::Relaxed)));
        (since > STANDSTILL).then_some(since)
    }
}

/// What the endpoints show.
#[derive(Clone)]
pub struct Shown {
    /// How the operator is.
    pub health: Arc<Health>,
    /// The metrics.
    pub registry: Arc<Registry>,
    /// Brings those up to date that are taken, not counted.
    pub refresh: Arc<dyn Fn() + Send + Sync>,
}

/// Serves until `stop` completes, and the page too, if there is one.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    shown: Shown,
    page: Option<Page>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let page = page.map(Page::router).unwrap_or_default();
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(shown)
        .merge(page);
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

/// An operator that waits for its API server, or for its turn to lead, is alive.
async fn healthz(State(shown): State<Shown>) -> impl IntoResponse {
    match shown.health.standstill() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(since) => {
            let text = format!("the loop has stood still for {} s\n", since.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}

async fn readyz(State(shown): State<Shown>) -> impl IntoResponse {
    if shown.health.is_ready() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "waiting for the API server's first list of LoginPipelines\n")
    }
}

async fn metrics(State(shown): State<Shown>) -> impl IntoResponse {
    (shown.refresh)();
    let content_type = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    match expose(&shown.registry) {
        Ok(text) => (StatusCode::OK, content_type, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, content_type, format!("{error}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_turns_is_alive() {
        let health = Health { started: Instant::now().checked_sub(STANDSTILL * 2).unwrap(), ..Health::default() };
        assert!(health.standstill().is_some_and(|since| since >= STANDSTILL * 2));
        health.turn();
        assert_eq!(health.standstill(), None);
    }
}
