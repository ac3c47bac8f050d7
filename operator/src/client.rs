//! The client of the API server. Each request is counted, by what it does and to what.

use axum::http::{Method, Request};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use tower::util::MapRequestLayer;

use crate::{causes::with_causes, metrics::Metrics};

/// No client can be made.
#[derive(Debug, thiserror::Error)]
#[error("no API server is known: run in a cluster, or set KUBECONFIG to a kubeconfig file ({0})")]
pub struct NoApiServer(String);

/// A client of the API server that the environment names: the cluster's own in a pod, else the kubeconfig's.
///
/// # Errors
/// When there is neither, or it is not usable.
pub async fn connect(metrics: Metrics) -> Result<Client, NoApiServer> {
    let config = Config::infer().await.map_err(|error| NoApiServer(with_causes(&error)))?;
    let builder = ClientBuilder::try_from(config).map_err(|error| NoApiServer(with_causes(&error)))?;
    let count = MapRequestLayer::new(move |request: Request<Body>| {
        let uri = request.uri();
        let (verb, resource) = target(request.method(), uri.path(), uri.query().unwrap_or_default());
        metrics.requested(verb, resource);
        request
    });
    Ok(builder.with_layer(&count).build())
}

/// What a request does and to what, in the words of RBAC: `("patch", "deployments/status")`. A path that is no resource's
/// stands for itself.
fn target(method: &Method, path: &str, query: &str) -> (&'static str, String) {
    let mut segments = path.trim_matches('/').split('/');
    let after_group = match segments.next() {
        Some("api") => 1,
        Some("apis") => 2,
        _ => usize::MAX,
    };
    let mut rest = segments.skip(after_group).peekable();
    if rest.peek() == Some(&"namespaces") {
        // What follows is in a namespace; where nothing more follows, it is the namespace itself.
        let inside: Vec<_> = rest.clone().skip(2).collect();
        if !inside.is_empty() {
            rest.next();
            rest.next();
        }
    }
    let (resource, name, subresource) = (rest.next(), rest.next(), rest.next());
    let is_watch = query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1" | "watch"));
    let verb = match (method.as_str(), name) {
        ("GET", _) if is_watch => "watch",
        ("GET", None) if resource.is_some() => "list",
        ("GET", _) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", Some(_)) => "delete",
        ("DELETE", None) => "deletecollection",
        _ => "other",
    };
    let resource = match (resource, subresource) {
        (Some(resource), Some(subresource)) => format!("{resource}/{subresource}"),
        (Some(resource), None) => resource.to_owned(),
        (None, _) => path.to_owned(),
    };
    (verb, resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_named_as_rbac_does() {
        for (method, path, query, verb, resource) in [
            ("GET", "/api/v1/namespaces/a/configmaps", "labelSelector=x", "list", "configmaps"),
            ("GET", "/api/v1/namespaces/a/configmaps/b", "", "get", "configmaps"),
            ("GET", "/api/v1/configmaps", "watch=true&x=y", "watch", "configmaps"),
            ("GET", "/apis/apps/v1/namespaces/a/deployments", "", "list", "deployments"),
            ("PATCH", "/apis/apps/v1/namespaces/a/deployments/b", "force=true", "patch", "deployments"),
            ("PATCH", "/apis/g/v1/namespaces/a/things/b/status", "", "patch", "things/status"),
            ("DELETE", "/api/v1/namespaces/a/configmaps/b", "", "delete", "configmaps"),
            ("DELETE", "/api/v1/namespaces/a/configmaps", "", "deletecollection", "configmaps"),
            ("POST", "/apis/events.k8s.io/v1/namespaces/a/events", "", "create", "events"),
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/b", "", "update", "leases"),
            ("GET", "/api/v1/namespaces/a", "", "get", "namespaces"),
            ("GET", "/api/v1/namespaces", "", "list", "namespaces"),
            ("GET", "/apis", "", "get", "/apis"),
            ("GET", "/version", "", "get", "/version"),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(target(&method, path, query), (verb, resource.to_owned()), "{method} {path}");
        }
    }
}
