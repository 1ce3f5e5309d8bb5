//! A backend for tests, in this process: it plays raw bytes, so that it can lie in any way there is.
//!
//! ```ignore
//! let backend = TestBackend::start(|request| vec![Step::send("HTTP/1.1 204 No Content\r\n\r\n")]);
//! assert_eq!(backend.count(), 0);
//! ```
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of it")]

pub mod host;
pub mod memory;
pub mod tls;
pub mod told;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// The longest request head read; a longer one ends the connection.
const MAX_HEAD_LENGTH: usize = 64 * 1024;

/// A flood must not fill the memory that a test measures.
const MAX_REQUESTS_KEPT: usize = 5_000;

/// One thing a connection does after a request has come.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes over and over, with a pause before each, until the client leaves.
    SendForever(Vec<u8>, Duration),
    /// Does nothing for a while.
    Wait(Duration),
    /// Does nothing until the client leaves.
    Hang,
    /// Closes the connection.
    Close,
    /// Closes it with a RST (plain connections only).
    Reset,
}

impl Step {
    /// Sends these bytes.
    pub fn send(bytes: impl AsRef<[u8]>) -> Self {
        Step::Send(bytes.as_ref().to_vec())
    }

    /// Sends a whole response with a `Content-Length`; `fields` are lines such as `"Age: 5\r\n"`.
    pub fn respond(status: &str, fields: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
        Step::Send([head.as_bytes(), body].concat())
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET /?server_name=a.example HTTP/1.1`
    pub line: String,
    /// Field names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
}

impl Request {
    /// The first value of a field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The value of a query parameter, as it came.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let target = self.line.split(' ').nth(1)?;
        let (_, query) = target.split_once('?')?;
        query
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(given, _)| *given == name))
            .map(|pair| pair.1)
    }
}

/// A server on a loopback port of its own. Dropping it cuts all connections and waits for its threads.
pub struct TestBackend {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

type Script = dyn Fn(&Request) -> Vec<Step> + Send + Sync;

struct Shared {
    script: Box<Script>,
    tls: Option<Arc<rustls::ServerConfig>>,
    requests: Mutex<Vec<Request>>,
    count: AtomicUsize,
    connections: AtomicUsize,
    open: Mutex<Vec<(TcpStream, JoinHandle<()>)>>,
    stopped: AtomicBool,
    stop: (Mutex<()>, Condvar),
}

impl TestBackend {
    /// Plays what `script` says for each request; a connection stays open unless a step closes it.
    pub fn start(script: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::start_with(None, script)
    }

    /// The same behind TLS.
    pub fn start_tls(
        tls: rustls::ServerConfig,
        script: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(Some(Arc::new(tls)), script)
    }

    fn start_with(
        tls: Option<Arc<rustls::ServerConfig>>,
        script: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            script: Box::new(script),
            tls,
            requests: Mutex::default(),
            count: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            open: Mutex::default(),
            stopped: AtomicBool::new(false),
            stop: Default::default(),
        });
        let thread = thread::spawn({
            let shared = shared.clone();
            move || accept(&listener, &shared)
        });
        TestBackend { address, shared, listener: Some(thread) }
    }

    /// `127.0.0.1:port`
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port/certificates`, or `https`.
    pub fn url(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/certificates", self.address)
    }

    /// How many requests have come.
    pub fn count(&self) -> usize {
        self.shared.count.load(Ordering::SeqCst)
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many of them are open.
    pub fn open_connections(&self) -> usize {
        self.shared.open.lock().len()
    }

    /// The requests so far, in the order of their arrival; no more than the first thousands.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().clone()
    }
}

impl Drop for TestBackend {
    fn drop(&mut self) {
        {
            let _guard = self.shared.stop.0.lock();
            self.shared.stopped.store(true, Ordering::SeqCst);
            self.shared.stop.1.notify_all();
        }
        let _ = TcpStream::connect(self.address); // wakes accept
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        // Taken out first: a connection's thread needs the lock to end.
        let open = std::mem::take(&mut *self.shared.open.lock());
        for (stream, thread) in open {
            let _ = stream.shutdown(Shutdown::Both);
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let Ok(clone) = stream.try_clone() else { continue };
        let connection = shared.connections.fetch_add(1, Ordering::SeqCst);
        let mut open = shared.open.lock(); // until it is listed, the thread can't end
        let thread = thread::spawn({
            let shared = shared.clone();
            move || {
                // A client that leaves is what many a test is about.
                let _ = match shared.tls.clone() {
                    None => serve(stream, connection, &shared),
                    Some(tls) => rustls::ServerConnection::new(tls)
                        .map_err(io::Error::other)
                        .and_then(|tls| serve(rustls::StreamOwned::new(tls, stream), connection, &shared)),
                };
                // The clone kept for stopping would hold the connection open; a RST is sent already.
                let mut open = shared.open.lock();
                if let Some(index) =
                    open.iter().position(|(_, thread)| thread.thread().id() == thread::current().id())
                {
                    drop(open.swap_remove(index));
                }
            }
        });
        open.push((clone, thread));
    }
}

fn serve(mut stream: impl Read + Write, connection: usize, shared: &Shared) -> io::Result<()> {
    loop {
        let request = read_request(&mut stream, connection)?;
        let steps = (shared.script)(&request);
        shared.count.fetch_add(1, Ordering::SeqCst);
        let mut requests = shared.requests.lock();
        if requests.len() < MAX_REQUESTS_KEPT {
            requests.push(request);
        }
        drop(requests);
        if !steps.iter().any(|step| matches!(step, Step::Reset)) {
            stream.read_exact(&mut [0])?;
        }
        for step in steps {
            match step {
                Step::Send(bytes) => {
                    stream.write_all(&bytes)?;
                    stream.flush()?;
                }
                Step::SendForever(bytes, pause) => loop {
                    shared.wait(pause)?;
                    stream.write_all(&bytes)?;
                    stream.flush()?;
                },
                Step::Wait(pause) => shared.wait(pause)?,
                Step::Hang => {
                    while stream.read(&mut [0; 64])? > 0 {}
                    return Ok(());
                }
                Step::Close | Step::Reset => return Ok(()),
            }
        }
    }
}

impl Shared {
    fn wait(&self, pause: Duration) -> io::Result<()> {
        let (mutex, condition) = &self.stop;
        let mut guard = mutex.lock();
        condition.wait_while_for(&mut guard, |()| !self.stopped.load(Ordering::SeqCst), pause);
        if self.stopped.load(Ordering::SeqCst) { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}

/// Reads a head up to its last byte, which stays: closing a connection with an unread byte sends a RST.
fn read_request(stream: &mut impl Read, connection: usize) -> io::Result<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
        if head.len() > MAX_HEAD_LENGTH {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.trim_end().split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    Ok(Request { line, headers, connection })
}
