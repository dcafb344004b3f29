//! One Redis for the whole process, and a prefix of its own for whoever asks.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use haulier_conformance::prelude::Must;
use haulier_core::SeededEntropy;
use haulier_redis::Options;
use haulier_sim::nemesis::RedisServer;
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// It holds nothing that anybody would miss, and leaves nothing behind but a few lines.
const SETTINGS: &str = "appendonly no";

static SERVER: OnceCell<(RedisServer, TempDir)> = OnceCell::const_new();
static PREFIXES: AtomicU32 = AtomicU32::new(0);

/// In memory, where there is such a place.
fn place() -> TempDir {
    let memory = PathBuf::from("/dev/shm");
    let made = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    made.must()
}

/// The server that all tests of this process share.
pub async fn shared() -> &'static RedisServer {
    let started = SERVER.get_or_init(|| async {
        let place = place();
        (RedisServer::create(place.path(), SETTINGS).await.must(), place)
    });
    &started.await.0
}

/// Options for a prefix that nobody else has, on a server.
pub fn on(server: &RedisServer) -> Options {
    let number = PREFIXES.fetch_add(1, Ordering::Relaxed);
    let url = format!("{}?prefix=s{number}", server.url());
    Options::parse(&url, Arc::new(SeededEntropy::from_u64(7))).must()
}

/// The same on the shared server.
pub async fn options() -> Options {
    on(shared().await)
}
