//! The way to the store, and the one way in which scripts are called: with every key of the shard,
//! the time, and one argument.
//!
//! One connection serves all calls ([`line`]). It leads to the master, wherever that is
//! ([`locate`]), and is made anew when it is lost or Redis says that it leads to the wrong place.
//! What Redis certainly has not done is asked again here; what may have happened is said.

mod dial;
mod failover;
mod info;
mod line;
mod locate;
mod next;
mod slots;
mod tls;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use haulier_core::clock::millis;
use haulier_core::{Clock, Result, StoreTime, Timestamp};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, from_redis_value};
use tokio::sync::watch;

pub(crate) use failover::start;
pub(crate) use info::Info;
use line::Line;
use locate::{Locator, Session};
use next::Next;
pub(crate) use slots::{Range, gap};

use crate::error::{Fatal, OpenError, is_gone, translate};
use crate::keys::{self, Keys};
use crate::options::{Address, Options};
use crate::pack::{Pack, Value, misread};
use crate::script::Script;

/// Before a Redis that is at something else is asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// A Redis with the store in it.
pub(crate) struct Db {
    line: Line,
    pub keys: Keys,
    pace: Arc<dyn Clock>,
    timeout: Duration,
    /// The time that tests set, with the calendar as a store follows it.
    time: Option<(Arc<dyn Clock>, Mutex<StoreTime>)>,
    /// The name of the store that was opened: a script does nothing to another one.
    pub born: OnceLock<Bytes>,
    /// Why the store had to stop.
    pub failed: watch::Sender<Option<Fatal>>,
}

impl Db {
    /// Connects, and hears what is there.
    pub async fn connect(options: &Options) -> Result<(Self, Info), OpenError> {
        let locator = Locator::new(options, &keys::tag(&options.prefix, 0))?;
        let line = Line::new(locator, Arc::clone(&options.pace));
        let info = line.session().await?.info.clone();
        let time = options.time.clone().map(|clock| {
            let calendar = StoreTime::starting(clock.read(), Timestamp::default());
            (clock, Mutex::new(calendar))
        });
        let keys = Keys::of(&options.prefix, 0);
        let pace = Arc::clone(&options.pace);
        let (timeout, failed) = (options.timeout, watch::Sender::new(None));
        let born = OnceLock::new();
        Ok((Self { line, keys, pace, timeout, time, born, failed }, info))
    }

    /// A connection of its own to where the master is, for what is told between servers.
    pub async fn dial(&self) -> Result<redis::aio::PubSub> {
        let session = self.line.session().await.map_err(OpenError::into_call)?;
        let locator = &self.line.locator;
        let dialed = locator.dialer.listener(&session.address, &locator.login).await;
        dialed.map_err(OpenError::into_call)
    }

    /// Which store is meant and what time it is, for a script: no time if it is Redis's own.
    fn head(&self) -> Vec<u8> {
        let born = self.born.get().map_or_else(Vec::new, |born| born.to_vec());
        let Some((clock, calendar)) = &self.time else { return born };
        let reading = clock.read();
        let wall = calendar.lock().unwrap_or_else(PoisonError::into_inner).now(reading);
        let mut pack = Pack::new();
        pack.array(2).int(whole(wall.0)).int(whole(millis(reading.monotonic)));
        [born, pack.into_bytes()].concat()
    }

    /// Calls a script and reads what it answers.
    pub async fn call(&self, script: &Script, args: Pack) -> Result<Value> {
        self.call_with(script, args, Vec::new()).await.map(|(answer, _)| answer)
    }

    /// Calls a script with more arguments, and reads its answer with what follows that.
    pub async fn call_with(
        &self,
        script: &Script,
        args: Pack,
        more: Vec<Vec<u8>>,
    ) -> Result<(Value, Vec<Bytes>)> {
        let mut all = vec![self.head(), args.into_bytes()];
        all.extend(more);
        let answer = match self.invoke(script, &all).await? {
            redis::Value::Array(parts) => parts,
            part => vec![part],
        };
        let bytes = |part| match part {
            redis::Value::BulkString(bytes) => Ok(Bytes::from(bytes)),
            _ => Err(misread()),
        };
        let mut parts = answer.into_iter().map(bytes);
        let first = Value::read(parts.next().ok_or_else(misread)??)?;
        Ok((first, parts.collect::<Result<_>>()?))
    }

    /// Calls a script with plain arguments.
    pub async fn invoke<T: FromRedisValue>(&self, script: &Script, args: &[Vec<u8>]) -> Result<T> {
        let keys = self.keys.all();
        let mut command = redis::cmd("EVALSHA");
        command.arg(script.code.get_hash()).arg(keys.len()).arg(keys).arg(args);
        let answered = self.ask(&command, Some(script)).await?;
        let read = answered.and_then(|answer| Ok(from_redis_value(answer)?));
        read.map_err(|error| {
            if is_gone(&error) {
                let why = "the store's keys were deleted or evicted from Redis".to_owned();
                self.failed.send_replace(Some(Fatal::Damaged(why)));
            }
            translate(script.name, script.writes, error)
        })
    }

    /// Sends a command that is no script and changes nothing.
    pub async fn command<T: FromRedisValue>(&self, verb: &str, command: &Cmd) -> Result<T> {
        self.send(verb, false, command).await
    }

    /// Sends a command that is no script, in a verb that may have changed something by now.
    pub async fn send<T: FromRedisValue>(
        &self,
        verb: &str,
        writes: bool,
        command: &Cmd,
    ) -> Result<T> {
        let answered = self.ask(command, None).await?;
        let read = answered.and_then(|answer| Ok(from_redis_value(answer)?));
        read.map_err(|error| translate(verb, writes, error))
    }

    /// Who serves which slots of a cluster, as the node says that serves ours.
    pub async fn slots(&self) -> Result<Option<Vec<Range>>> {
        let session = self.line.session().await.map_err(OpenError::into_call)?;
        let mut command = redis::cmd("CLUSTER");
        let answer = self.command("cluster slots", command.arg("SLOTS")).await?;
        Ok(slots::read(&answer, &session.address))
    }

    /// Asks until there is an answer, or a failure after which nothing is certain, or time is up.
    /// The outer failure is that nobody is there to be asked.
    async fn ask(
        &self,
        command: &Cmd,
        script: Option<&Script>,
    ) -> Result<RedisResult<redis::Value>> {
        let until = self.pace.monotonic().saturating_add(self.timeout);
        let mut other: Option<(Address, Arc<Session>)> = None;
        let mut asked_at: Option<Address> = None;
        loop {
            let session = self.line.session().await.map_err(OpenError::into_call)?;
            let answered = match asked_at.take() {
                None => send(&session, command, script, false).await,
                Some(address) => match self.at(&mut other, address).await {
                    Ok(session) => send(&session, command, script, true).await,
                    Err(error) => return Err(error.into_call()),
                },
            };
            let Err(error) = &answered else { return Ok(answered) };
            let next = next::after(error, &session.address);
            match &next {
                Next::Fail { is_lost: true } => self.line.lose(&session, None),
                Next::Elsewhere(at) => self.line.lose(&session, at.clone()),
                Next::Ask(address) => asked_at = Some(address.clone()),
                Next::Fail { is_lost: false } | Next::Later => {}
            }
            if matches!(next, Next::Fail { .. }) || self.pace.monotonic() >= until {
                return Ok(answered);
            }
            if !matches!(next, Next::Ask(_) | Next::Elsewhere(Some(_))) {
                self.pace.sleep(PAUSE).await;
            }
        }
    }

    /// A connection to a node that has a part of a slot which moves.
    async fn at(
        &self,
        other: &mut Option<(Address, Arc<Session>)>,
        address: Address,
    ) -> Result<Arc<Session>, OpenError> {
        if let Some((at, session)) = other
            && *at == address
        {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(self.line.locator.meet(&address).await?);
        *other = Some((address, Arc::clone(&session)));
        Ok(session)
    }
}

/// Sends a command; a script that is not known there is made known. `asks`: though the slot is not
/// all there yet.
async fn send(
    session: &Session,
    command: &Cmd,
    script: Option<&Script>,
    asks: bool,
) -> RedisResult<redis::Value> {
    let mut calls = session.caller.calls.clone();
    let sent = send_once(&mut calls, command, asks).await;
    match (sent, script) {
        (Err(error), Some(script))
            if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) =>
        {
            Box::pin(script.code.load_async(&mut calls)).await?;
            send_once(&mut calls, command, asks).await
        }
        (sent, _) => sent,
    }
}

async fn send_once(
    calls: &mut MultiplexedConnection,
    command: &Cmd,
    asks: bool,
) -> RedisResult<redis::Value> {
    if !asks {
        return Box::pin(command.query_async(calls)).await;
    }
    let mut both = redis::pipe();
    both.cmd("ASKING").ignore().add_command(command.clone());
    let answered: RedisResult<(redis::Value,)> = Box::pin(both.query_async(calls)).await;
    answered.map(|(answer,)| answer)
}

/// The largest number that Lua counts exactly.
const WHOLE_MAX: u64 = (1 << 53) - 1;

/// A number for a script. Times beyond the limit lie 285,000 years ahead.
pub(crate) fn whole(number: u64) -> i64 {
    i64::try_from(number.min(WHOLE_MAX)).unwrap_or(i64::MAX)
}
