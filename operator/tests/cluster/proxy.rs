//! A proxy between the operator and the API server: it records every request, and makes some fail as planned.

use std::{
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request, State, connect_info::Connected},
    http::{Method, StatusCode, header},
    response::Response,
    serve::IncomingStream,
};
use futures::future::{BoxFuture, pending};
use kube::Client;
use serde_json::json;
use testkit::process::Folder;
use tokio::{net::TcpListener, sync::watch};

use crate::support::{Operator, World};

/// A request, in Kubernetes' terms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// `get`, `list`, `watch`, `create`, `update`, `patch` or `delete`.
    pub verb: &'static str,
    /// The plural, with `/` and the subresource if there is one; the path, if the path names no resource.
    pub resource: String,
    /// Empty when the request is for no namespace, or for all.
    pub namespace: String,
    /// Empty when the request names no object.
    pub name: String,
}

impl Call {
    fn of(method: &Method, path: &str, query: &str) -> Self {
        let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let rest = match segments.as_slice() {
            ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
            _ => &[],
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            _ => ("", rest),
        };
        let (resource, name) = match rest {
            [] => (path.to_owned(), ""),
            [resource] => ((*resource).to_owned(), ""),
            [resource, name] => ((*resource).to_owned(), *name),
            [resource, name, subresource @ ..] => (format!("{resource}/{}", subresource.join("/")), *name),
        };
        let verb = match *method {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ if query.split('&').any(|pair| pair.starts_with("watch=")) => "watch",
            _ if name.is_empty() => "list",
            _ => "get",
        };
        Self { verb, resource, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Whether it changes anything other than a Lease, which the leader has to renew.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch") && self.resource != "leases"
    }
}

/// The fate of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It passes through.
    Through,
    /// The proxy gives this answer, and the request does not reach the API server.
    Answer(StatusCode),
    /// It does not reach the API server, and gets no answer.
    Stall,
    /// It passes through, but the connection breaks before the answer.
    LoseReply,
    /// The connection breaks before it is sent.
    Cut,
    /// It passes through, and afterwards nothing is answered any more: the moment to kill the sender.
    Last,
}

type Plan = Box<dyn FnMut(&Call) -> Fate + Send>;

/// What a request waits for before it passes through, if anything.
type Hold = Box<dyn Fn(&Call) -> Option<BoxFuture<'static, ()>> + Send + Sync>;

/// Sees each request with its body just before it passes through.
pub type Witness = Box<dyn Fn(Call, Bytes) -> BoxFuture<'static, ()> + Send + Sync>;

/// A proxy in front of an API server, until it is dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    kubeconfig: PathBuf,
    _folder: Folder,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    client: Client,
    plan: Mutex<Plan>,
    witness: Option<Witness>,
    hold: Mutex<Hold>,
    calls: Mutex<Vec<Call>>,
    lines: Mutex<Vec<Line>>,
    /// Whether the last request has passed through.
    is_over: watch::Sender<bool>,
}

/// A connection that can be broken.
#[derive(Clone)]
struct Line(Arc<TcpStream>);

impl Connected<IncomingStream<'_, TcpListener>> for Line {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(Arc::new(stream.io().as_fd().try_clone_to_owned().unwrap().into()))
    }
}

impl Line {
    fn cut(&self) {
        // It may have ended by itself.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

impl Proxy {
    /// Starts in front of this client's API server, with this client's rights. All requests pass through.
    pub async fn start(client: Client) -> Self {
        Self::with_witness(client, None).await
    }

    pub async fn with_witness(client: Client, witness: Option<Witness>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            client,
            plan: Mutex::new(Box::new(|_| Fate::Through)),
            witness,
            hold: Mutex::new(Box::new(|_| None)),
            calls: Mutex::default(),
            lines: Mutex::default(),
            is_over: watch::channel(false).0,
        });
        let router = Router::new().fallback(handle).with_state(shared.clone());
        let service = router.into_make_service_with_connect_info::<Line>();
        let task = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        let folder = Folder::new("proxy").unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        });
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        Self { shared, kubeconfig, _folder: folder, task }
    }

    /// Starts an operator that uses the proxy, for this namespace, and waits until it is ready.
    pub async fn operator(&self, world: &World) -> Operator {
        Operator::start_with(world, &self.kubeconfig, &["--leader-election=false"]).await
    }

    /// Starts an operator for all namespaces.
    pub async fn operator_of_all(&self, world: &World) -> Operator {
        let arguments = ["--leader-election=false", "--watch-namespaces", ""];
        Operator::start_with(world, &self.kubeconfig, &arguments).await
    }

    /// Sets the fate of requests from now on.
    pub fn plan(&self, plan: impl FnMut(&Call) -> Fate + Send + 'static) {
        *self.shared.plan.lock().unwrap() = Box::new(plan);
    }

    /// Sets what requests wait for from now on.
    pub fn hold(&self, hold: impl Fn(&Call) -> Option<BoxFuture<'static, ()>> + Send + Sync + 'static) {
        *self.shared.hold.lock().unwrap() = Box::new(hold);
    }

    pub fn cut(&self) {
        for line in self.shared.lines.lock().unwrap().drain(..) {
            line.cut();
        }
    }

    /// Waits until a request met [`Fate::Last`].
    pub async fn over(&self) {
        self.shared.is_over.subscribe().wait_for(|is_over| *is_over).await.unwrap();
    }

    /// Answers all requests again.
    pub fn resume(&self) {
        self.plan(|_| Fate::Through);
        self.shared.is_over.send_replace(false);
    }

    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// Every request so far that would change an object.
    pub fn writes(&self) -> Vec<Call> {
        self.calls().into_iter().filter(Call::is_write).collect()
    }
}

async fn handle(State(shared): State<Arc<Shared>>, ConnectInfo(line): ConnectInfo<Line>, request: Request) -> Response {
    {
        let mut lines = shared.lines.lock().unwrap();
        if !lines.iter().any(|known| Arc::ptr_eq(&known.0, &line.0)) {
            lines.push(line.clone());
        }
    }
    if *shared.is_over.borrow() {
        return pending().await;
    }
    let uri = request.uri();
    let call = Call::of(request.method(), uri.path(), uri.query().unwrap_or_default());
    shared.calls.lock().unwrap().push(call.clone());
    let held = (shared.hold.lock().unwrap())(&call);
    if let Some(held) = held {
        held.await;
    }
    let fate = (shared.plan.lock().unwrap())(&call);
    match fate {
        Fate::Through => forward(&shared, call, request).await,
        Fate::Answer(status) => refusal(status),
        Fate::Stall => pending().await,
        Fate::LoseReply => {
            let answer = forward(&shared, call, request).await;
            line.cut();
            answer
        }
        Fate::Cut => {
            line.cut();
            refusal(StatusCode::BAD_GATEWAY)
        }
        Fate::Last => {
            forward(&shared, call, request).await;
            shared.is_over.send_replace(true);
            pending().await
        }
    }
}

async fn forward(shared: &Shared, call: Call, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    if let Some(witness) = &shared.witness {
        witness(call, body.clone()).await;
    }
    let path = parts.uri.path_and_query().unwrap().as_str();
    let mut request = axum::http::Request::builder().method(parts.method).uri(path);
    for name in [header::ACCEPT, header::CONTENT_TYPE] {
        if let Some(value) = parts.headers.get(&name) {
            request = request.header(name, value);
        }
    }
    match shared.client.send(request.body(body.into()).unwrap()).await {
        Ok(answer) => answer.map(Body::new),
        Err(error) => panic!("the API server does not answer: {error}"),
    }
}

fn refusal(status: StatusCode) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.as_u16(),
        "message": format!("{status}, says the test"), "reason": status.canonical_reason().unwrap_or_default().replace(' ', ""),
    });
    let answer = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    // The client expects it only with this status.
    let answer = if status == StatusCode::TOO_MANY_REQUESTS { answer.header(header::RETRY_AFTER, "1") } else { answer };
    answer.body(Body::from(body.to_string())).unwrap()
}
