//! One question to a pod: HTTP GET, within a bound of time and size.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Duration,
};

use tokio::net::TcpStream;

/// How long a pod may take to answer.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// How much of an answer is read, in bytes. A processor with a thousand partitions answers with less than half of it.
const BOUND: usize = 512 * 1024;

/// The body of a pod's answer, whatever its status. None when it does not answer in time, or not with HTTP.
pub async fn get(address: SocketAddr, path: &str) -> Option<String> {
    let answer = tokio::time::timeout(TIMEOUT, exchange(address, path)).await.ok()?.ok()?;
    body(&answer)
}

async fn exchange(address: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(address).await?;
    let question = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let mut rest = question.as_bytes();
    while !rest.is_empty() {
        stream.writable().await?;
        rest = &rest[ready(stream.try_write(rest))?.unwrap_or(0)..];
    }
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while answer.len() < BOUND {
        stream.readable().await?;
        match ready(stream.try_read(&mut piece))? {
            Some(0) => break,
            Some(length) => answer.extend_from_slice(&piece[..length]),
            None => {}
        }
    }
    Ok(answer)
}

/// None where it turned out not to be ready.
fn ready(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(length) => Ok(Some(length)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// The body of an answer over a connection that is closed after it.
fn body(answer: &[u8]) -> Option<String> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, rest) = (std::str::from_utf8(&answer[..end]).ok()?, &answer[end + 4..]);
    let mut lines = head.lines();
    if !lines.next()?.starts_with("HTTP/1.") {
        return None;
    }
    let is_chunked = lines.filter_map(|line| line.split_once(':')).any(|(name, value)| {
        name.trim().eq_ignore_ascii_case("transfer-encoding") && value.trim().eq_ignore_ascii_case("chunked")
    });
    let body = if is_chunked { joined(rest)? } else { rest.to_vec() };
    String::from_utf8(body).ok()
}

/// The chunks' data: each has its length in hexadecimal before it, the last one is empty.
fn joined(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let length = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?.trim();
        let length = usize::from_str_radix(length, 16).ok()?;
        let data = rest.get(end + 2..)?;
        if length == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(data.get(..length)?);
        rest = data.get(length..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_what_follows_the_head() {
        let plain = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(body(plain).as_deref(), Some("ok"));
        let chunked = b"HTTP/1.1 503 No\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nnot\r\n6;a=b\r\n ready\r\n0\r\n\r\n";
        assert_eq!(body(chunked).as_deref(), Some("not ready"));
    }

    #[test]
    fn what_is_broken_has_no_body() {
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        for rest in ["", "3\r\nno", "x\r\nno\r\n", "3\r\nnot", "3\r\nnot\r\n", "ffffffffffffffff\r\nno\r\n0\r\n\r\n"] {
            let answer = [chunked, rest.as_bytes()].concat();
            assert_eq!(body(&answer), None, "{rest:?}");
        }
        for answer in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0\r\n\r\n", "\r\n\r\n"] {
            assert_eq!(body(answer.as_bytes()), None, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_pod_that_hangs_is_not_waited_for() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let started = std::time::Instant::now();
        assert_eq!(get(listener.local_addr().unwrap(), "/metrics").await, None);
        assert!(started.elapsed() < TIMEOUT * 2, "{:?}", started.elapsed());
    }
}
