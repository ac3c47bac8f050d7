//! The page of the whole pipeline: asks each replica for its view once a second, and merges the views.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use futures::future::join_all;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use super::{fleet::State, replicas::Seen};
use crate::{
    clock::now_ms,
    replica::view::until_next,
    view::{self, Audit, Publisher, Rates, ReplicaState, View},
};

/// Default address of the page; when the port is taken, the next free port is used.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// How many ports are tried.
const PORTS: u16 = 100;

/// How long a replica may take to answer.
const PATIENCE: Duration = Duration::from_millis(600);

/// Delay after each full second, at which replicas update their views, until they are asked for them.
const AFTER: Duration = Duration::from_millis(100);

/// Most bytes of a replica's answer; a view is far smaller.
const MAX_BYTES: usize = 8 << 20;

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; choose another address with --listen")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// The page's data that does not come from the replicas' views.
#[derive(Debug, Default)]
struct Shown {
    replicas: Vec<Seen>,
    audit: Audit,
}

/// A page, served on its own thread.
#[derive(Clone, Debug)]
pub struct Site {
    address: SocketAddr,
    shown: Arc<Mutex<Shown>>,
}

impl Site {
    /// Serves the page, and merges the views, on a thread.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn start(asked: Option<SocketAddr>) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address: asked.unwrap_or(LISTEN), source };
        let listener = listen(asked).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let site = Self { address, shown: Arc::default() };
        let shown = Arc::clone(&site.shown);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let serve = move || runtime.block_on(serve(listener, &shown));
        thread::Builder::new().name("page".to_owned()).spawn(serve).map_err(failed)?;
        Ok(site)
    }

    /// The URL of the page.
    #[must_use]
    pub fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(LISTEN.ip());
        }
        format!("http://{address}/")
    }

    /// Sets the replicas and the progress of the audit to show.
    pub fn show(&self, replicas: Vec<Seen>, audit: Audit) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Shown { replicas, audit };
    }

    /// Opens the page in a browser. Returns a message when that is not possible.
    #[must_use]
    pub fn open(&self) -> Option<String> {
        let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        let has_screen = cfg!(target_os = "macos")
            || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
        let mut command = Command::new(opener);
        command.arg(self.url()).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(mut browser) if has_screen => {
                thread::spawn(move || browser.wait());
                None
            }
            _ => Some(format!("no browser can be opened from here: open {} in one", self.url())),
        }
    }
}

fn listen(asked: Option<SocketAddr>) -> io::Result<TcpListener> {
    let listener = match asked {
        Some(address) => TcpListener::bind(address),
        None => {
            let ports = LISTEN.port()..LISTEN.port() + PORTS;
            let mut tried = ports.map(|port| TcpListener::bind((LISTEN.ip(), port)));
            let is_taken =
                |tried: &io::Result<_>| matches!(tried, Err(error) if error.kind() == io::ErrorKind::AddrInUse);
            tried.find(|tried| !is_taken(tried)).unwrap_or_else(|| TcpListener::bind((LISTEN.ip(), 0)))
        }
    }?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn serve(listener: TcpListener, shown: &Mutex<Shown>) {
    let (publisher, page) = view::channel();
    let served = async { axum::serve(tokio::net::TcpListener::from_std(listener)?, page.router()).await };
    tokio::select! {
        served = served => tracing::warn!("the page is not served any more: {served:?}"),
        () = feed(&publisher, shown) => {}
    }
}

/// Publishes a merged view once a second, forever.
async fn feed(publisher: &Publisher, shown: &Mutex<Shown>) {
    let mut together = Together::default();
    loop {
        tokio::time::sleep(until_next(now_ms()) + AFTER).await;
        let (replicas, audit) = {
            let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            (shown.replicas.clone(), shown.audit)
        };
        let views = join_all(replicas.iter().map(ask)).await;
        if let Some(view) = together.take(replicas.into_iter().zip(views)) {
            publisher.publish(View { audit: Some(audit), ..view });
        }
    }
}

/// The view of a replica; `None` when it does not answer.
async fn ask(replica: &Seen) -> Option<View> {
    let address = replica.address.filter(|_| matches!(replica.state, State::Running | State::Stopping))?;
    let answer = async {
        let stream = TcpStream::connect(address).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let request = Request::get("/view").header(HOST, address.to_string()).body(Empty::<Bytes>::new()).ok()?;
        let response = sender.send_request(request).await.ok()?;
        let body = Limited::new(response.into_body(), MAX_BYTES).collect().await.ok()?;
        serde_json::from_slice(&body.to_bytes()).ok()
    };
    timeout(PATIENCE, answer).await.ok().flatten()
}

/// The views of all replicas, including those that have ended, so that no total decreases.
#[derive(Debug, Default)]
struct Together {
    /// The last view of each replica, by name, and the process that gave it.
    last: BTreeMap<String, (usize, View)>,
    /// The sum of the views of processes that have ended.
    past: Option<View>,
}

impl Together {
    /// Takes the answers, `None` from replicas that did not answer, and returns the merged view; `None` before the
    /// first view.
    fn take(&mut self, answers: impl Iterator<Item = (Seen, Option<View>)>) -> Option<View> {
        let mut before = std::mem::take(&mut self.last);
        let mut views = Vec::new();
        for (Seen { name, state, incarnation, address }, answer) in answers {
            let known = before.remove(&name);
            let is_new = known.as_ref().is_none_or(|(of, _)| *of != incarnation);
            let view = match (answer, known) {
                (Some(view), known) => {
                    known.filter(|_| is_new).into_iter().for_each(|(_, old)| self.bury(old));
                    self.last.insert(name, (incarnation, view.clone()));
                    overlaid(view, state, address)
                }
                // The replica's new process has not answered yet.
                (None, Some((of, view))) => {
                    self.last.insert(name, (of, view.clone()));
                    let state = if is_new { ReplicaState::Gone } else { shown_state(state) };
                    still(view, state, address)
                }
                (None, None) => continue,
            };
            views.push(view);
        }
        before.into_values().for_each(|(_, old)| self.bury(old));
        views.extend(self.past.clone());
        view::merge(&views)
    }

    fn bury(&mut self, view: View) {
        let views: Vec<View> = self.past.take().into_iter().chain([view]).map(buried).collect();
        self.past = view::merge(&views).map(buried);
    }
}

/// Keeps only the counts of a process that has ended.
fn buried(view: View) -> View {
    View { replicas: Vec::new(), ..view }
}

/// A view that a replica has just returned.
fn overlaid(mut view: View, state: State, address: Option<SocketAddr>) -> View {
    for replica in &mut view.replicas {
        replica.page = address.map(|address| format!("http://{address}/"));
        if state == State::Stopping {
            replica.state = ReplicaState::Stopping;
        }
    }
    view
}

/// The last view of a replica that does not answer, shown as inactive.
fn still(mut view: View, state: ReplicaState, address: Option<SocketAddr>) -> View {
    for replica in &mut view.replicas {
        replica.state = state;
        replica.page = address.filter(|_| state != ReplicaState::Gone).map(|address| format!("http://{address}/"));
    }
    View { rates: Rates::default(), ..view }
}

const fn shown_state(state: State) -> ReplicaState {
    match state {
        State::Running => ReplicaState::Running,
        State::Paused => ReplicaState::Paused,
        State::Stopping => ReplicaState::Stopping,
        State::Gone(_) => ReplicaState::Gone,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::json;

    use super::*;
    use crate::view::Totals;

    fn seen(state: State, incarnation: usize) -> Seen {
        Seen { name: "local-0".to_owned(), state, incarnation, address: Some(LISTEN) }
    }

    /// The view of a replica that has processed this number of events.
    fn view(processed: u64) -> View {
        let topics = json!({"source": "in", "output": "out", "dead_letters": "dead", "aggregates": null});
        let replica = json!({"name": "local-0", "state": "running", "not_ready": null, "uptime_seconds": 1, "role": null,
            "threads": [], "page": null});
        let latency = json!({"count": 0, "p50": null, "p99": null});
        let mut view = json!({"version": 1, "time": 1, "scope": "replica", "topics": topics, "replicas": [replica],
            "pipeline": {"namespace": "local", "name": "logins", "revision": 1},
            "latency": {"commit": latency, "emission": latency}, "lag": 5, "partitions": [], "frontier": null,
            "latest": null, "windows_open": 0, "windows_kept": 0, "windows": [], "alerts": [], "dead_letters": [],
            "audit": null, "totals": Totals::default(), "rates": Rates::default()});
        view["totals"]["processed"] = json!(processed);
        view["rates"]["processed"] = json!(10.0);
        serde_json::from_value(view).unwrap()
    }

    #[test]
    fn no_count_goes_down_whoever_comes_and_goes() {
        let mut together = Together::default();
        let gone = State::Gone(Instant::now());
        let steps = [
            (Some((seen(State::Running, 0), Some(view(10)))), Some(("running", 10, 10.0))),
            (Some((seen(State::Running, 0), None)), Some(("running", 10, 0.0))),
            (Some((seen(State::Paused, 0), None)), Some(("paused", 10, 0.0))),
            (Some((seen(gone, 0), None)), Some(("gone", 10, 0.0))),
            (Some((seen(State::Running, 1), None)), Some(("gone", 10, 0.0))),
            (Some((seen(State::Running, 1), Some(view(3)))), Some(("running", 13, 10.0))),
            (Some((seen(State::Stopping, 1), Some(view(4)))), Some(("stopping", 14, 10.0))),
            (None, None),
            (Some((seen(State::Running, 2), Some(view(1)))), Some(("running", 15, 10.0))),
        ];

        for (answer, expected) in steps {
            let step = format!("{answer:?}");
            let shown = together.take(answer.into_iter()).unwrap();
            let replica = shown.replicas.first().map(|replica| json!(replica.state).as_str().unwrap().to_owned());
            assert_eq!(replica.as_deref(), expected.map(|(state, ..)| state), "{step}");
            let (processed, rate) = expected.map_or((14, 0.0), |(_, processed, rate)| (processed, rate));
            assert_eq!(shown.totals.processed, processed, "{step}");
            assert_eq!(shown.rates.processed, rate, "{step}");
        }
    }

    #[test]
    fn a_port_that_is_taken_is_refused_only_where_it_is_asked_for() {
        let taken = listen(None).unwrap().local_addr().unwrap();
        let first = TcpListener::bind(taken).unwrap();
        assert!(listen(Some(taken)).is_err());
        let next = listen(None).unwrap();
        assert_ne!(next.local_addr().unwrap(), first.local_addr().unwrap());
    }
}
