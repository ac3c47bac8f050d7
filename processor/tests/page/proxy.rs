//! A proxy that serves a replica below a path, as gateways to a pod do, and records the requests. The replica can be
//! replaced.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

pub const PREFIX: &str = "/a/way/to/the/pod";

/// A proxy that ends with the test.
pub struct Proxy {
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    behind: String,
    asked: Vec<String>,
}

impl Proxy {
    /// Serves the replica that listens on this address.
    pub fn to(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}{PREFIX}/", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { behind: address.to_owned(), asked: Vec::new() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // The browser handles a broken connection.
                thread::spawn(move || drop(pass(client, &state)));
            }
        });
        Self { url, state }
    }

    /// Serves another replica from now on.
    pub fn switch_to(&self, address: &str) {
        address.clone_into(&mut self.state.lock().unwrap().behind);
    }

    /// The requested paths.
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

/// Forwards one request, and its answer until that ends.
fn pass(mut client: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte)? > 0 {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let behind = {
        let mut state = state.lock().unwrap();
        state.asked.push(path.to_owned());
        state.behind.clone()
    };
    let Some(inner) = path.strip_prefix(PREFIX) else {
        return client.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let Ok(mut server) = TcpStream::connect(behind) else {
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    write!(server, "GET {inner} HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n\r\n")?;
    io::copy(&mut server, &mut client)?;
    Ok(())
}
