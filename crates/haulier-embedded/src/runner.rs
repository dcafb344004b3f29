//! Around the engine: takes calls, lets the engine decide, hands records to the writer, and holds
//! every answer back until what it rests on is durable. It goes turn by turn and never blocks; who
//! gives it its turns is no business of its own (`driver`).
//!
//! Group commit needs no timer: while one batch is being written and synced, the next one gathers.
//! Idle, a call costs one sync; busy, batches widen by themselves.

mod serve;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use haulier_core::{
    Clock, Code, Error, LeaseKey, Outcome, Result, Settlement, StoreTime, Swept, Want, limits,
    probe,
};
use tokio::sync::watch;

use crate::cost;
use crate::engine::{Command, Engine, Granted, Now, Reply};
use crate::error::Fatal;
use crate::inbox::{Answered, Ask, Call, Inbox, Reception, stopped};
use crate::log::Log;
use crate::log::writer::Written;
use crate::place::Position;
use crate::waiters::{Waiters, Wish};

/// Tasks that one slice of what happens by itself touches.
const SLICE: usize = 1_000;
/// Bytes that may gather behind a busy writer before calls have to wait.
const GATHERED_MAX: usize = 16 * 1024 * 1024;
/// Callers that may wait at a time.
const WAITERS_MAX: usize = 100_000;
/// How often a full disk is asked for room.
const FULL_RETRY: Duration = Duration::from_secs(1);

/// An answer that waits for the disk.
#[derive(Debug)]
enum Held {
    Reply(Reception, Reply),
    /// With the moment up to which their time has been given back.
    Leases(Reception, Vec<Vec<Granted>>, Duration),
}

/// Everything of an open store but its threads.
#[derive(Debug)]
pub struct Runner {
    clock: Arc<dyn Clock>,
    time: StoreTime,
    inbox: Arc<Inbox>,
    /// Calls that were taken from the inbox and wait for their turn.
    calls: VecDeque<Call>,
    engine: Engine,
    log: Log,
    held: BTreeMap<(Position, u64), Held>,
    held_count: u64,
    waiters: Waiters,
    /// Leases that nobody is there to take: to be given back.
    returned: Vec<LeaseKey>,
    /// Swept since a sweep was asked for last.
    swept: Swept,
    asked_for_room: Duration,
    /// While the writer is behind, beats are not heard; until they are, no lease may run out.
    hears: bool,
    /// Whether calls were brought in since.
    brought: bool,
    /// Whether something is left to do at once.
    more: bool,
    closing: Vec<Reception>,
    failed: watch::Sender<Option<Fatal>>,
}

impl Runner {
    /// Over an engine that was recovered.
    pub fn new(
        clock: Arc<dyn Clock>,
        time: StoreTime,
        inbox: Arc<Inbox>,
        engine: Engine,
        log: Log,
        failed: watch::Sender<Option<Fatal>>,
    ) -> Self {
        Self {
            asked_for_room: clock.monotonic(),
            clock,
            time,
            inbox,
            calls: VecDeque::new(),
            engine,
            log,
            held: BTreeMap::new(),
            held_count: 0,
            waiters: Waiters::default(),
            returned: Vec::new(),
            swept: Swept::default(),
            hears: true,
            brought: false,
            more: true,
            closing: Vec::new(),
            failed,
        }
    }

    fn now(&mut self) -> Now {
        let reading = self.clock.read();
        let wall = self.time.now(reading);
        if wall > reading.wall {
            probe::sometimes("clock held back");
        }
        Now { wall, mono: reading.monotonic }
    }

    /// The clock that it goes by.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Whether calls may be brought in: those of before have had their turn, and what they wrote
    /// does not pile up behind the writer.
    pub fn wants_calls(&self) -> bool {
        self.may_gather() && self.calls.is_empty()
    }

    /// Whether there is nothing to do until something comes or the alarm rings.
    pub fn is_idle(&self) -> bool {
        let has_calls = self.may_gather() && !self.calls.is_empty();
        !self.more && !has_calls && self.returned.is_empty()
    }

    fn may_gather(&self) -> bool {
        self.log.tail.waiting_bytes() < GATHERED_MAX
    }

    /// When something happens next by itself, on the monotonic clock.
    pub fn next_alarm(&mut self) -> Option<Duration> {
        let now = self.now();
        let timer = self.engine.next_timer(now).map(|after| now.mono + after);
        let at = timer.into_iter().chain(self.waiters.next()).min()?;
        // At least a millisecond: the calendar may crawl.
        Some(at.max(now.mono + Duration::from_millis(1)))
    }

    /// One round, which never blocks: takes what came, lets the engine decide, answers, and hands
    /// over what has gathered. `true`: the store is closed. After an error, [`Runner::fail`].
    ///
    /// # Errors
    /// The store has to stop.
    pub fn turn(&mut self, reports: Vec<Written>, came: VecDeque<Call>) -> Result<bool, Fatal> {
        let brought = self.wants_calls();
        self.calls.extend(came);
        for written in reports {
            self.note_written(written)?;
        }
        let now = self.now();
        self.keep_held_leases(now);
        self.more = self.tick(now)?;
        while self.may_gather() {
            let Some(call) = self.calls.pop_front() else { break };
            self.take_call(now, call)?;
        }
        self.note_hearing(brought);
        self.give_back(now)?;
        self.serve(now)?;
        self.more |= self.log.clean(now, &mut self.engine)?;
        self.log.keep_hints();
        self.engine.set_storage_full(self.log.is_full());
        self.release(now);
        self.flush();
        Ok(self.finished())
    }

    /// What came while the writer was behind was heard when all that was there has been brought in
    /// and has had its turn.
    fn note_hearing(&mut self, brought: bool) {
        self.brought |= brought;
        if self.brought && self.calls.is_empty() {
            (self.hears, self.brought) = (true, false);
        } else if !self.may_gather() {
            self.hears = false;
        }
    }

    /// What happens by itself. `true`: there is more.
    fn tick(&mut self, now: Now) -> Result<bool, Fatal> {
        while let Some(waiter) = self.waiters.take_late(now.mono) {
            self.answer_late(now, waiter.wish, waiter.reply);
        }
        if self.log.is_full() && now.mono >= self.asked_for_room + FULL_RETRY {
            self.asked_for_room = now.mono;
            self.log.keep_spare()?;
        }
        let may_tick = self.may_gather() && self.hears;
        if self.engine.next_timer(now) != Some(Duration::ZERO) || !may_tick {
            return Ok(false);
        }
        if !self.log.reserve(cost::of(&Command::Sweep(SLICE), self.engine.task_count()))? {
            return Ok(false);
        }
        let mut left = SLICE;
        let swept = self.engine.tick(now, &mut left, &mut self.log.tail);
        add(&mut self.swept, swept);
        Ok(self.engine.next_timer(now) == Some(Duration::ZERO))
    }

    fn take_call(&mut self, now: Now, call: Call) -> Result<(), Fatal> {
        let Call { ask, reply, .. } = call;
        if !self.closing.is_empty() && !matches!(ask, Ask::Close) {
            answer(reply, Err(stopped()));
            return Ok(());
        }
        match ask {
            Ask::Command(command) => self.carry_out(now, command, reply)?,
            Ask::Lease(wants, wait) => self.lease(now, wants, wait, reply)?,
            Ask::Get(ids, wait) => {
                let over = ids.iter().all(|id| self.engine.is_over(*id));
                if over || wait.is_zero() {
                    self.carry_out(now, Command::Get(ids), reply)?;
                } else {
                    self.wait(now, Wish::Get(ids), wait, reply);
                }
            }
            Ask::Watch(worker, wait) => {
                let news = self.engine.take_worker_news(&worker);
                if news || wait.is_zero() {
                    answer(reply, Ok(Answered::Noted(news)));
                } else {
                    self.wait(now, Wish::Watch(worker), wait, reply);
                }
            }
            Ask::Pin => {
                let pinned = self.log.pin();
                let generation = self.engine.generation();
                answer(reply, Ok(Answered::Pinned(pinned, generation, now.wall)));
            }
            Ask::Close => self.close(reply)?,
        }
        Ok(())
    }

    fn wait(&mut self, now: Now, wish: Wish, wait: Duration, reply: Reception) {
        if self.waiters.len() >= WAITERS_MAX {
            let most = format!("{WAITERS_MAX} callers wait already; try again later");
            return answer(reply, Err(Error::new(Code::Throttled, most)));
        }
        self.waiters.add(wish, reply, now.mono + wait.min(limits::WAIT_MAX));
    }

    /// Carries a command out and holds its answer until it is durable.
    fn carry_out(&mut self, now: Now, command: Command, reply: Reception) -> Result<(), Fatal> {
        if !self.make_room(&command)? {
            self.refuse_for_room(now, command, reply);
            return Ok(());
        }
        let sweeping = matches!(command, Command::Sweep(_));
        // These rest on nothing that has to be durable, unless they write something.
        let free = matches!(command, Command::Beat(_) | Command::Direct(..)) || sweeping;
        let before = self.log.tail.end();
        match self.engine.apply(now, command, &mut self.log.tail) {
            Ok(mut done) => {
                if let Reply::Swept(swept) = &mut done {
                    add(swept, std::mem::take(&mut self.swept));
                }
                let after = self.log.tail.end();
                let rests_on = if free && after == before { Position::default() } else { after };
                let rests_on = match &done {
                    Reply::Got(_) if probe::planted("read-before-sync") => Position::default(),
                    _ => rests_on,
                };
                self.hold(rests_on, Held::Reply(reply, done));
            }
            Err(error) => answer(reply, Err(error)),
        }
        Ok(())
    }

    fn make_room(&mut self, command: &Command) -> Result<bool, Fatal> {
        let room = self.log.reserve(cost::of(command, self.engine.task_count()))?;
        self.engine.set_storage_full(self.log.is_full());
        Ok(room)
    }

    /// Not even the reserve has room: new tasks are refused one by one, other calls as a whole.
    fn refuse_for_room(&mut self, now: Now, command: Command, reply: Reception) {
        if !matches!(command, Command::Enqueue(_)) {
            return answer(reply, Err(no_room()));
        }
        self.engine.set_storage_full(true);
        match self.engine.apply(now, command, &mut self.log.tail) {
            Ok(done) => self.hold(self.log.tail.end(), Held::Reply(reply, done)),
            Err(error) => answer(reply, Err(error)),
        }
    }

    fn lease(
        &mut self,
        now: Now,
        wants: Vec<Want>,
        wait: Duration,
        reply: Reception,
    ) -> Result<(), Fatal> {
        if let Err(error) = Engine::check_wants(&wants) {
            answer(reply, Err(error));
            return Ok(());
        }
        let bytes = cost::leases(wants.iter().map(|want| want.max), self.engine.task_count());
        if !self.log.reserve(bytes + 1_024)? {
            answer(reply, Err(no_room()));
            return Ok(());
        }
        let granted = self.engine.share(now, &wants, &mut self.log.tail);
        if wait.is_zero() || granted.iter().any(|leases| !leases.is_empty()) {
            self.hold_leases(reply, granted);
        } else {
            let names = wants.iter().flat_map(|want| want.queues.iter());
            let mut queues: Vec<_> =
                names.map(|wanted| self.engine.queue_number(&wanted.queue)).collect();
            queues.sort_unstable();
            queues.dedup();
            self.wait(now, Wish::Lease(wants, queues), wait, reply);
        }
        Ok(())
    }

    /// Leases wait for their tasks and the ends of earlier deliveries to be durable, not for
    /// themselves: a lease that is forgotten only makes its task available again.
    fn hold_leases(&mut self, reply: Reception, granted: Vec<Vec<Granted>>) {
        let newest = granted.iter().flatten().map(|lease| lease.after).max();
        let rests_on = newest.map(|at| Position::from_u64(at.to_u64() + 1)).unwrap_or_default();
        let since = self.clock.monotonic();
        self.hold(rests_on, Held::Leases(reply, granted, since));
    }

    fn hold(&mut self, rests_on: Position, held: Held) {
        self.held_count += 1;
        self.held.insert((rests_on, self.held_count), held);
    }

    /// A lease that is held back is nobody's yet: it does not run out because a disk stands still.
    fn keep_held_leases(&mut self, now: Now) {
        for held in self.held.values_mut() {
            if let Held::Leases(_, granted, since) = held
                && self.engine.give_time_back(now, granted, *since)
            {
                *since = now.mono;
            }
        }
    }

    /// Tasks whose askers are gone become available at once.
    fn give_back(&mut self, now: Now) -> Result<(), Fatal> {
        if self.returned.is_empty() {
            return Ok(());
        }
        let keys = std::mem::take(&mut self.returned);
        let release = |key| Settlement { key, outcome: Outcome::Release };
        self.settle(now, keys.into_iter().map(release).collect())
    }

    fn settle(&mut self, now: Now, ends: Vec<Settlement>) -> Result<(), Fatal> {
        let command = Command::Settle(ends);
        // Without room the leases run out instead.
        if self.make_room(&command)? {
            self.engine
                .apply(now, command, &mut self.log.tail)
                .map_err(|error| Fatal::Write(error.to_string()))?;
        }
        Ok(())
    }

    fn note_written(&mut self, written: Written) -> Result<(), Fatal> {
        let end = written.result.map_err(|error| Fatal::Write(error.to_string()))?;
        self.log.written(written.synced.then_some(end), written.spent);
        Ok(())
    }

    /// Lets go of every answer whose ground is durable.
    fn release(&mut self, now: Now) {
        let durable = if probe::planted("ack-before-sync") {
            self.log.tail.end()
        } else {
            self.log.tail.durable()
        };
        let held = self.held.len();
        while let Some(entry) = self.held.first_entry() {
            if entry.key().0 > durable {
                break;
            }
            match entry.remove() {
                Held::Reply(to, reply) => {
                    answer(to, Ok(Answered::Reply(reply, self.log.files())));
                }
                Held::Leases(to, granted, since) => {
                    self.engine.give_time_back(now, &granted, since);
                    self.deliver(to, granted);
                }
            }
        }
        if held > self.held.len() + 1 {
            probe::sometimes("batch of many");
        }
    }

    /// Hands over what was leased. If nobody is there to take it, it is given back.
    fn deliver(&mut self, to: Reception, granted: Vec<Vec<Granted>>) {
        if let Err(Ok(Answered::Leases(granted, _))) =
            to.send(Ok(Answered::Leases(granted, self.log.files())))
        {
            self.returned.extend(granted.iter().flatten().map(|lease| lease.key));
        }
    }

    /// Gives the writer what has gathered. Only leases need no sync: it comes with the next answer.
    fn flush(&mut self) {
        let durable = self.log.tail.durable();
        let awaited = self.held.last_key_value().is_some_and(|((at, _), _)| *at > durable);
        let sync = awaited || self.log.cleaner_waits() || !self.closing.is_empty();
        self.log.flush(sync);
    }

    fn close(&mut self, reply: Reception) -> Result<(), Fatal> {
        for waiter in self.waiters.take_all() {
            answer(waiter.reply, Err(stopped()));
        }
        if self.log.reserve(1_024)? {
            let now = self.now();
            let order = self.engine.last_order();
            self.log.tail.push(&crate::record::Record::Closed, &[], now.wall, order);
        }
        self.closing.push(reply);
        Ok(())
    }

    /// Whether the store was closed and everything is durable.
    fn finished(&mut self) -> bool {
        let open = self.closing.is_empty()
            || self.log.is_busy()
            || !self.held.is_empty()
            || !self.returned.is_empty()
            || !self.log.tail.is_empty()
            || self.log.tail.durable() < self.log.tail.end();
        if open {
            return false;
        }
        self.log.finish_hints();
        let mut calls = std::mem::take(&mut self.calls);
        calls.extend(self.inbox.close());
        for call in calls {
            answer(call.reply, Err(stopped()));
        }
        for reply in self.closing.drain(..) {
            answer(reply, Ok(Answered::Noted(true)));
        }
        true
    }

    /// The engine had to stop: nobody gets an answer that the disk does not know of.
    pub fn fail(&mut self, fatal: &Fatal) {
        tracing::error!(%fatal, "the store stops");
        for held in std::mem::take(&mut self.held).into_values() {
            match held {
                Held::Reply(to, reply) => {
                    let wrote = !matches!(
                        reply,
                        Reply::Got(_) | Reply::Page(_) | Reply::Queues(_) | Reply::Workers(_)
                    );
                    let code = if wrote { Code::UnknownOutcome } else { Code::Unavailable };
                    answer(to, Err(Error::new(code, fatal.to_string())));
                }
                Held::Leases(to, ..) => {
                    answer(to, Err(Error::new(Code::UnknownOutcome, fatal.to_string())));
                }
            }
        }
        let unavailable = || Error::new(Code::Unavailable, fatal.to_string());
        for waiter in self.waiters.take_all() {
            answer(waiter.reply, Err(unavailable()));
        }
        let mut calls = std::mem::take(&mut self.calls);
        calls.extend(self.inbox.close());
        for call in calls {
            answer(call.reply, Err(unavailable()));
        }
        for reply in self.closing.drain(..) {
            answer(reply, Err(unavailable()));
        }
        self.failed.send_replace(Some(fatal.clone()));
    }
}

fn no_room() -> Error {
    Error::new(Code::StorageFull, "the disk is full, and the reserve is used up; free some space")
}

fn add(sum: &mut Swept, more: Swept) {
    sum.promoted += more.promoted;
    sum.lost += more.lost;
    sum.expired += more.expired;
    sum.pruned += more.pruned;
}

/// Answers; whoever has gone away does not mind.
fn answer(to: Reception, with: Result<Answered>) {
    if to.send(with).is_err() {
        tracing::trace!("the caller of an answer is gone");
    }
}
