//! The life of a server.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Durability, ManualClock, State, SystemClock};
use haulier_memory::MemoryStore;
use haulier_server::config::StoreUrl;
use haulier_server::{Config, Server, StartError, exit_code};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::site::{Site, config, within};

fn over(config: Config) -> Result<Server, StartError> {
    Server::over(Arc::new(MemoryStore::new(Arc::new(ManualClock::new()))), config)
}

#[tokio::test]
async fn an_address_that_others_can_reach_is_refused() {
    for address in ["0.0.0.0:0", "192.168.1.1:7420", "[::]:0"] {
        let config = Config { listen: address.parse().unwrap(), ..config() };
        let error = over(config.clone()).unwrap().bind().unwrap_err();
        assert!(error.to_string().contains("loopback"), "{error}");
        assert_eq!(exit_code(&error), 78);
        let error = Server::open(config, Arc::new(SystemClock::new())).await.unwrap_err();
        assert!(matches!(error, StartError::NotLoopback(_)), "no store is opened for it: {error}");
    }
}

#[tokio::test]
async fn a_port_that_is_in_use_is_named_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let error = over(Config { listen, ..config() }).unwrap().bind().unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&listen.to_string()) && text.contains("another program"), "{text}");
    assert_eq!(exit_code(&error), 78);
}

#[tokio::test]
async fn a_store_below_the_demanded_class_is_refused() {
    let demanding = Config { min_durability: Durability::D2, ..config() };
    let error = over(demanding).unwrap().bind().unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("D0") && text.contains("D2") && text.contains("min_durability"),
        "{text}"
    );
    assert_eq!(exit_code(&error), 78);
}

#[tokio::test]
async fn an_unknown_store_is_refused_with_the_known_ones() {
    let config = Config { store: StoreUrl::new("floppy:a"), ..config() };
    let error = Server::open(config, Arc::new(SystemClock::new())).await.unwrap_err();
    assert!(error.to_string().contains("memory:"), "{error}");
    assert_eq!(exit_code(&error), 78);
}

#[tokio::test]
async fn a_database_on_another_machine_is_not_talked_to_unencrypted() {
    for url in [
        "postgres://me:secret@192.0.2.1/app?sslmode=disable",
        "redis://me:secret@192.0.2.1",
        "redis+sentinel://me:secret@127.0.0.1,192.0.2.1/main",
        "redis+cluster://me:secret@127.0.0.1,192.0.2.1",
    ] {
        let store = StoreUrl::new(url);
        let error = Server::open(Config { store, ..config() }, Arc::new(SystemClock::new())).await;
        let error = error.unwrap_err();
        let said = error.to_string();
        assert!(said.contains("--allow-plaintext-store true"), "{said}");
        assert!(!said.contains("secret"), "{said}");
        assert_eq!(exit_code(&error), 78);
    }
}

#[tokio::test]
async fn a_server_opens_its_store_serves_and_closes_it() {
    let config = Config { store: StoreUrl::new("memory:"), payload_bytes_max: 17, ..config() };
    let server = Server::open(config, Arc::new(SystemClock::new())).await.unwrap();
    assert_eq!(server.shared().capabilities().payload_bytes_max, 17);
    let bound = server.bind().unwrap();
    let address = bound.address();
    assert_eq!(bound.to_string(), format!("http://{address}"));
    within(bound.serve(async {})).await.unwrap();
    TcpListener::bind(address).unwrap();
}

/// Settings for a store in this directory.
fn kept_in(dir: &Path) -> Config {
    Config { store: StoreUrl::new(format!("file:{}", dir.display())), ..config() }
}

#[tokio::test]
async fn what_a_server_acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let open = || Server::open(kept_in(dir.path()), Arc::new(clock.clone()));
    let mut site = Site::serve(open().await.unwrap(), clock.clone());
    let id = site.enqueue(r#"{"kind":"a","payload":{"n": 1}}"#).await;
    let shown = site.get(&format!("/api/v1/tasks/{id}")).await.json();
    site.drain();
    site.ended().await.unwrap();
    let site = Site::serve(open().await.unwrap(), clock.clone());
    assert_eq!(site.get(&format!("/api/v1/tasks/{id}")).await.json(), shown);
    assert_eq!(site.get("/api/v1/about").await.json()["durability"]["class"], "D2");
}

#[tokio::test]
async fn a_second_server_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Server::open(kept_in(dir.path()), Arc::new(ManualClock::new()));
    let _first = open().await.unwrap();
    let error = open().await.unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    assert_eq!(exit_code(&error), 78);
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_an_io_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = kept_in(&file.join("data"));
    let error = Server::open(below, Arc::new(ManualClock::new())).await.unwrap_err();
    assert!(error.to_string().contains(&*file.to_string_lossy()), "{error}");
    assert_eq!(exit_code(&error), 74);
}

#[tokio::test]
async fn a_drain_lets_running_calls_end_and_begins_nothing_new() {
    let mut site = Site::start();
    let id = site.enqueue(r#"{"kind":"a"}"#).await;
    // A connection that stays open over the drain, as a keep-alive client's does.
    let mut kept = site.connect().await;
    let waiting = format!("GET /api/v1/tasks/{id}?wait=30 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    kept.write_all(waiting.as_bytes()).await.unwrap();
    let mut lease = site.connect().await;
    let body = r#"{"worker":"w","queues":["other"],"wait":"30s"}"#;
    let request = format!(
        "POST /api/v1/leases HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    lease.write_all(request.as_bytes()).await.unwrap();
    within(async {
        while site.store.workers().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    site.drain();
    let mut answer = String::new();
    within(kept.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("available"), "{answer}");
    let mut answer = String::new();
    within(lease.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""leases":[]"#), "{answer}");
    assert_eq!(site.state(id).await, State::Available);
    let address: SocketAddr = site.address;
    site.ended().await.unwrap();
    TcpListener::bind(address).unwrap();
}

#[tokio::test]
async fn a_draining_server_is_not_ready_and_grants_no_lease() {
    let clock = ManualClock::new();
    let store = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
    let entropy = Arc::new(haulier_core::SeededEntropy::from_u64(1));
    let bound = Server::with(store, config(), Arc::new(clock), entropy).bind().unwrap();
    let shared = bound.shared().clone();
    let address = bound.address();
    let serving = tokio::spawn(bound.serve(std::future::pending()));
    shared.draining.cancel();
    let call = async |request: &str| {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request =
            request.replace("\r\n\r\n", "\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        answer
    };
    let ready = call("GET /readyz?verbose HTTP/1.1\r\n\r\n").await;
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("draining"), "{ready}");
    let lease = call(
        "POST /api/v1/leases HTTP/1.1\r\nContent-Type: application/json\r\n\
         Content-Length: 14\r\n\r\n{\"worker\":\"w\"}",
    )
    .await;
    assert!(lease.starts_with("HTTP/1.1 503") && lease.contains("unavailable"), "{lease}");
    assert!(lease.contains("retry-after: 1"), "{lease}");
    let live = call("GET /livez HTTP/1.1\r\n\r\n").await;
    assert!(live.starts_with("HTTP/1.1 200"), "{live}");
    serving.abort();
}

/// A connection in the middle of a request that never ends.
async fn hang(address: SocketAddr) -> tokio::net::TcpStream {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = "POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\n\
                   Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{";
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_drain_ends_with_its_time_whoever_still_hangs() {
    let impatient = Config { drain_timeout: Duration::ZERO, ..config() };
    let server = over(impatient).unwrap();
    let mut site = Site::serve(server, ManualClock::new());
    let mut hanging = hang(site.address).await;
    site.get("/livez").await;
    site.drain();
    site.ended().await.unwrap();
    assert_eq!(within(hanging.read(&mut [0; 64])).await.unwrap_or(0), 0, "closed");
}

#[tokio::test]
async fn no_connection_outlives_the_server() {
    let bound = over(config()).unwrap().bind().unwrap();
    let address = bound.address();
    let serving = tokio::spawn(bound.serve(std::future::pending()));
    let mut hanging = hang(address).await;
    serving.abort();
    assert!(within(serving).await.unwrap_err().is_cancelled());
    assert_eq!(within(hanging.read(&mut [0; 64])).await.unwrap_or(0), 0, "closed");
}
