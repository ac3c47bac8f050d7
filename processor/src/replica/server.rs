//! What a replica serves over HTTP: liveness, readiness, metrics and the live page.

use std::sync::Arc;

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};

use super::{metrics::Metrics, status::ThreadStatus, threads::Replica};
use crate::view::Page;

#[derive(Clone)]
struct Shown {
    statuses: Arc<Vec<ThreadStatus>>,
    metrics: Arc<Metrics>,
}

pub fn router(replica: &Replica, page: Page) -> Router {
    let shown = Shown { statuses: Arc::clone(&replica.statuses), metrics: Arc::clone(&replica.metrics) };
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(shown)
        .merge(page.router())
}

/// Fails only when a loop hangs, never because of Kafka's state: a restart would not help.
async fn healthz(State(shown): State<Shown>) -> impl IntoResponse {
    let hangs = |status: &&ThreadStatus| !status.is_alive();
    match shown.statuses.iter().find(hangs) {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(status) => (StatusCode::INTERNAL_SERVER_ERROR, format!("thread {} hangs\n", status.name)),
    }
}

async fn readyz(State(shown): State<Shown>) -> impl IntoResponse {
    let not_ready = |status: &ThreadStatus| Some(format!("thread {} {}\n", status.name, status.not_ready()?));
    let problems: String = shown.statuses.iter().filter_map(not_ready).collect();
    if problems.is_empty() { (StatusCode::OK, "ok\n".to_owned()) } else { (StatusCode::SERVICE_UNAVAILABLE, problems) }
}

async fn metrics(State(shown): State<Shown>) -> impl IntoResponse {
    const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(axum::http::header::CONTENT_TYPE, CONTENT_TYPE)], shown.metrics.encode())
}
