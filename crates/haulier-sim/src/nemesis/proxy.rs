//! A TCP proxy that breaks what passes through it: in one direction or both, with a delay, a
//! silence (bytes are read and thrown away: a half-open connection), a cut after so many bytes, or
//! a trap: the next message that looks so ends its connection, at any byte of it or of its answer.
//! It knows no protocol; what a message looks like is told it as bytes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haulier_core::{Clock, SystemClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Bytes that are passed on at a time.
const PIECE: usize = 16 * 1024;

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

/// At which byte a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// After so many bytes of the message: the rest never arrives.
    Question(u64),
    /// After so many bytes of what is answered to it.
    Answer(u64),
    /// It does not end: the answer, and whatever comes after it, is thrown away.
    Silence,
}

/// What the next connection breaks at.
#[derive(Debug, Clone)]
struct Trap {
    mark: Vec<u8>,
    at: Break,
}

/// What one connection has left, besides what all have.
#[derive(Debug)]
struct Rest {
    up: AtomicU64,
    down: AtomicU64,
    silent: AtomicBool,
}

impl Default for Rest {
    fn default() -> Self {
        let all = || AtomicU64::new(u64::MAX);
        Self { up: all(), down: all(), silent: AtomicBool::new(false) }
    }
}

#[derive(Debug)]
struct Shared {
    to: Mutex<SocketAddr>,
    up: Way,
    down: Way,
    trap: Mutex<Option<Trap>>,
    /// Counts the connections that a trap has broken.
    sprung: AtomicU64,
    /// Connections that a trap has made silent and that are still open.
    silent: AtomicU64,
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
        let (up, down, trap) = (way(), way(), Mutex::default());
        let (to, sprung, silent) = (Mutex::new(to), AtomicU64::new(0), AtomicU64::new(0));
        let shared = Arc::new(Shared { to, up, down, trap, sprung, silent, cuts, clock });
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

    /// Connections that are made from now on lead elsewhere.
    pub fn lead_to(&self, to: SocketAddr) {
        *lock(&self.shared.to) = to;
    }

    /// The next message in which these bytes stand breaks its connection there. Bytes that arrive
    /// in two pieces are not recognised: then it is the one after.
    pub fn trap(&self, mark: &[u8], at: Break) {
        *lock(&self.shared.trap) = Some(Trap { mark: mark.to_owned(), at });
    }

    /// How many connections a trap has broken.
    pub fn sprung(&self) -> u64 {
        self.shared.sprung.load(Ordering::SeqCst)
    }

    /// How many connections that a trap has made silent nobody has given up yet.
    pub fn silent(&self) -> u64 {
        self.shared.silent.load(Ordering::SeqCst)
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

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Springs the trap if this is what it waits for.
    fn look(&self, piece: &[u8], rest: &Rest) {
        let mut trap = lock(&self.trap);
        let Some(set) = trap.as_ref() else { return };
        let Some(at) = piece.windows(set.mark.len()).position(|bytes| bytes == set.mark) else {
            return;
        };
        match set.at {
            Break::Question(bytes) => rest.up.store(at as u64 + bytes, Ordering::SeqCst),
            Break::Answer(bytes) => rest.down.store(bytes, Ordering::SeqCst),
            Break::Silence => {
                if !rest.silent.swap(true, Ordering::SeqCst) {
                    self.silent.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
        *trap = None;
        self.sprung.fetch_add(1, Ordering::SeqCst);
    }
}

async fn connect(near: TcpStream, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    cuts.mark_unchanged();
    let to = *lock(&shared.to);
    let Ok(far) = TcpStream::connect(to).await else { return };
    if near.set_nodelay(true).and_then(|()| far.set_nodelay(true)).is_err() {
        return;
    }
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let rest = Rest::default();
    tokio::select! {
        biased;
        _cut = cuts.changed() => {}
        // Either end of the connection ends both.
        _ended = ask(near_read, far_write, &shared, &rest) => {}
        _ended = answer(far_read, near_write, &shared, &rest) => {}
    }
    if rest.silent.load(Ordering::SeqCst) {
        shared.silent.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn ask(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    rest: &Rest,
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        let read = from.read(&mut buffer).await?;
        let piece = buffer.get(..read).unwrap_or_default();
        shared.look(piece, rest);
        if !pass(piece, &mut to, &shared.up, &rest.up, &shared.clock).await? {
            return Ok(());
        }
    }
}

async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    rest: &Rest,
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        let read = from.read(&mut buffer).await?;
        let piece = buffer.get(..read).unwrap_or_default();
        if rest.silent.load(Ordering::SeqCst) && !piece.is_empty() {
            shared.down.swallowed.fetch_add(read as u64, Ordering::SeqCst);
            continue;
        }
        if !pass(piece, &mut to, &shared.down, &rest.down, &shared.clock).await? {
            return Ok(());
        }
    }
}

/// Lets through what may pass; whether the connection goes on.
async fn pass(
    piece: &[u8],
    to: &mut OwnedWriteHalf,
    way: &Way,
    own: &AtomicU64,
    clock: &SystemClock,
) -> io::Result<bool> {
    if piece.is_empty() {
        return Ok(false);
    }
    let delay = way.delay_ms.load(Ordering::SeqCst);
    if delay > 0 {
        clock.sleep(Duration::from_millis(delay)).await;
    }
    if way.silent.load(Ordering::SeqCst) {
        way.swallowed.fetch_add(piece.len() as u64, Ordering::SeqCst);
        return Ok(true);
    }
    let budget = way.budget.load(Ordering::SeqCst).min(own.load(Ordering::SeqCst));
    let passes = usize::try_from(budget).unwrap_or(usize::MAX).min(piece.len());
    to.write_all(piece.get(..passes).unwrap_or_default()).await?;
    way.passed.fetch_add(passes as u64, Ordering::SeqCst);
    for left in [&way.budget, own] {
        let before = left.load(Ordering::SeqCst);
        if before != u64::MAX {
            left.store(before.saturating_sub(passes as u64), Ordering::SeqCst);
        }
    }
    Ok(passes == piece.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody who answers each piece with as many bytes of `!`.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut buffer = [0; 100];
                    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                        stream.write_all(&vec![b'!'; read]).await.unwrap();
                    }
                });
            }
        });
        address
    }

    /// What is answered to this, until the connection ends.
    async fn asks(proxy: &Proxy, question: &[u8]) -> usize {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_all(question).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _ended = stream.read_to_end(&mut answer).await.is_ok();
        answer.len()
    }

    #[tokio::test]
    async fn a_trap_breaks_the_connection_whose_message_it_waits_for_and_only_once() {
        let proxy = Proxy::to(echo().await).await.unwrap();
        proxy.trap(b"COMMIT", Break::Question(3));
        assert!(asks(&proxy, b"SELECT; COMMIT").await <= 11);
        assert_eq!(proxy.shared.up.passed.load(Ordering::SeqCst), 11);
        for bytes in [0, 5, 13] {
            proxy.trap(b"COMMIT", Break::Answer(bytes));
            assert_eq!(asks(&proxy, b"SELECT; COMMIT").await as u64, bytes);
        }
        assert_eq!(proxy.sprung(), 4);
        // Nobody waits for anything any more.
        proxy.cut_after(5);
        assert_eq!(asks(&proxy, b"COMMIT").await, 5);
    }

    #[tokio::test]
    async fn connections_lead_elsewhere_once_they_are_told_to() {
        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Proxy::to(nobody.local_addr().unwrap()).await.unwrap();
        drop(nobody);
        assert_eq!(asks(&proxy, b"?").await, 0);
        proxy.lead_to(echo().await);
        proxy.trap(b"?", Break::Answer(0));
        proxy.cut_after(2);
        assert_eq!(asks(&proxy, b"nobody breaks it").await, 2);
    }
}
