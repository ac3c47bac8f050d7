//! One HTTP GET to a pod, within bounds of time and size. The request carries nothing but the path.

use std::{net::SocketAddr, time::Duration};

use axum::http::{Request, Response, StatusCode, header::HOST};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};

/// How long a pod may take to answer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// How much of an answer is read, in bytes. A processor with a thousand partitions answers with less than half of it.
const BOUND: usize = 512 * 1024;

/// Why a pod gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// No connection within [`TIMEOUT`], or no answer on it in time.
    #[error("it does not answer in time")]
    Silent,
    /// No connection could be made.
    #[error("it cannot be reached: {0}")]
    Unreachable(#[source] std::io::Error),
    /// What it says is not HTTP, or breaks off.
    #[error("its answer is no HTTP: {0}")]
    Broken(#[source] hyper::Error),
    /// Its answer breaks off, or is larger than what is read of one.
    #[error("its answer is cut off, or longer than {0} bytes")]
    Cut(usize),
}

/// An answer that has begun. The connection ends when this is dropped.
pub(crate) struct Answer {
    /// Its head, and the body as it comes.
    pub response: Response<Incoming>,
    connection: Connection,
}

/// The task that reads from a connection and writes to it.
pub(crate) struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Answer {
    /// The body as it comes, and what must be kept for as long as it is read.
    pub(crate) fn into_parts(self) -> (Incoming, Connection) {
        (self.response.into_body(), self.connection)
    }
}

/// Asks, and waits for at most `patience` until the answer has begun.
///
/// # Errors
/// When there is no answer, or none in HTTP.
pub(crate) async fn open(address: SocketAddr, path: &str, patience: Duration) -> Result<Answer, AskError> {
    let stream = timeout(TIMEOUT, TcpStream::connect(address)).await.map_err(|_| AskError::Silent)?;
    let stream = TokioIo::new(stream.map_err(AskError::Unreachable)?);
    let exchange = async {
        let (mut sender, connection) = http1::handshake(stream).await.map_err(AskError::Broken)?;
        // Why a connection ends shows in the body that it cuts off.
        let connection = Connection(tokio::spawn(async { drop(connection.await) }));
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = axum::http::Uri::try_from(path).unwrap_or_default();
        if let Ok(host) = address.to_string().try_into() {
            request.headers_mut().insert(HOST, host);
        }
        let response = sender.send_request(request).await.map_err(AskError::Broken)?;
        Ok(Answer { response, connection })
    };
    timeout(patience, exchange).await.map_err(|_| AskError::Silent)?
}

/// The status and the whole body of a pod's answer, which comes within `patience` and has at most `bound` bytes.
///
/// # Errors
/// When it does not.
pub(crate) async fn whole(
    address: SocketAddr,
    path: &str,
    patience: Duration,
    bound: usize,
) -> Result<(StatusCode, Bytes), AskError> {
    let exchange = async {
        let answer = open(address, path, patience).await?;
        let status = answer.response.status();
        let (body, _connection) = answer.into_parts();
        let body = Limited::new(body, bound).collect().await.map_err(|_| AskError::Cut(bound))?;
        Ok((status, body.to_bytes()))
    };
    timeout(patience, exchange).await.map_err(|_| AskError::Silent)?
}

/// The body of a pod's answer, whatever its status. None when it does not answer in time, or not with HTTP.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Option<String> {
    let (_, body) = whole(address, path, TIMEOUT, BOUND).await.ok()?;
    String::from_utf8(body.into()).ok()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        thread,
        time::Instant,
    };

    use super::*;

    /// A listener that does this with the first connection.
    fn listener_that<T: Send + 'static>(
        act: impl FnOnce(TcpStream) -> T + Send + 'static,
    ) -> (SocketAddr, thread::JoinHandle<T>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (address, thread::spawn(move || act(listener.accept().unwrap().0)))
    }

    /// A pod that says this and hangs up. Gives what it was asked, too.
    fn pod(answer: Vec<u8>) -> (SocketAddr, thread::JoinHandle<String>) {
        listener_that(move |mut stream| {
            let mut question = [0; 1024];
            let length = stream.read(&mut question).unwrap();
            // The reader may hang up first.
            let _ = stream.write_all(&answer);
            String::from_utf8_lossy(&question[..length]).into_owned()
        })
    }

    async fn body(answer: &[u8]) -> Option<String> {
        get(pod(answer.to_vec()).0, "/metrics").await
    }

    #[tokio::test]
    async fn a_body_is_what_follows_the_head() {
        let plain = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(body(plain).await.as_deref(), Some("ok"));
        assert_eq!(body(b"HTTP/1.1 200 OK\r\n\r\nuntil the end").await.as_deref(), Some("until the end"));
        let chunked = b"HTTP/1.1 503 No\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nnot\r\n6;a=b\r\n ready\r\n0\r\n\r\n";
        assert_eq!(body(chunked).await.as_deref(), Some("not ready"));
    }

    #[tokio::test]
    async fn what_is_broken_has_no_body() {
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        for rest in ["", "3\r\nno", "x\r\nno\r\n", "3\r\nnot", "3\r\nnot\r\n", "ffffffffffffffff\r\nno\r\n0\r\n\r\n"] {
            assert_eq!(body(&[chunked, rest.as_bytes()].concat()).await, None, "{rest:?}");
        }
        for answer in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0\r\n\r\n", "\r\n\r\n"] {
            assert_eq!(body(answer.as_bytes()).await, None, "{answer:?}");
        }
        let long = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[b'a'; BOUND + 1]].concat();
        assert_eq!(body(&long).await, None);
    }

    #[tokio::test]
    async fn a_pod_is_told_the_path_alone() {
        let (address, asked) = pod(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec());
        assert_eq!(get(address, "/view/history").await.as_deref(), Some(""));
        assert_eq!(asked.join().unwrap(), format!("GET /view/history HTTP/1.1\r\nhost: {address}\r\n\r\n"));
    }

    #[tokio::test]
    async fn a_pod_that_hangs_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let started = Instant::now();
        assert_eq!(get(listener.local_addr().unwrap(), "/metrics").await, None);
        assert!(started.elapsed() < TIMEOUT * 2, "{:?}", started.elapsed());
    }

    /// One that writes for ever is not read for ever, and learns that the reader is gone.
    #[tokio::test]
    async fn a_connection_ends_with_its_answer() {
        let (address, writing) = listener_that(|mut stream| {
            let mut written = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while written.is_ok() {
                thread::sleep(Duration::from_millis(5));
                written = stream.write_all(b"more");
            }
        });

        let answer = open(address, "/view/events", TIMEOUT).await.unwrap();
        let (mut body, connection) = answer.into_parts();
        assert_eq!(&body.frame().await.unwrap().unwrap().into_data().unwrap()[..4], b"more");
        drop((body, connection));
        let ended = tokio::task::spawn_blocking(|| writing.join().is_ok());
        assert_eq!(timeout(Duration::from_secs(5), ended).await.unwrap().ok(), Some(true));
    }
}
