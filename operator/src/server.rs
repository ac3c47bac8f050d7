//! `/healthz`, `/readyz` and `/metrics`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
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

use crate::metrics::{Metrics, expose};

/// What the endpoints show.
#[derive(Clone)]
pub struct Shown {
    /// Whether the first list of pipelines has arrived.
    pub is_ready: Arc<AtomicBool>,
    /// The metrics.
    pub registry: Arc<Registry>,
    /// Brings metrics up to date that are taken, not counted.
    pub refresh: Arc<dyn Fn(&Metrics) + Send + Sync>,
    /// What `refresh` changes.
    pub metrics: Metrics,
}

/// Serves until `stop` completes.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    shown: Shown,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        // Answering is the proof: an operator that waits for its API server is alive.
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(shown);
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

async fn readyz(State(shown): State<Shown>) -> impl IntoResponse {
    if shown.is_ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "waiting for the API server's first list of LoginPipelines\n")
    }
}

async fn metrics(State(shown): State<Shown>) -> impl IntoResponse {
    (shown.refresh)(&shown.metrics);
    let content_type = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    match expose(&shown.registry) {
        Ok(text) => (StatusCode::OK, content_type, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, content_type, format!("{error}\n")),
    }
}
