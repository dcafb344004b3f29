//! A TCP proxy that breaks what passes through it: in one direction or both, with a delay, a
//! silence (bytes are read and thrown away: a half-open connection), or a cut after so many bytes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use haulier_core::{Clock, SystemClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What is done to bytes of one direction.
#[derive(Debug, Default)]
struct Way {
    silent: AtomicBool,
    delay_ms: AtomicU64,
    /// Bytes that still pass before the connection is cut; `u64::MAX`: all.
    budget: AtomicU64,
    passed: AtomicU64,
    swallowed: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    to: SocketAddr,
    up: Way,
    down: Way,
    /// Counts the cuts: connections of an earlier count are closed.
    cuts: watch::Sender<u64>,
    clock: SystemClock,
}

/// A proxy in front of one address. It ends when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

impl Proxy {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// If there is none.
    pub async fn to(to: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let way = || Way { budget: AtomicU64::new(u64::MAX), ..Way::default() };
        let cuts = watch::Sender::new(0);
        let clock = SystemClock::new();
        let shared = Arc::new(Shared { to, up: way(), down: way(), cuts, clock });
        let accepting = Arc::clone(&shared);
        let listening = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(connect(near, Arc::clone(&accepting)));
            }
        });
        Ok(Self { address, shared, listening })
    }

    /// What the server answers is read and thrown away from now on, or passes again.
    pub fn swallow_answers(&self, silent: bool) {
        self.shared.down.silent.store(silent, Ordering::SeqCst);
    }

    /// What clients ask is read and thrown away from now on, or passes again.
    pub fn swallow_questions(&self, silent: bool) {
        self.shared.up.silent.store(silent, Ordering::SeqCst);
    }

    /// Each piece of an answer takes this long.
    pub fn delay(&self, by: Duration) {
        let by = haulier_core::clock::millis(by);
        self.shared.down.delay_ms.store(by, Ordering::SeqCst);
    }

    /// Cuts the connection after so many more bytes of answers.
    pub fn cut_after(&self, bytes: u64) {
        self.shared.down.budget.store(bytes, Ordering::SeqCst);
    }

    /// Every byte may pass again.
    pub fn lift(&self) {
        self.shared.down.budget.store(u64::MAX, Ordering::SeqCst);
    }

    /// Cuts every connection now.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Bytes of answers that were thrown away.
    pub fn swallowed(&self) -> u64 {
        self.shared.down.swallowed.load(Ordering::SeqCst)
    }

    /// Bytes of answers that passed.
    pub fn passed(&self) -> u64 {
        self.shared.down.passed.load(Ordering::SeqCst)
    }
}

async fn connect(near: TcpStream, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    cuts.mark_unchanged();
    let Ok(far) = TcpStream::connect(shared.to).await else { return };
    if near.set_nodelay(true).and_then(|()| far.set_nodelay(true)).is_err() {
        return;
    }
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::select! {
        biased;
        _cut = cuts.changed() => {}
        // Either end of the connection ends both.
        _ended = pump(near_read, far_write, &shared.up, &shared.clock) => {}
        _ended = pump(far_read, near_write, &shared.down, &shared.clock) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: &Way,
    clock: &SystemClock,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let delay = way.delay_ms.load(Ordering::SeqCst);
        if delay > 0 {
            clock.sleep(Duration::from_millis(delay)).await;
        }
        if way.silent.load(Ordering::SeqCst) {
            way.swallowed.fetch_add(read as u64, Ordering::SeqCst);
            continue;
        }
        let budget = way.budget.load(Ordering::SeqCst);
        let passes = usize::try_from(budget).unwrap_or(usize::MAX).min(read);
        to.write_all(buffer.get(..passes).unwrap_or_default()).await?;
        way.passed.fetch_add(passes as u64, Ordering::SeqCst);
        if budget != u64::MAX {
            way.budget.store(budget - passes as u64, Ordering::SeqCst);
        }
        if passes < read {
            return Ok(());
        }
    }
}
