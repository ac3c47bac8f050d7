//! What all requests of the page share.

use std::sync::Arc;

use axum::{http::StatusCode, response::Response};
use kube::{
    Client,
    runtime::reflector::{ObjectRef, Store},
};
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use web::refusal;

use super::{details::Details, rows::Rows};
use crate::{
    resource::Guarded,
    scope::Scope,
    serve::{health::Health, lead::Lead},
};

/// How many viewers can be told of changes at once.
pub(super) const VIEWERS: usize = 64;

/// How many requests can be passed on to replicas at once.
pub(super) const PROXIED: usize = 32;

/// What the page shows, and where it asks.
pub(crate) struct Sources {
    /// Every pipeline that is watched. Empty while another operator leads.
    pub pipelines: Store<Guarded>,
    /// The API server, for the pods and Events of a pipeline that somebody opens.
    pub client: Client,
    /// Which operator leads.
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
pub(crate) struct Page(pub Arc<Inner>);

/// What the clones of a page share.
pub(crate) struct Inner {
    pub sources: Sources,
    /// The lines of the list.
    pub rows: Rows,
    /// Pods and Events of single pipelines.
    pub details: Details,
    /// The seats of viewers that are told of changes.
    pub viewers: Arc<Semaphore>,
    /// The seats of requests that are passed on to replicas.
    pub proxied: Arc<Semaphore>,
}

/// What the JSON says beside the pipelines.
#[derive(Clone, Serialize, PartialEq, Eq)]
pub(crate) struct Head {
    /// The version of this JSON. Fields may be added under the same number.
    version: u32,
    operator: &'static str,
    /// `leads`, `starting` (the pipelines are not listed yet), `stands-by` or `unknown`.
    state: &'static str,
    /// The pod that leads, where another does.
    leader: Option<String>,
    /// The namespace of that pod.
    leader_namespace: Option<String>,
    /// The namespaces that are watched; none for all of them.
    namespaces: Option<Vec<String>>,
}

impl Page {
    /// A page of these sources.
    #[must_use]
    pub(crate) fn new(sources: Sources) -> Self {
        Self(Arc::new(Inner {
            rows: Rows::new(sources.pipelines.clone()),
            details: Details::new(sources.client.clone()),
            viewers: Arc::new(Semaphore::new(VIEWERS)),
            proxied: Arc::new(Semaphore::new(PROXIED)),
            sources,
        }))
    }

    /// The operator, and whether it leads.
    pub(crate) fn head(&self) -> Head {
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
    pub(crate) fn pipeline(&self, namespace: &str, name: &str) -> Result<Arc<Guarded>, Box<Response>> {
        let found = self.0.sources.pipelines.get(&ObjectRef::new(name).within(namespace));
        found.ok_or_else(|| Box::new(self.unknown(&format!("no LoginPipeline {namespace}/{name} is watched"))))
    }

    /// The answer where nothing of that name is known.
    pub(crate) fn unknown(&self, what: &str) -> Response {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_its_pod() {
        assert_eq!(pod_of("operator-7d9_x-1_0123456789abcdef"), "operator-7d9_x-1");
        assert_eq!(pod_of("somebody"), "somebody");
    }
}
