//! `operator run`: serves, stands by until it leads, reconciles, ends.

use std::{sync::Arc, time::Duration};

use crds::pipeline::ConditionStatus;
use kube::{
    Client, ResourceExt,
    runtime::reflector::{self, Store, store::Writer},
};
use tokio::{net::TcpListener, sync::watch, time::timeout};

use super::{
    args,
    client::{NoApiServer, connect},
    conditions::condition::{READY, condition},
    resource::Guarded,
    scope::Scope,
    serve::{
        health::Health,
        lead::Lead,
        metrics::{Metrics, Readiness},
        page::{Page, Sources},
        server::{self, Endpoints},
    },
    stop::stopped,
    watch::{
        controller::{self, Work},
        leader::{Candidate, Lost},
    },
};

pub use super::watch::slots::BLOCKING_THREADS;

/// Why the operator ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No API server is configured.
    #[error(transparent)]
    NoApiServer(#[from] NoApiServer),
    /// Another operator may lead now.
    #[error("leadership is lost: {0}")]
    LeadershipLost(#[from] Lost),
    /// Health and metrics could not be served.
    #[error("the listener failed: {0}")]
    Listener(#[from] std::io::Error),
}

/// How long open connections may keep an operator from ending.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs until `stop` turns true, then ends within a bound.
///
/// # Errors
/// When no API server is known, leadership is lost, or the listener fails.
pub async fn run(options: args::Run, listener: TcpListener, stop: watch::Receiver<bool>) -> Result<(), RunError> {
    let (metrics, registry) = Metrics::new();
    let client = connect(metrics.clone()).await?;
    let health = Arc::new(Health::default());
    let (pipelines, writer) = reflector::store();
    let endpoints = Endpoints {
        health: health.clone(),
        registry: Arc::new(registry),
        refresh: Arc::new(count(pipelines.clone(), metrics.clone())),
    };
    let (tell, told) = watch::channel(Lead::Unknown);
    let page = options.page.then(|| {
        Page::new(Sources {
            pipelines: pipelines.clone(),
            client: client.clone(),
            lead: told,
            lease_namespace: lease_namespace(&options, &client),
            health: health.clone(),
            scope: Scope::of(&options.watch_namespaces),
            stop: stop.clone(),
        })
    });
    let serving = tokio::spawn(server::serve(listener, endpoints, page, stopped(stop.clone())));
    lead(&options, client, (pipelines, writer), health, metrics, tell, stop).await?;
    match timeout(FAREWELL, serving).await {
        Ok(served) => served.map_err(std::io::Error::other)??,
        Err(_) => tracing::warn!("connections were still open and are dropped"),
    }
    Ok(())
}

/// The namespace of the Lease, which is the operator's own unless it is told another.
fn lease_namespace(options: &args::Run, client: &Client) -> String {
    let named = options.leader_election.lease_namespace.clone();
    named.unwrap_or_else(|| client.default_namespace().to_owned())
}

/// Works for as long as this operator leads.
async fn lead(
    options: &args::Run,
    client: Client,
    (pipelines, writer): (Store<Guarded>, Writer<Guarded>),
    health: Arc<Health>,
    metrics: Metrics,
    tell: watch::Sender<Lead>,
    stop: watch::Receiver<bool>,
) -> Result<(), Lost> {
    let work = Work {
        client: client.clone(),
        scope: Scope::of(&options.watch_namespaces),
        processor_image: options.processor_image.clone(),
        measure_interval: options.measure_interval,
        pipelines,
        writer,
        health: health.clone(),
        metrics: metrics.clone(),
    };
    let election = &options.leader_election;
    if !election.is_enabled {
        metrics.set_leader(true);
        tell.send_replace(Lead::Own);
        controller::run(work, stop).await;
        return Ok(());
    }
    let namespace = lease_namespace(options, &client);
    let mut candidate = Candidate::new(client, &namespace, &election.lease_name);
    health.ready(true);
    let follows = |holder| drop(tell.send_replace(Lead::Another(holder)));
    tokio::select! {
        () = candidate.acquire(|| health.turn(), follows) => {}
        () = stopped(stop.clone()) => {
            // The write that takes the Lease may have arrived without its answer.
            candidate.release().await;
            return Ok(());
        }
    }
    tracing::info!(namespace, lease = election.lease_name, identity = candidate.identity(), "leading");
    metrics.set_leader(true);
    health.ready(false);
    tell.send_replace(Lead::Own);
    tokio::select! {
        () = controller::run(work, stop) => {}
        // Passes are dropped at once, in the middle of whatever they do.
        lost = candidate.hold() => return Err(lost),
    }
    candidate.release().await;
    Ok(())
}

/// Brings up to date the metrics that are read from the store of pipelines.
fn count(pipelines: Store<Guarded>, metrics: Metrics) -> impl Fn() + Send + Sync {
    move || metrics.count_pipelines(pipelines.state().iter().map(|pipeline| readiness(pipeline)))
}

fn readiness(pipeline: &Guarded) -> Readiness {
    let status = pipeline.0.as_ref().ok().and_then(|pipeline| pipeline.status.as_ref());
    let ready = status.and_then(|status| condition(status, READY));
    Readiness {
        namespace: pipeline.namespace().unwrap_or_default(),
        name: pipeline.name_any(),
        ready: ready.map_or(ConditionStatus::Unknown, |ready| ready.status),
        reason: ready.map(|ready| ready.reason.clone()),
    }
}
