//! The life of one worker's stream, from Hello to its end.
//!
//! A session knows what it has delivered and what of it is not over. When the stream is lost,
//! those leases are shortened to the grace of a lost stream, in which the same worker may take
//! them back. It renews nothing by itself: a connection that lives proves nothing about the worker
//! behind it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::{HashSet, HashSetExt as _};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use haulier_core::{
    Beat, Code, Directive, Error, Held, Lease, LeaseBeat, LeaseKey, Result, WorkerId, limits,
};
use haulier_wire::frames;
use haulier_wire::pb::server_frame::Frame;
use haulier_wire::pb::worker_frame::Frame as Up;
use haulier_wire::pb::{self, ServerFrame, WorkerFrame};
use haulier_wire::status::{to_problem, to_status};
use haulier_wire::{beat, lease};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::claim::{Claimed, claim};
use super::down::{Down, Gone, cancel};
use super::jobs::{self, Done};
use super::sessions::{Seat, Sessions};
use crate::grpc::release;
use crate::room::Place;
use crate::shared::Shared;

/// A stream that has not said Hello by then is closed.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// Settlements and beats of a stream that may be under way in the store; beyond it nothing is read.
const JOBS_MAX: usize = 16;
/// Credits that a worker may have out.
const CREDITS_MAX: usize = 64;

/// Why a stream ends.
enum End {
    /// The connection is gone, or the worker has a newer one.
    Lost,
    /// The worker said Bye.
    Bye,
    /// The server drains: the worker goes elsewhere, with its leases.
    Draining,
    /// The worker broke the protocol.
    Broken(Error),
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Lost
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

/// Serves a stream until it ends.
pub(in crate::grpc) async fn serve(
    shared: Shared,
    sessions: Arc<Sessions>,
    mut up: Streaming<WorkerFrame>,
    down: mpsc::Sender<Result<ServerFrame, Status>>,
) {
    let mut down = Down::new(down);
    match open(&shared, &sessions, &mut up, &mut down).await {
        Ok(opened) => Session::new(shared, opened, down).live(up).await,
        Err(End::Broken(error)) => down.end(to_status(&error)),
        Err(End::Lost | End::Bye | End::Draining) => {}
    }
}

/// A worker that said Hello.
struct Opened {
    seat: Seat,
    worker: WorkerId,
    ttl: Duration,
    held: HashSet<LeaseKey>,
    directive: Directive,
}

/// Hears Hello, takes the worker's leases back, says Welcome. Once it has heard Hello it goes on to
/// its end, also if the server drains: whoever comes next for this worker waits for this stream,
/// and through it for the one before.
async fn open(
    shared: &Shared,
    sessions: &Arc<Sessions>,
    up: &mut Streaming<WorkerFrame>,
    down: &mut Down,
) -> Result<Opened, End> {
    let first = tokio::select! {
        first = up.message() => first.map_err(|_| End::Lost)?.ok_or(End::Lost)?,
        () = shared.clock.sleep(HELLO_WITHIN) => {
            return Err(Error::invalid("hello", "did not come in time").into());
        }
        () = shared.draining.cancelled() => return Err(End::Draining),
    };
    let (1, Some(Up::Hello(hello))) = (first.seq, first.frame) else {
        return Err(Error::invalid("hello", "must be the first frame, with seq 1").into());
    };
    frames::check_items(hello.held.len(), "leases")?;
    let worker = lease::decode_worker(&hello.worker)?;
    let about = beat::decode_about(hello.about)?;
    let keys = lease::decode_keys(hello.held)?;
    let ttl = hello.ttl_ms.map_or(limits::LEASE_TTL_DEFAULT, Duration::from_millis);
    let seat = sessions.join(worker.clone()).await;
    let mut welcome = pb::Welcome {
        payload_bytes_max: u64::try_from(shared.capabilities().payload_bytes_max)
            .unwrap_or(u64::MAX),
        ..pb::Welcome::default()
    };
    let mut held = HashSet::new();
    let mut directive = Directive::Run;
    // A worker that only says its name is heard of when it asks for tasks.
    if !keys.is_empty() || about.is_some() {
        let leases = keys.iter().copied().map(LeaseBeat::renew).collect();
        let beat = Beat { worker: worker.clone(), about, ttl, leases };
        let reply = jobs::one_reply(shared, beat).await?;
        let kept = keys.into_iter().zip(&reply.held).filter(|(_, held)| **held != Held::Stale);
        held.extend(kept.map(|(key, _)| key));
        directive = reply.directive;
        welcome.directive = beat::encode_directive(directive);
        welcome.held = beat::encode_held(&reply.held);
    }
    down.send(Frame::Welcome(welcome), 1, &seat.superseded).await?;
    Ok(Opened { seat, worker, ttl, held, directive })
}

struct Session {
    shared: Shared,
    seat: Seat,
    worker: WorkerId,
    down: Down,
    /// The last frame of the worker that was handled; claims read it, too.
    seen: Arc<AtomicU64>,
    /// Delivered or taken back, and not over as far as is known.
    held: HashSet<LeaseKey>,
    /// The shortest ttl that the worker asked for: a lost stream never makes a lease longer.
    ttl: Duration,
    /// Credits that are out, each with how it is taken back.
    credits: HashMap<u64, CancellationToken>,
    claims: FuturesUnordered<BoxFuture<'static, Claimed>>,
    jobs: FuturesUnordered<BoxFuture<'static, Done>>,
    /// A frame that was read, and waits until the server has room for it.
    outside: Option<BoxFuture<'static, (Option<Place>, WorkerFrame)>>,
    /// Waits for news; `None` until the next beat if there was nothing to tell.
    watch: Option<BoxFuture<'static, Result<bool>>>,
    /// What the worker was told.
    directive: Directive,
    cancelled: HashSet<LeaseKey>,
    draining: bool,
}

impl Session {
    fn new(shared: Shared, opened: Opened, down: Down) -> Self {
        let Opened { seat, worker, ttl, held, directive } = opened;
        Self {
            watch: Some(jobs::watch(&shared, &worker)),
            shared,
            seat,
            worker,
            down,
            seen: Arc::new(AtomicU64::new(1)),
            held,
            ttl,
            credits: HashMap::new(),
            claims: FuturesUnordered::new(),
            jobs: FuturesUnordered::new(),
            outside: None,
            directive,
            cancelled: HashSet::new(),
            draining: false,
        }
    }

    async fn live(mut self, mut up: Streaming<WorkerFrame>) {
        let end = loop {
            if let Err(end) = self.step(&mut up).await {
                break end;
            }
        };
        self.end(end).await;
    }

    fn seen(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
    }

    /// Waits for one thing to happen, and deals with it.
    async fn step(&mut self, up: &mut Streaming<WorkerFrame>) -> Result<(), End> {
        let idle = self.jobs.is_empty() && self.credits.is_empty() && self.outside.is_none();
        if self.draining && idle {
            return Err(End::Draining);
        }
        let reads = !self.draining && self.jobs.len() < JOBS_MAX && self.outside.is_none();
        tokio::select! {
            () = self.seat.superseded.cancelled() => Err(End::Lost),
            () = self.down.gone() => Err(End::Lost),
            () = self.shared.draining.cancelled(), if !self.draining => {
                self.draining = true;
                self.withdraw_all();
                Ok(())
            }
            frame = up.message(), if reads => match frame {
                Ok(Some(frame)) => self.let_in(frame).await,
                Ok(None) => Err(End::Lost),
                Err(status) => Err(lost_or_broken(&status)),
            },
            Some(done) = self.jobs.next() => self.done(done).await,
            Some(claimed) = self.claims.next() => self.deliver(claimed).await,
            (place, frame) = next_of(&mut self.outside) => self.read(frame, place).await,
            news = next_of(&mut self.watch) => {
                self.heard(news);
                Ok(())
            }
        }
    }

    /// Takes a frame in as soon as there is room for it. Until then nothing more is read, and what
    /// is under way goes on: that is what makes room.
    async fn let_in(&mut self, frame: WorkerFrame) -> Result<(), End> {
        let bytes = match &frame.frame {
            Some(Up::Settle(settle)) => frames::length(settle),
            Some(Up::Beat(beat)) => frames::length(beat),
            _ => return self.read(frame, None).await,
        };
        let mut place = None;
        if self.shared.room.grow(&mut place, bytes as u64).is_ok() {
            return self.read(frame, place).await;
        }
        let room = self.shared.room.clone();
        self.outside = Some(Box::pin(async move { (room.wait(bytes as u64).await, frame) }));
        Ok(())
    }

    async fn read(&mut self, frame: WorkerFrame, place: Option<Place>) -> Result<(), End> {
        let expected = self.seen() + 1;
        if frame.seq != expected {
            let detail = format!("is {}; the next frame has {expected}", frame.seq);
            return Err(Error::invalid("seq", detail).into());
        }
        match frame.frame {
            Some(Up::Credit(credit)) => self.credit(credit).await?,
            Some(Up::Settle(settle)) => {
                frames::check_items(settle.settlements.len(), "settlements")?;
                self.begin(jobs::settle(self.shared.clone(), settle), place);
            }
            Some(Up::Beat(frame)) => self.beat(frame, place)?,
            Some(Up::Bye(bye)) => {
                frames::check_items(bye.release.len(), "leases")?;
                release(&*self.shared.store, lease::decode_keys(bye.release)?).await;
                return Err(End::Bye);
            }
            Some(Up::Hello(_)) => {
                return Err(Error::invalid("hello", "was said already").into());
            }
            None => return Err(Error::invalid("frame", "is empty, or of a newer release").into()),
        }
        self.seen.store(frame.seq, Ordering::Release);
        Ok(())
    }

    /// Begins a job that keeps its place until it is done.
    fn begin(&mut self, job: impl Future<Output = Done> + Send + 'static, place: Option<Place>) {
        self.jobs.push(Box::pin(async move {
            let done = job.await;
            drop(place);
            done
        }));
    }

    fn beat(&mut self, frame: pb::BeatFrame, place: Option<Place>) -> Result<()> {
        let beat = beat::decode_own_beat(frame.beat, &self.worker)?;
        frames::check_items(beat.leases.len(), "leases")?;
        // What is listed is this stream's to lose, whichever way it was leased. A lease that is
        // over is answered as stale, and goes again.
        self.held.extend(beat.leases.iter().map(|lease| lease.key));
        if self.watch.is_none() {
            self.watch = Some(jobs::watch(&self.shared, &self.worker));
        }
        self.begin(jobs::beat(self.shared.clone(), frame.batch, beat), place);
        Ok(())
    }

    async fn credit(&mut self, credit: pb::Credit) -> Result<(), End> {
        let want = lease::decode_own_want(credit.want, &self.worker)?;
        let number = credit.number;
        if want.max == 0 {
            if let Some(taken_back) = self.credits.get(&number) {
                taken_back.cancel();
                return Ok(());
            }
            return self.deliver_nothing(number, None).await;
        }
        if let Err(refusal) = want.check() {
            return self.deliver_nothing(number, Some(&refusal.into())).await;
        }
        if self.credits.contains_key(&number) {
            // Said twice is said once.
            return Ok(());
        }
        if self.credits.len() == CREDITS_MAX {
            let detail = format!("{CREDITS_MAX} credits are out already");
            return Err(Error::invalid("credit", detail).into());
        }
        let taken_back = CancellationToken::new();
        self.credits.insert(number, taken_back.clone());
        self.ttl = self.ttl.min(want.ttl);
        let (store, seen) = (Arc::clone(&self.shared.store), Arc::clone(&self.seen));
        self.claims.push(Box::pin(claim(store, number, want, seen, taken_back)));
        Ok(())
    }

    async fn deliver_nothing(&mut self, credit: u64, why: Option<&Error>) -> Result<(), End> {
        let problem = why.map(to_problem);
        let frame = pb::Deliver { credit, problem, ..pb::Deliver::default() };
        let seen = self.seen() + 1;
        Ok(self.down.send(Frame::Deliver(frame), seen, &self.seat.superseded).await?)
    }

    async fn deliver(&mut self, claimed: Claimed) -> Result<(), End> {
        let Claimed { credit, leases, seen } = claimed;
        self.credits.remove(&credit);
        let leases = match leases {
            Ok(leases) => leases,
            Err(error) => {
                let problem = Some(to_problem(&error));
                let frame = pb::Deliver { credit, problem, ..pb::Deliver::default() };
                self.down.send(Frame::Deliver(frame), seen, &self.seat.superseded).await?;
                return Ok(());
            }
        };
        if self.draining && !leases.is_empty() {
            release(&*self.shared.store, keys(&leases)).await;
            return Ok(());
        }
        self.write(credit, &leases, seen).await
    }

    async fn write(&mut self, credit: u64, leases: &[Lease], seen: u64) -> Result<(), End> {
        let mut frames = frames::cut(lease::encode_leases(leases));
        if frames.is_empty() {
            frames.push(Vec::new());
        }
        let last = frames.len() - 1;
        let mut written = 0;
        for (at, frame) in frames.into_iter().enumerate() {
            let end = written + frame.len();
            let deliver = pb::Deliver { credit, leases: frame, more: at < last, problem: None };
            let sent = self.down.send(Frame::Deliver(deliver), seen, &self.seat.superseded).await;
            if let Err(gone) = sent {
                // These surely did not reach the worker; those before may have.
                release(&*self.shared.store, keys(&leases[written..])).await;
                return Err(gone.into());
            }
            self.held.extend(leases[written..end].iter().map(|lease| lease.key));
            written = end;
        }
        Ok(())
    }

    async fn done(&mut self, done: Done) -> Result<(), End> {
        let seen = self.seen();
        for frame in self.take_in(done) {
            self.down.send(frame, seen, &self.seat.superseded).await?;
        }
        Ok(())
    }

    /// Notes what a job brought; what is to be said about it is returned.
    fn take_in(&mut self, done: Done) -> Vec<Frame> {
        match done {
            Done::Settled { frame, over } => {
                for key in over {
                    self.held.remove(&key);
                    self.cancelled.remove(&key);
                }
                vec![frame]
            }
            Done::Beaten { frame, lost, cancelled, directive } => {
                for key in lost {
                    self.held.remove(&key);
                    self.cancelled.remove(&key);
                }
                self.cancelled.extend(cancelled);
                self.directive = directive.unwrap_or(self.directive);
                vec![frame]
            }
            Done::News(None) => Vec::new(),
            Done::News(Some(news)) => {
                let mut frames = Vec::new();
                if news.directive != self.directive {
                    self.directive = news.directive;
                    let directive = beat::encode_directive(news.directive);
                    frames.push(Frame::Directive(pb::DirectiveFrame { directive }));
                }
                let told = &mut self.cancelled;
                let fresh = news.cancelled.into_iter().filter(|key| told.insert(*key));
                let fresh: Vec<LeaseKey> = fresh.collect();
                frames.extend(fresh.chunks(limits::ITEMS_MAX).map(cancel));
                // A store whose news tells nothing new is listened to again after the next beat.
                if !frames.is_empty() {
                    self.watch = Some(jobs::watch(&self.shared, &self.worker));
                }
                frames
            }
        }
    }

    fn heard(&mut self, news: Result<bool>) {
        match news {
            Ok(true) => {
                let held = self.held.iter().copied().collect();
                let news = jobs::news(self.shared.clone(), self.worker.clone(), held);
                self.jobs.push(Box::pin(news));
            }
            Ok(false) => self.watch = Some(jobs::watch(&self.shared, &self.worker)),
            Err(error) if error.code() == Code::NotSupported => {
                self.watch = Some(Box::pin(std::future::pending()));
            }
            Err(error) => tracing::debug!("a store cannot tell news now: {error:#}"),
        }
    }

    fn withdraw_all(&self) {
        // Which comes first does not matter.
        self.credits.values().for_each(CancellationToken::cancel);
    }

    /// Gives back what was not delivered, waits for what is under way, and says why it ends.
    async fn end(mut self, end: End) {
        self.withdraw_all();
        while let Some(claimed) = self.claims.next().await {
            if let Ok(leases) = claimed.leases {
                release(&*self.shared.store, keys(&leases)).await;
            }
        }
        let seen = self.seen();
        while let Some(done) = self.jobs.next().await {
            for frame in self.take_in(done) {
                self.down.try_send(frame, seen);
            }
        }
        match end {
            End::Bye => return,
            End::Draining => {
                let why = "the server is draining; go to another one, or come back in a moment";
                self.down.end(to_status(&Error::new(Code::Unavailable, why)));
                return;
            }
            End::Broken(error) => self.down.end(to_status(&error)),
            End::Lost if self.seat.superseded.is_cancelled() => {
                let why = "has a newer stream; every process needs a worker id of its own";
                self.down.end(to_status(&Error::invalid("hello.worker", why)));
            }
            End::Lost => tracing::debug!(worker = %self.worker, "a worker's stream was lost"),
        }
        jobs::shorten(&self.shared, &self.worker, self.ttl, self.held).await;
    }
}

fn keys(leases: &[Lease]) -> Vec<LeaseKey> {
    leases.iter().map(|lease| lease.key).collect()
}

/// Waits for something, if there is something to wait for; afterwards there is not.
async fn next_of<T>(waiting: &mut Option<BoxFuture<'static, T>>) -> T {
    match waiting {
        Some(coming) => {
            let come = coming.await;
            *waiting = None;
            come
        }
        None => std::future::pending().await,
    }
}

/// Whether a stream that cannot be read on was cut, or sent what is no frame.
fn lost_or_broken(status: &Status) -> End {
    match status.code() {
        tonic::Code::Internal | tonic::Code::InvalidArgument | tonic::Code::OutOfRange => {
            Error::invalid("frame", format!("cannot be read: {}", status.message())).into()
        }
        _ => End::Lost,
    }
}
