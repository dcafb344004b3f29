//! The actor of one worker's stream. It alone owns the connection; callers ask it by commands.
//!
//! What it was asked for and has no answer to is kept, in order, and sent again after a reconnect:
//! a settlement that was answered already gets the same answer (I8), a beat renews once more. Kept
//! are at most [`PENDING_MAX`] batches; beyond that commands wait.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use haulier_core::clock::Sleep;
use haulier_core::{
    Beat, BeatReply, Code, Directive, Error, Held, Lease, LeaseBeat, LeaseKey, Outcome, Result,
    Settled, Settlement, Want, WorkerAbout, WorkerId, limits, probe,
};
use haulier_wire::pb::server_frame::Frame;
use haulier_wire::pb::worker_frame::Frame as Up;
use haulier_wire::pb::{self, ServerFrame};
use haulier_wire::status::{check_problem, from_status};
use haulier_wire::task::Names;
use haulier_wire::{beat, every_answer, lease, settle};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use super::desk::Desk;
use super::live::{HELLO_HELD_MAX, Hello, Live, Opened, dial};
use super::news::News;
use super::pending::{Batch, Pending};
use crate::call::read;
use crate::net::Net;

/// Batches without an answer.
const PENDING_MAX: usize = 16;
/// Credits that servers let a stream have out; callers beyond it wait for their turn.
const CREDITS_MAX: usize = 64;
/// A stream of which nothing was asked this long, and on which no lease lives, ends.
const IDLE_MAX: Duration = Duration::from_mins(1);
/// How often it looks for what has waited too long.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What callers ask for.
pub(super) enum Command {
    /// To wait for tasks.
    Credit {
        number: u64,
        want: Want,
        reply: oneshot::Sender<Result<Vec<Lease>>>,
        /// The caller waits no more; it may say so before this is read.
        given_up: Arc<AtomicBool>,
    },
    /// To end leases.
    Settle { ends: Vec<Settlement>, reply: oneshot::Sender<Result<Vec<Settled>>> },
    /// To beat.
    Beat { beat: Beat, reply: oneshot::Sender<Result<BeatReply>> },
}

struct Credit {
    want: Want,
    reply: oneshot::Sender<Result<Vec<Lease>>>,
    /// What has come so far of a claim that is larger than a frame.
    got: Vec<Lease>,
    /// Said on this connection.
    out: bool,
    /// The caller waits for the word that nothing will come.
    withdrawn: bool,
}

enum Line {
    Dialling(BoxFuture<'static, Result<Box<Opened>, (usize, Error)>>),
    Up(Box<Live>),
}

enum Event {
    Command(Option<Command>),
    Woken,
    Dialled(Result<Box<Opened>, (usize, Error)>),
    Frame(Result<Option<ServerFrame>, Status>),
    Tick,
}

pub(super) struct Actor {
    net: Arc<Net>,
    worker: WorkerId,
    desk: Arc<Desk>,
    news: Arc<News>,
    commands: mpsc::Receiver<Command>,
    credits: BTreeMap<u64, Credit>,
    pending: BTreeMap<u64, Pending>,
    last_batch: u64,
    line: Line,
    /// Why there is no connection, if there is none.
    trouble: Option<Error>,
    dials: u32,
    tick: Sleep,
    /// What the worker said last of itself, and for how long it leases.
    about: Option<Arc<WorkerAbout>>,
    ttl: Duration,
    /// The longest that it has leased for.
    longest: Duration,
    directive: Directive,
    used_at: Duration,
    names: Names,
}

impl Actor {
    pub fn new(
        net: Arc<Net>,
        worker: WorkerId,
        desk: Arc<Desk>,
        news: Arc<News>,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        let ttl = limits::LEASE_TTL_DEFAULT;
        let hello = Hello { worker: worker.clone(), about: None, ttl, held: Vec::new() };
        Self {
            line: Line::Dialling(Box::pin(dial(Arc::clone(&net), hello, Duration::ZERO))),
            tick: net.clock.sleep(LOOK_EVERY),
            used_at: net.clock.monotonic(),
            net,
            worker,
            desk,
            news,
            commands,
            credits: BTreeMap::new(),
            pending: BTreeMap::new(),
            last_batch: 0,
            trouble: None,
            dials: 0,
            about: None,
            ttl,
            longest: Duration::ZERO,
            directive: Directive::Run,
            names: Names::default(),
        }
    }

    /// Lives until nobody can ask any more, nothing was asked for a while, or the server refuses.
    pub async fn run(mut self) {
        loop {
            let event = self.next().await;
            if let ControlFlow::Break(why) = self.handle(event) {
                return self.end(&why).await;
            }
            self.take_back();
            self.ask();
        }
    }

    async fn next(&mut self) -> Event {
        let reads = self.pending.len() < PENDING_MAX;
        tokio::select! {
            command = self.commands.recv(), if reads => Event::Command(command),
            () = self.desk.woken() => Event::Woken,
            event = self.line.next() => event,
            () = &mut self.tick => Event::Tick,
        }
    }

    fn handle(&mut self, event: Event) -> ControlFlow<Error> {
        match event {
            Event::Command(None) => return ControlFlow::Break(super::ended()),
            Event::Command(Some(command)) => self.command(command),
            Event::Woken => {}
            Event::Dialled(Ok(opened)) => self.opened(*opened),
            Event::Dialled(Err((server, error))) => {
                self.net.failed(server);
                return self.lost(error);
            }
            Event::Frame(Ok(Some(frame))) => {
                if let Err(error) = self.frame(frame) {
                    return self.lost(error);
                }
            }
            Event::Frame(Ok(None)) => {
                return self.lost(Error::new(Code::Unavailable, "the server ended the stream"));
            }
            Event::Frame(Err(status)) => return self.lost(from_status(status)),
            Event::Tick => return self.ticked(),
        }
        ControlFlow::Continue(())
    }

    fn now(&self) -> Duration {
        self.net.clock.monotonic()
    }

    fn command(&mut self, command: Command) {
        self.used_at = self.now();
        match command {
            // Who gave up before it was heard wants nothing.
            Command::Credit { reply, given_up, .. } if given_up.load(Ordering::Acquire) => {
                drop(reply.send(Ok(Vec::new())));
            }
            Command::Credit { number, want, reply, .. } => {
                self.ttl = want.ttl;
                self.longest = self.longest.max(want.ttl);
                let held = Credit { want, reply, got: Vec::new(), out: false, withdrawn: false };
                self.credits.insert(number, held);
            }
            Command::Settle { ends, reply } => {
                self.batch(Batch::Settle { ends, reply: Some(reply) });
            }
            Command::Beat { beat, reply } => {
                if beat.about.is_some() {
                    self.about.clone_from(&beat.about);
                }
                self.longest = self.longest.max(beat.ttl);
                self.desk.hold(beat.leases.iter().map(|lease| lease.key));
                self.batch(Batch::Beat { beat, reply: Some(reply) });
            }
        }
    }

    /// Sends a batch, and keeps it until it is answered.
    fn batch(&mut self, what: Batch) {
        self.last_batch += 1;
        let batch = self.last_batch;
        let frame = what.frame(batch);
        self.pending.insert(batch, Pending { what, since: self.now(), sent: 0 });
        if self.send(frame)
            && let Some(pending) = self.pending.get_mut(&batch)
        {
            pending.sent = 1;
        }
    }

    /// Sends a frame if there is a connection. What a connection does not take is sent on the next
    /// one.
    fn send(&mut self, frame: Up) -> bool {
        let Line::Up(live) = &mut self.line else { return false };
        let sent = live.send(frame).is_ok();
        if !sent {
            self.redial(Duration::ZERO);
        }
        sent
    }

    /// Leaves the connection, if there is one, for the next.
    fn redial(&mut self, pause: Duration) {
        let mut held = self.desk.all_held();
        held.truncate(HELLO_HELD_MAX);
        let (worker, about) = (self.worker.clone(), self.about.clone());
        let hello = Hello { worker, about, ttl: self.ttl, held };
        self.line = Line::Dialling(Box::pin(dial(Arc::clone(&self.net), hello, pause)));
        // A claim of which a part has come is answered with that part; the rest runs out. Who no
        // longer waits is answered with nothing.
        let over = |held: &Credit| held.withdrawn || !held.got.is_empty();
        let over = self.credits.iter().filter(|(_, held)| over(held));
        for number in over.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.answer(number);
        }
    }

    /// A new connection: what was held was said by Hello, as far as it fits; what is unanswered is
    /// said again.
    fn opened(&mut self, opened: Opened) {
        let Opened { live, welcome, held } = opened;
        self.trouble = None;
        self.dials = 0;
        self.line = Line::Up(Box::new(live));
        match read(beat::decode_held(welcome.held).and_then(|told| every_answer(held.len(), told)))
        {
            Ok(told) => self.forget_stale(&held, &told),
            Err(error) => tracing::warn!("a welcome makes no sense: {error:#}"),
        }
        self.directed(welcome.directive);
        for (batch, pending) in std::mem::take(&mut self.pending) {
            let sent = pending.sent + u32::from(self.send(pending.what.frame(batch)));
            self.pending.insert(batch, Pending { sent, ..pending });
        }
        let said: HashSet<LeaseKey> = held.into_iter().collect();
        let mut rest = self.desk.all_held();
        rest.retain(|key| !said.contains(key));
        for keys in rest.chunks(limits::ITEMS_MAX) {
            let leases = keys.iter().copied().map(LeaseBeat::renew).collect();
            self.own_beat(leases);
        }
        for held in self.credits.values_mut() {
            held.out = false;
        }
    }

    /// Says the credits that are not out yet, as many as the server allows.
    fn ask(&mut self) {
        if !matches!(self.line, Line::Up(_)) {
            return;
        }
        let out = self.credits.values().filter(|held| held.out).count();
        if self.credits.len() > CREDITS_MAX {
            probe::sometimes("credit spent");
        }
        let waiting = self.credits.iter_mut().filter(|(_, held)| !held.out);
        let next = waiting.take(CREDITS_MAX.saturating_sub(out)).map(|(number, held)| {
            held.out = true;
            credit(*number, &held.want)
        });
        for frame in next.collect::<Vec<_>>() {
            self.send(frame);
        }
    }

    fn own_beat(&mut self, leases: Vec<LeaseBeat>) {
        let beat = Beat { worker: self.worker.clone(), about: None, ttl: self.ttl, leases };
        self.batch(Batch::Beat { beat, reply: None });
    }

    /// There is no connection: goes for the next one, or gives up if no server will have this
    /// worker.
    fn lost(&mut self, error: Error) -> ControlFlow<Error> {
        if !error.is_retryable() || error.code() == Code::Internal {
            return ControlFlow::Break(error);
        }
        if let Line::Up(live) = &self.line {
            self.net.failed(live.server);
            tracing::debug!(worker = %self.worker, "a stream was lost: {error:#}");
        }
        self.expire(&error);
        self.dials += 1;
        // The first time another server, or the same one again, is tried at once.
        let pause = if self.dials == 1 {
            Duration::ZERO
        } else {
            self.net.pause(self.dials - 1, Some(&error))
        };
        self.trouble = Some(error);
        self.redial(pause);
        ControlFlow::Continue(())
    }

    /// Nobody can ask any more, and everybody who has asked is told why, down to those who did in
    /// this very moment: nothing was done for them, and they may ask again.
    async fn end(mut self, why: &Error) {
        self.commands.close();
        while let Some(command) = self.commands.recv().await {
            command.refuse(why.clone());
        }
        for credit in self.credits.into_values() {
            // A caller that is gone wants no error.
            drop(credit.reply.send(Err(why.clone())));
        }
        for pending in self.pending.into_values() {
            pending.fail(why);
        }
    }

    /// Takes what callers gave back.
    fn take_back(&mut self) {
        let back = self.desk.take_back();
        for number in back.credits {
            let Some(held) = self.credits.get_mut(&number) else { continue };
            // What the server has not heard of need not be taken back: of thousands of callers that
            // go at a time it hears no more than it had credits.
            if held.out {
                held.withdrawn = true;
                let nothing = Want { max: 0, ..held.want.clone() };
                let frame = credit(number, &nothing);
                if self.send(frame) {
                    continue;
                }
            }
            if let Some(held) = self.credits.remove(&number) {
                let answer = self.trouble.clone().map_or(Ok(Vec::new()), Err);
                // A caller that is gone wants no answer.
                drop(held.reply.send(answer));
            }
        }
        self.release(&back.leases);
    }

    fn release(&mut self, keys: &[LeaseKey]) {
        for keys in keys.chunks(limits::ITEMS_MAX) {
            let release = |key: &LeaseKey| Settlement { key: *key, outcome: Outcome::Release };
            let ends = keys.iter().map(release).collect();
            self.batch(Batch::Settle { ends, reply: None });
        }
    }

    fn frame(&mut self, frame: ServerFrame) -> Result<()> {
        match frame.frame {
            Some(Frame::Deliver(deliver)) => self.delivered(deliver)?,
            Some(Frame::Settled(settled)) => self.settled(settled),
            Some(Frame::Beaten(beaten)) => self.beaten(beaten),
            Some(Frame::Cancel(_)) => self.news.tell(),
            Some(Frame::Directive(told)) => self.directed(told.directive),
            // A newer server may say more than this release knows.
            Some(Frame::Welcome(_)) | None => {}
        }
        Ok(())
    }

    fn directed(&mut self, told: i32) {
        if let Ok(directive) = beat::decode_directive(told)
            && directive != self.directive
        {
            self.directive = directive;
            self.news.tell();
        }
    }

    fn delivered(&mut self, deliver: pb::Deliver) -> Result<()> {
        self.used_at = self.now();
        let leases = read(lease::decode_leases(deliver.leases, &mut self.names))?;
        self.desk.hold(leases.iter().map(|lease| lease.key));
        let number = deliver.credit;
        let Some(held) = self.credits.get_mut(&number) else {
            self.release(&keys(&leases));
            return Ok(());
        };
        if held.got.is_empty() {
            held.got = leases;
        } else {
            held.got.extend(leases);
        }
        if let Err(error) = check_problem(deliver.problem) {
            if let Some(held) = self.credits.remove(&number) {
                // What came before it is nobody's.
                self.release(&keys(&held.got));
                drop(held.reply.send(Err(error)));
            }
        } else if !deliver.more {
            self.answer(number);
        }
        Ok(())
    }

    /// Gives a caller what has come for it, or hands it back if the caller is gone.
    fn answer(&mut self, number: u64) {
        let Some(held) = self.credits.remove(&number) else { return };
        if let Err(Ok(leases)) = held.reply.send(Ok(held.got)) {
            self.release(&keys(&leases));
        }
    }

    fn settled(&mut self, frame: pb::SettledFrame) {
        let Some(Pending { what: Batch::Settle { ends, reply }, sent, .. }) =
            self.pending.remove(&frame.batch)
        else {
            return;
        };
        if sent > 1 {
            probe::sometimes("unknown commit resolved");
        }
        let answers = check_problem(frame.problem).and_then(|()| {
            let answers = read(settle::decode_answers(frame.answers))?;
            every_answer(ends.len(), answers)
        });
        if let Ok(answers) = &answers {
            let ended = ends.iter().zip(answers);
            let ended = ended.filter(|(_, answer)| !matches!(answer, Settled::Refused(_)));
            self.desk.forget(ended.map(|(end, _)| end.key));
        }
        if let Some(reply) = reply {
            drop(reply.send(answers));
        }
    }

    fn beaten(&mut self, frame: pb::BeatenFrame) {
        let Some(Pending { what: Batch::Beat { beat, reply }, .. }) =
            self.pending.remove(&frame.batch)
        else {
            return;
        };
        let answer = check_problem(frame.problem).and_then(|()| {
            let reply = read(beat::decode_reply(frame.reply))?;
            let held = every_answer(beat.leases.len(), reply.held)?;
            Ok(BeatReply { held, ..reply })
        });
        if let Ok(told) = &answer {
            let keys: Vec<LeaseKey> = beat.leases.iter().map(|lease| lease.key).collect();
            self.forget_stale(&keys, &told.held);
        }
        match (reply, answer) {
            (Some(reply), answer) => {
                if let Ok(told) = &answer {
                    self.directive = told.directive;
                }
                drop(reply.send(answer));
            }
            // Nobody reads this answer: what is new in it is told as news.
            (None, Ok(told)) => {
                if told.held.contains(&Held::Cancel) || told.directive != self.directive {
                    self.directive = told.directive;
                    self.news.tell();
                }
            }
            (None, Err(error)) => tracing::debug!("an idle beat failed: {error:#}"),
        }
    }

    fn forget_stale(&self, keys: &[LeaseKey], told: &[Held]) {
        let stale = keys.iter().zip(told).filter(|(_, held)| **held == Held::Stale);
        self.desk.forget(stale.map(|(key, _)| *key));
    }

    /// Gives up what has waited too long, and beats that nobody waits for any more.
    fn expire(&mut self, error: &Error) {
        let now = self.now();
        let patience = self.net.patience;
        let late = |held: &Pending| now.saturating_sub(held.since) >= patience;
        for pending in self.pending.extract_if(.., |_, held| late(held) || held.is_forsaken()) {
            pending.1.fail(error);
        }
    }

    /// Looks for what has waited too long, and whether anybody needs this stream.
    fn ticked(&mut self) -> ControlFlow<Error> {
        self.tick = self.net.clock.sleep(LOOK_EVERY);
        let late = || Error::new(Code::UnknownOutcome, "no answer came in time; it may yet apply");
        self.expire(&self.trouble.clone().unwrap_or_else(late));
        if !matches!(self.line, Line::Up(_)) {
            return ControlFlow::Continue(());
        }
        // What is held and was not spoken of for as long as a lease lasts is not held any more.
        let silent = self.now().saturating_sub(self.used_at);
        let free = self.desk.holds_nothing() || silent > self.longest;
        let asked = !self.credits.is_empty() || !self.pending.is_empty();
        if free && !asked && self.commands.is_empty() && silent >= IDLE_MAX {
            self.send(Up::Bye(pb::Bye { release: Vec::new() }));
            let why = "the worker's stream had ended, for nothing was asked of it; ask again";
            return ControlFlow::Break(Error::new(Code::Unavailable, why));
        }
        ControlFlow::Continue(())
    }
}

impl Command {
    /// Tells the caller that nothing was done. One that is gone wants no error.
    fn refuse(self, why: Error) {
        match self {
            Self::Credit { reply, .. } => drop(reply.send(Err(why))),
            Self::Settle { reply, .. } => drop(reply.send(Err(why))),
            Self::Beat { reply, .. } => drop(reply.send(Err(why))),
        }
    }
}

impl Line {
    async fn next(&mut self) -> Event {
        match self {
            Self::Dialling(dialling) => Event::Dialled(dialling.await),
            Self::Up(live) => Event::Frame(live.receive().await),
        }
    }
}

fn keys(leases: &[Lease]) -> Vec<LeaseKey> {
    leases.iter().map(|lease| lease.key).collect()
}

fn credit(number: u64, want: &Want) -> Up {
    Up::Credit(pb::Credit { number, want: Some(lease::encode_want(want)) })
}
