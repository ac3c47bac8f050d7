//! What the pods of a pipeline report.
//!
//! ```text
//!   reason    pure  from pods to why they do not become ready, in their own words
//!   figures   pure  from what pods count to lag and rate, and whether that is worth reporting
//!   ask       I/O   one HTTP GET to a pod
//! ```
//!
//! A pass reads pods only where they do not all run as they should; `watch::measure` asks them for their figures.

pub(crate) mod ask;
pub(crate) mod figures;
mod reason;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::ListParams};

pub(crate) use figures::Figures;
pub(crate) use reason::{PodReason, Trouble, reason};

use super::{
    build::{HTTP_PORT, selector},
    resource::Key,
    resource::ObserveError,
};

/// How much of what a pod says of its readiness is repeated, in characters.
const WORDS: usize = 400;

/// The pods of a pipeline, those that are about to go included.
///
/// # Errors
/// When the API server fails or refuses.
pub(crate) async fn list(client: &Client, namespace: &str, pipeline: &str) -> Result<Vec<Pod>, ObserveError> {
    let labels: Vec<_> = selector(pipeline).iter().map(|(key, value)| format!("{key}={value}")).collect();
    let ours = ListParams::default().labels(&labels.join(","));
    let pods = Api::<Pod>::namespaced(client.clone(), namespace).list(&ours).await;
    Ok(pods.map_err(|source| ObserveError::Api { what: "the pods", source })?.items)
}

/// Why the pods that run this ConfigMap's job config are not all ready; none when they are, or when there are none. A pod
/// that runs is asked itself.
pub(crate) async fn why(pods: &[Pod], config_map: &str) -> Option<PodReason> {
    let mut why = reason(pods, config_map, Timestamp::now())?;
    let pod = pods.iter().find(|pod| pod.name_any() == why.pod);
    if why.trouble == Trouble::NotReady
        && let Some(address) = pod.and_then(address)
        && let Some(words) = ask::get(address, "/readyz").await
    {
        let words: String = words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(WORDS).collect();
        why.text = format!("{}: {words}", why.text);
    }
    Some(why)
}

/// The address of a pod's HTTP port; none before the pod has one.
#[must_use]
pub(crate) fn address(pod: &Pod) -> Option<SocketAddr> {
    let ip: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    Some(SocketAddr::new(ip, u16::try_from(HTTP_PORT).ok()?))
}

/// The figures to report of each pipeline.
#[derive(Debug, Default)]
pub(crate) struct Measurements(Mutex<BTreeMap<Key, Figures>>);

impl Measurements {
    /// What to report of a pipeline. None before it was measured: what was reported last still counts then.
    #[must_use]
    pub(crate) fn of(&self, namespace: &str, name: &str) -> Option<Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(namespace.to_owned(), name.to_owned())).copied()
    }

    /// Replaces what to report of all pipelines.
    pub(crate) fn set(&self, figures: BTreeMap<Key, Figures>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = figures;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;

    /// A pod that runs at an address and is not ready.
    fn unready(ip: IpAddr) -> Pod {
        let pod = json!({
            "metadata": {"name": "a"},
            "spec": {"containers": [], "volumes": [{"name": "config", "configMap": {"name": "current"}}]},
            "status": {"podIP": ip, "containerStatuses": [{
                "name": "processor", "image": "a", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"running": {}},
            }]},
        });
        serde_json::from_value(pod).unwrap()
    }

    /// Loopback has many addresses, and each has this port.
    async fn listen() -> (TcpListener, IpAddr) {
        loop {
            let [a, b, c]: [u8; 3] = rand::random();
            let ip = IpAddr::from([127, a.max(1), b, c.clamp(1, 254)]);
            if let Ok(listener) = TcpListener::bind((ip, 8080)).await {
                return (listener, ip);
            }
        }
    }

    #[tokio::test]
    async fn a_pod_that_runs_is_asked_why_it_is_not_ready() {
        let (listener, ip) = listen().await;
        let answer = "thread ingest-0 has not joined the consumer group yet\n";
        let router = axum::Router::new().route(
            "/readyz",
            axum::routing::get(move || async move { (axum::http::StatusCode::SERVICE_UNAVAILABLE, answer) }),
        );
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let pods = [unready(ip)];

        let said = why(&pods, "current").await.unwrap();
        let expected = "1 of 1 pods: it runs and is not ready: thread ingest-0 has not joined the consumer group yet";
        assert_eq!(said.to_string(), expected);

        server.abort();
        // Gone, it says nothing, and that is said.
        assert!(server.await.is_err());
        assert_eq!(why(&pods, "current").await.unwrap().to_string(), "1 of 1 pods: it runs and is not ready");
        assert_eq!(why(&pods, "another").await, None);
    }
}
