//! Requests to the HTTP servers of the product's processes, as they go over the wire.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends a request, and returns the stream that its answer comes from. Each of the additional `headers` ends with a line end.
///
/// # Errors
/// When the server cannot be reached.
pub fn begin(address: &str, method: &str, path: &str, headers: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n")?;
    Ok(stream)
}

/// Returns the answer to a request, including its head.
///
/// # Errors
/// When the server cannot be reached, or does not answer in time.
pub fn ask(address: &str, method: &str, path: &str, headers: &str) -> io::Result<String> {
    let mut answer = String::new();
    begin(address, method, path, headers)?.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Returns the status and the body of the answer to a GET; `None` while there is no answer.
pub fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let answer = ask(address, "GET", path, "").ok()?;
    let status = answer.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}
