//! One Redis for the whole process, and a prefix of its own for whoever asks; and patience with a
//! Redis that is away.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use haulier_conformance::prelude::Must;
use haulier_core::{Inspect, SeededEntropy};
use haulier_redis::{Options, RedisStore};
use haulier_sim::nemesis::RedisServer;
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// It holds nothing that anybody would miss, and leaves nothing behind but a few lines.
const SETTINGS: &str = "appendonly no";

/// Long enough for a failover on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_mins(5);

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

/// Waits for something that a Redis which is away will do when it is back.
pub async fn in_time<T>(what: &str, it: impl Future<Output = T>) -> T {
    let came = tokio::time::timeout(PATIENCE, it).await;
    came.unwrap_or_else(|elapsed| panic!("it never came to pass that {what}: {elapsed}"))
}

/// Calls until somebody serves: what fails meanwhile may be tried again.
pub async fn until_it_answers(store: &RedisStore) {
    let answers = async {
        while let Err(error) = store.queues().await {
            assert!(error.is_retryable(), "{error:?}");
            tokio::task::yield_now().await;
        }
    };
    in_time("the store answers", answers).await;
}
