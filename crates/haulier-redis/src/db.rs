//! One connection for all calls, which redis's own driver makes anew when it is lost, and the one
//! way in which scripts are called: with every key of the shard, the time, and one argument.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use haulier_core::clock::millis;
use haulier_core::{Clock, Result, StoreTime, Timestamp};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, FromRedisValue, RedisResult};
use tokio::sync::watch;

use crate::error::{Fatal, is_busy, is_gone, translate};
use crate::keys::Keys;
use crate::options::Options;
use crate::pack::{Pack, Value, misread};
use crate::script::Script;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Attempts to connect again before a call fails.
const CONNECT_RETRIES: usize = 2;
/// Before a Redis that is at another script is asked again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// A Redis with the store in it.
pub(crate) struct Db {
    client: Client,
    connection: ConnectionManager,
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
    /// Connects.
    pub async fn connect(options: &Options) -> Result<Self> {
        let fail = |error| translate("connecting", false, error);
        let client = Client::open(options.info.clone()).map_err(fail)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(options.timeout))
            .set_number_of_retries(CONNECT_RETRIES);
        let connecting = client.get_connection_manager_with_config(config);
        let connection = Box::pin(connecting).await.map_err(fail)?;
        let time = options.time.clone().map(|clock| {
            let calendar = StoreTime::starting(clock.read(), Timestamp::default());
            (clock, Mutex::new(calendar))
        });
        let keys = Keys::of(&options.prefix, 0);
        let pace = Arc::clone(&options.pace);
        let (timeout, failed) = (options.timeout, watch::Sender::new(None));
        let born = OnceLock::new();
        Ok(Self { client, connection, keys, pace, timeout, time, born, failed })
    }

    /// A connection of its own, for what is told between servers.
    pub async fn dial(&self) -> Result<redis::aio::PubSub> {
        let fail = |error| translate("subscribing", false, error);
        Box::pin(self.client.get_async_pubsub()).await.map_err(fail)
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
        let mut invocation = script.code.prepare_invoke();
        for key in self.keys.all() {
            invocation.key(key);
        }
        for arg in args {
            invocation.arg(arg.as_slice());
        }
        let mut connection = self.connection.clone();
        let until = self.until();
        loop {
            let answered = Box::pin(invocation.invoke_async(&mut connection)).await;
            if self.is_at_another_script(&answered, until) {
                self.pace.sleep(BUSY_PAUSE).await;
                continue;
            }
            return answered.map_err(|error| {
                if is_gone(&error) {
                    let why = "the store's keys were deleted or evicted from Redis".to_owned();
                    self.failed.send_replace(Some(Fatal::Damaged(why)));
                }
                translate(script.name, script.writes, error)
            });
        }
    }

    /// How long a busy Redis is asked again.
    fn until(&self) -> Duration {
        self.pace.monotonic().saturating_add(self.timeout)
    }

    /// Whether Redis has not done what it was asked, and may do so before long.
    fn is_at_another_script<T>(&self, answered: &RedisResult<T>, until: Duration) -> bool {
        answered.as_ref().err().is_some_and(is_busy) && self.pace.monotonic() < until
    }

    /// Sends a command that is no script and changes nothing.
    pub async fn command<T: FromRedisValue>(&self, verb: &str, command: &redis::Cmd) -> Result<T> {
        self.send(verb, false, command).await
    }

    /// Sends a command that is no script, in a verb that may have changed something by now.
    pub async fn send<T: FromRedisValue>(
        &self,
        verb: &str,
        writes: bool,
        command: &redis::Cmd,
    ) -> Result<T> {
        let mut connection = self.connection.clone();
        let until = self.until();
        loop {
            let answered = Box::pin(command.query_async(&mut connection)).await;
            if !self.is_at_another_script(&answered, until) {
                return answered.map_err(|error| translate(verb, writes, error));
            }
            self.pace.sleep(BUSY_PAUSE).await;
        }
    }
}

/// The largest number that Lua counts exactly.
const WHOLE_MAX: u64 = (1 << 53) - 1;

/// A number for a script. Times beyond the limit lie 285,000 years ahead.
pub(crate) fn whole(number: u64) -> i64 {
    i64::try_from(number.min(WHOLE_MAX)).unwrap_or(i64::MAX)
}
