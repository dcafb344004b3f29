//! One PostgreSQL for the whole process, and a schema of its own for whoever asks.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use haulier_conformance::prelude::Must;
use haulier_core::SeededEntropy;
use haulier_postgres::Options;
use haulier_sim::nemesis::PgServer;
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// It holds nothing that anybody would miss: it may lose everything.
const SETTINGS: &str = "
fsync = off
full_page_writes = off
max_connections = 200
shared_buffers = 64MB
max_wal_size = 128MB
";

static SERVER: OnceCell<(PgServer, TempDir)> = OnceCell::const_new();
static SCHEMAS: AtomicU32 = AtomicU32::new(0);

/// In memory, where there is such a place.
fn place() -> TempDir {
    let memory = PathBuf::from("/dev/shm");
    let made = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    made.must()
}

/// The server that all tests of this process share.
pub async fn shared() -> &'static PgServer {
    let started = SERVER.get_or_init(|| async {
        let place = place();
        let mut server = PgServer::create(place.path()).await.must();
        server.stop().must();
        server.configure(SETTINGS).must();
        server.forget_at_its_end();
        server.start().await.must();
        (server, place)
    });
    &started.await.0
}

/// Options for a schema that nobody else has, on a server, with more parameters of the URL.
pub fn on(server: &PgServer, more: &str) -> Options {
    at(&server.url(), more)
}

/// The same at an address.
pub fn at(url: &str, more: &str) -> Options {
    let schema = format!("s{}", SCHEMAS.fetch_add(1, Ordering::Relaxed));
    let url = format!("{url}?schema={schema}&sslmode=disable&throwaway=on{more}");
    Options::parse(&url, Arc::new(SeededEntropy::from_u64(7))).must()
}

/// The same on the shared server.
pub async fn options(more: &str) -> Options {
    on(shared().await, more)
}
