//! The client of the API server. It counts each request by verb and resource, and gives up requests that get no answer.

use std::{
    error::Error,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body as Answer, Bytes, HttpBody},
    http::{Method, Request, Response},
};
use cli::exit::with_causes;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use tokio::time::timeout;
use tower::{Layer, Service};

use super::serve::metrics::Metrics;

/// No client can be made.
#[derive(Debug, thiserror::Error)]
#[error("no API server is known: run in a cluster, or set KUBECONFIG to a kubeconfig file ({0})")]
pub struct NoApiServer(String);

/// How long the API server may take to begin an answer, and between two parts of it: longer than the 15 s for which it
/// lets a request wait for its turn.
const PATIENCE: Duration = Duration::from_secs(30);

type BoxError = Box<dyn Error + Send + Sync>;

/// A client of the API server that the environment names: the cluster's own in a pod, else the kubeconfig's.
///
/// # Errors
/// When there is neither, or it is not usable.
pub async fn connect(metrics: Metrics) -> Result<Client, NoApiServer> {
    let config = Config::infer().await.map_err(|error| NoApiServer(with_causes(&error)))?;
    let builder = ClientBuilder::try_from(config).map_err(|error| NoApiServer(with_causes(&error)))?;
    Ok(builder.with_layer(&RequestLayer { metrics, patience: PATIENCE }).build())
}

/// A request got no answer in time.
#[derive(Debug, thiserror::Error)]
#[error("the API server does not answer within {} s", .0.as_secs())]
struct NoAnswer(Duration);

/// The layer around the client's own layers.
struct RequestLayer {
    metrics: Metrics,
    patience: Duration,
}

impl<S> Layer<S> for RequestLayer {
    type Service = RequestService<S>;

    fn layer(&self, inner: S) -> RequestService<S> {
        RequestService { inner, metrics: self.metrics.clone(), patience: self.patience }
    }
}

/// Counts requests, and gives up those that get no answer.
struct RequestService<S> {
    inner: S,
    metrics: Metrics,
    patience: Duration,
}

impl<S, B> Service<Request<Body>> for RequestService<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Answer>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let uri = request.uri();
        let (verb, resource) = target(request.method(), uri.path(), uri.query().unwrap_or_default());
        self.metrics.requested(verb, resource);
        let patience = self.patience;
        let answer = timeout(patience, self.inner.call(request));
        // A watch begins at once, and then is silent for as long as nothing happens: it has a bound of its own.
        let body = move |body| if verb == "watch" { Answer::new(body) } else { without_pauses(body, patience) };
        async move { Ok(answer.await.map_err(|_| NoAnswer(patience))?.map_err(Into::into)?.map(body)) }.boxed()
    }
}

/// A body that fails where its next part does not come.
fn without_pauses<B>(body: B, patience: Duration) -> Answer
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let parts = Answer::new(body).into_data_stream();
    Answer::from_stream(stream::unfold(Some(parts), move |parts| async move {
        let mut parts = parts?;
        match timeout(patience, parts.next()).await {
            Ok(part) => Some((part?.map_err(BoxError::from), Some(parts))),
            Err(_) => Some((Err(NoAnswer(patience).into()), None)),
        }
    }))
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
    use axum::body::to_bytes;
    use futures::future::pending;
    use tower::service_fn;

    use super::*;

    /// What becomes of a request of which the head of the answer comes at once, or not, and then of the body only a part.
    async fn ask(path: &'static str, has_head: bool) -> Result<Bytes, String> {
        let inner = service_fn(move |_: Request<Body>| async move {
            let parts = stream::iter([Ok::<_, BoxError>("a part")]).chain(stream::pending());
            if has_head { Ok::<_, BoxError>(Response::new(Answer::from_stream(parts))) } else { pending().await }
        });
        let layer = RequestLayer { metrics: Metrics::new().0, patience: Duration::from_millis(50) };
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = layer.layer(inner).call(request).await.map_err(|error| with_causes(error.as_ref()))?;
        to_bytes(answer.into_body(), 100).await.map_err(|error| with_causes(&error))
    }

    #[tokio::test]
    async fn what_is_not_answered_fails_but_a_watch_may_be_silent() {
        let silent = "the API server does not answer within 0 s";
        for (path, has_head) in [("/api/v1/pods", false), ("/api/v1/pods?watch=true", false), ("/api/v1/pods", true)] {
            let answer = timeout(Duration::from_secs(5), ask(path, has_head)).await;
            assert_eq!(answer, Ok(Err(silent.to_owned())), "{path} {has_head}");
        }
        let watch = timeout(Duration::from_millis(200), ask("/api/v1/pods?watch=true", true)).await;
        assert!(watch.is_err(), "{watch:?}");
    }

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
