//! A server on a free port over a memory store, whose only time is the test's, and a client for it
//! that is as simple as `curl`: one connection a call.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Include, Inspect, ManualClock, SeededEntropy, State, Store, TaskId};
use haulier_memory::MemoryStore;
use haulier_server::{Config, Server, StartError};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A test that hangs fails after this; no test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server.
pub struct Site {
    pub address: SocketAddr,
    pub clock: ManualClock,
    pub store: Arc<dyn Store>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<(), StartError>>,
}

/// Settings for tests: a free port.
pub fn config() -> Config {
    Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Config::default() }
}

impl Site {
    pub fn start() -> Self {
        Self::start_with(|store| store)
    }

    /// A server over a memory store that was changed before it serves.
    pub fn start_with(change: impl FnOnce(MemoryStore) -> MemoryStore) -> Self {
        let clock = ManualClock::new();
        let store = Arc::new(change(MemoryStore::new(Arc::new(clock.clone()))));
        let entropy = Arc::new(SeededEntropy::from_u64(7));
        let server = Server::with(store, config(), Arc::new(clock.clone()), entropy);
        Self::serve(server, clock)
    }

    /// Serves a server that was made elsewhere.
    pub fn serve(server: Server, clock: ManualClock) -> Self {
        let store = Arc::clone(&server.shared().store);
        let bound = server.bind().unwrap();
        let address = bound.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(bound.serve(async {
            // A dropped sender stops it as well.
            stopped.await.unwrap_or_default();
        }));
        Self { address, clock, store, stop: Some(stop), serving }
    }

    /// Tells the server to drain, as SIGTERM does.
    pub fn drain(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for its end.
    pub async fn ended(self) -> Result<(), StartError> {
        within(self.serving).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: impl AsRef<str>) -> Answer {
        self.call("POST", path, Some(body.as_ref())).await
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        self.call_with(method, path, "", body.map(str::as_bytes)).await
    }

    /// A call with more header lines, each with its end.
    pub async fn call_with(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: Option<&[u8]>,
    ) -> Answer {
        let given = headers.to_ascii_lowercase();
        let mut lines = vec![format!("{method} {path} HTTP/1.1"), "Connection: close".to_owned()];
        if !given.contains("host:") {
            lines.push(format!("Host: {}", self.address));
        }
        if let Some(body) = body {
            lines.push(format!("Content-Length: {}", body.len()));
            if !given.contains("content-type:") {
                lines.push("Content-Type: application/json".to_owned());
            }
        }
        let mut bytes = format!("{}\r\n{headers}\r\n", lines.join("\r\n")).into_bytes();
        bytes.extend_from_slice(body.unwrap_or_default());
        self.send(&bytes).await
    }

    /// Sends bytes as they are, and reads the answer to its end.
    pub async fn send(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        // A server that refuses a body may close before it was sent whole: its answer counts.
        let sent = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let read = within(stream.read_to_end(&mut answer)).await;
        assert!(!answer.is_empty(), "no answer: {sent:?}, {read:?}");
        Answer::parse(&answer)
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Enqueues a task and gives its id.
    pub async fn enqueue(&self, json: &str) -> TaskId {
        let answer = self.post("/api/v1/tasks", json).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_str().unwrap().parse().unwrap()
    }

    /// Leases up to `max` tasks of the queue `default` to a worker.
    pub async fn lease(&self, worker: &str, max: u32) -> Vec<Value> {
        let body = format!(r#"{{"worker":"{worker}","max":{max}}}"#);
        let answer = self.post("/api/v1/leases", body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["leases"].as_array().unwrap().clone()
    }

    pub async fn state(&self, id: TaskId) -> State {
        let views = Inspect::get(&*self.store, vec![id], Include::default(), Duration::ZERO);
        views.await.unwrap()[0].as_ref().unwrap().state()
    }
}

/// The answer of something that must happen.
#[expect(clippy::disallowed_methods, reason = "real time only ever fails a test that hangs")]
pub async fn within<T>(happens: impl Future<Output = T>) -> T {
    tokio::select! {
        happened = happens => happened,
        () = tokio::time::sleep(PATIENCE) => panic!("it did not happen in {PATIENCE:?}"),
    }
}

/// What the server said.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, self.text())
    }
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let body = &bytes[end + 4..];
        let chunked =
            headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
        let body = if chunked { unchunk(body) } else { body.to_vec() };
        Self { status, headers, body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that this is a problem of that status and code, and gives it.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{self:?}");
        assert_eq!(problem["status"], status, "{self:?}");
        assert_eq!(problem["type"], format!("/errors/{code}"), "{self:?}");
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"), "{self:?}");
        problem
    }
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + length]);
        body = &body[end + 2 + length + 2..];
    }
}
