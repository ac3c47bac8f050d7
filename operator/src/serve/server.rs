//! `/healthz`, `/readyz` and `/metrics`, and beside them the page.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use super::{
    health::Health,
    metrics::expose,
    page::{Page, router},
};

/// What `/healthz`, `/readyz` and `/metrics` answer from.
#[derive(Clone)]
pub(crate) struct Endpoints {
    pub health: Arc<Health>,
    pub registry: Arc<Registry>,
    /// Brings up to date the metrics that are read from elsewhere.
    pub refresh: Arc<dyn Fn() + Send + Sync>,
}

/// Serves until `stop` completes, and the page too, if there is one.
///
/// # Errors
/// When the listener fails.
pub(crate) async fn serve(
    listener: TcpListener,
    endpoints: Endpoints,
    page: Option<Page>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let page = page.map(router).unwrap_or_default();
    let routes = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(endpoints)
        .merge(page);
    axum::serve(listener, routes).with_graceful_shutdown(stop).await
}

/// An operator that waits for its API server, or for its turn to lead, is alive.
async fn healthz(State(endpoints): State<Endpoints>) -> impl IntoResponse {
    match endpoints.health.standstill() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(since) => {
            let text = format!("the loop has stood still for {} s\n", since.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}

async fn readyz(State(endpoints): State<Endpoints>) -> impl IntoResponse {
    if endpoints.health.is_ready() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "waiting for the API server's first list of LoginPipelines\n")
    }
}

async fn metrics(State(endpoints): State<Endpoints>) -> impl IntoResponse {
    (endpoints.refresh)();
    let content_type = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    match expose(&endpoints.registry) {
        Ok(text) => (StatusCode::OK, content_type, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, content_type, format!("{error}\n")),
    }
}
