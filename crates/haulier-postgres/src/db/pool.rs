//! Connections: how many, how long one waits for one, and how they come back after an outage.
//!
//! Everything is bounded: connections, those who wait for one, and how long. While the database is
//! away one connection at a time is tried, after a pause that grows and is never the same twice, so
//! that a database that comes back is not met by a herd.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use deadpool_postgres::{
    Connect, Manager, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime,
};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use haulier_core::{Clock, Code, Entropy, Error, Result};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault::{self, Failed, Verdict, in_time};
use super::identity::{Known, Met};
use super::tls;
use crate::options::Options;

/// Those who wait for a connection, at most, for each that there is.
const WAITERS_A_CONNECTION: usize = 64;
/// How often one call is tried.
const TRIES_MAX: u32 = 6;
/// The first pause between two tries of a call, and between two of connecting.
const PAUSE: Duration = Duration::from_millis(5);
const OUTAGE_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two tries of connecting.
const OUTAGE_PAUSE_MAX: Duration = Duration::from_secs(2);

/// After this time a call that got no connection may be tried again.
const BUSY: Duration = Duration::from_secs(1);
/// How often two connections are compared before they are believed to be two.
const LOOKS: usize = 3;

/// Of each connection. A plan is made once for all parameters, so it must not depend on how full a
/// table was at that time: by index, always. Not through a proxy that hands connections around: it
/// would hand the settings around, too.
const SETTINGS: &str = "SET default_transaction_isolation = 'read committed';
    SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off";

pub(super) struct Pool {
    made: deadpool_postgres::Pool,
    config: Config,
    tls: MakeRustlsConnect,
    waiters: Semaphore,
    gate: Arc<Gate>,
    known: Arc<Known>,
    schema: String,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("status", &self.made.status()).finish_non_exhaustive()
    }
}

/// What comes over a connection outside the pool. Whoever polls it drives the connection; it ends
/// when the connection is lost.
pub(crate) type Messages = BoxStream<'static, Result<AsyncMessage, tokio_postgres::Error>>;

impl Pool {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let tls = MakeRustlsConnect::new(tls::config(&options.tls)?);
        let gate = Arc::new(Gate {
            one: Semaphore::new(1),
            failures: AtomicU32::new(0),
            pace: Arc::clone(&options.pace),
            entropy: Arc::clone(&options.entropy),
        });
        let settings = if options.prepare { SETTINGS } else { "" };
        let (known, schema) = (Arc::<Known>::default(), format!("\"{}\"", options.schema));
        let connect = Paced {
            tls: tls.clone(),
            gate: Arc::clone(&gate),
            settings,
            known: Arc::clone(&known),
            schema: schema.clone(),
        };
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let config = options.driver()?;
        let manager = Manager::from_connect(config.clone(), connect, recycling);
        let timeout = Some(options.connect_timeout());
        let made = deadpool_postgres::Pool::builder(manager)
            .max_size(options.pool)
            // The one that was used last: a few connections with everything prepared, instead of
            // many of which each has to prepare it first.
            .queue_mode(deadpool_postgres::QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(timeout)
            .create_timeout(timeout)
            .build()
            .map_err(|error| Error::internal("the pool cannot be made").caused_by(error))?;
        let waiters = Semaphore::new(options.pool * (1 + WAITERS_A_CONNECTION));
        Ok(Self { made, config, tls, waiters, gate, known, schema })
    }

    /// A connection, as soon as one is free.
    pub(super) async fn get(&self) -> Result<Object> {
        let Ok(_waiting) = self.waiters.try_acquire() else {
            return Err(Error::new(
                Code::Throttled,
                "too many calls wait for a connection to the database; raise `pool` in its URL",
            )
            .retry_after(BUSY));
        };
        self.made.get().await.map_err(|error| match error {
            PoolError::Backend(error) => refused(error),
            PoolError::Closed => Error::new(Code::Unavailable, "the store is closed"),
            PoolError::Timeout(_) if self.gate.is_down() => Error::new(
                Code::Unavailable,
                "the database is away: connections to it fail; try again later",
            )
            .retry_after(BUSY),
            PoolError::Timeout(deadpool_postgres::TimeoutType::Create) => Error::new(
                Code::Unavailable,
                "the database does not answer: a connection was not made in time; try again later",
            )
            .retry_after(BUSY),
            PoolError::Timeout(_) => Error::new(
                Code::Throttled,
                "no connection to the database was free in time; raise `pool` in its URL",
            )
            .retry_after(BUSY),
            other => Error::internal("the pool failed").caused_by(other),
        })
    }

    pub(super) async fn dial(&self) -> Result<(Client, Messages)> {
        let made = self.gate.through(self.config.connect(self.tls.clone())).await;
        let (client, mut connection) = made.map_err(refused)?;
        Ok((client, stream::poll_fn(move |cx| connection.poll_message(cx)).boxed()))
    }

    /// Whether a proxy hands the connections behind it around: what one session has prepared, set
    /// or listens to is then another one's in the next moment. Two sessions tell: they are open at
    /// the same time, so they are served by two backends, and each by the same one all the time.
    pub(super) async fn is_shared(&self) -> Result<bool> {
        let (one, other) = (self.session().await?, self.session().await?);
        for _ in 0..LOOKS {
            let looked = in_time(async {
                let before = backend(&one, "SELECT pg_backend_pid()").await?;
                // It keeps the backend until its transaction ends.
                let second = backend(&other, "BEGIN; SELECT pg_backend_pid()").await?;
                let shared =
                    second == before || backend(&one, "SELECT pg_backend_pid()").await? != before;
                other.batch_execute("ROLLBACK").await.map(|()| shared)
            });
            if looked.await.map_err(|failed| failed.told("looking for a proxy"))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A connection outside the pool, driven until it is dropped.
    async fn session(&self) -> Result<Client> {
        let (client, mut messages) = self.dial().await?;
        tokio::spawn(async move { while let Some(Ok(_)) = messages.next().await {} });
        Ok(client)
    }

    pub(super) fn tries(&self) -> Tries<'_> {
        Tries { gate: &self.gate, done: 0 }
    }

    /// Looks which database this is, for the first time; see [`Known`].
    pub(super) async fn meet(&self) -> Result<Met> {
        let connection = self.get().await?;
        let met = self.known.meet(&connection, &self.schema).await;
        met.map_err(|error| Failed::from(error).told("looking which database this is"))
    }

    /// See [`Known::era`].
    pub(super) fn era(&self) -> u64 {
        self.known.era()
    }

    pub(super) fn close(&self) {
        self.made.close();
    }
}

/// The backend that answers.
async fn backend(session: &Client, ask: &str) -> Result<Option<String>, tokio_postgres::Error> {
    let answers = session.simple_query(ask).await?;
    let pid = answers.iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(pid.map(str::to_owned))
}

/// The database did not let us in, or could not be reached.
fn refused(error: tokio_postgres::Error) -> Error {
    if let Some(told) = error.as_db_error() {
        return fault::explain("connecting", told).caused_by(error);
    }
    // The driver's own words say where it failed, and only their root says why.
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let root = causes.last().map_or_else(|| error.to_string(), ToString::to_string);
    let text = if fault::is_away(&error) {
        format!(
            "connecting: the database cannot be reached ({root}); look at its URL, and whether it \
             runs"
        )
    } else {
        format!(
            "connecting: no agreement with the database on how to talk ({root}); look at user, \
             password and sslmode in its URL, and whether it has TLS (ssl = on)"
        )
    };
    Error::new(Code::Unavailable, text).retry_after(Duration::from_secs(1)).caused_by(error)
}

/// The tries of one call.
pub(super) struct Tries<'a> {
    gate: &'a Gate,
    done: u32,
}

impl Tries<'_> {
    /// Waits until it may be tried again.
    ///
    /// # Errors
    /// It may not, and this is what to tell.
    pub(super) async fn again(&mut self, verb: &'static str, failed: Failed) -> Result<()> {
        let error = match fault::judge(verb, failed) {
            Verdict::Tell(error) => return Err(error),
            Verdict::Again(error) => error,
        };
        self.done += 1;
        if self.done >= TRIES_MAX {
            return Err(error);
        }
        tracing::debug!(verb, error = format!("{error:#}"), tries = self.done, "tried again");
        self.gate.pause(PAUSE * 2_u32.pow(self.done)).await;
        Ok(())
    }
}

/// Lets those through who want to connect: all of them while that succeeds, one at a time and ever
/// more slowly while it fails.
struct Gate {
    one: Semaphore,
    failures: AtomicU32,
    pace: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Gate {
    fn is_down(&self) -> bool {
        self.failures.load(Ordering::Relaxed) > 0
    }

    /// Half of a pause to all of it.
    async fn pause(&self, most: Duration) {
        let half = most / 2;
        let more = self.entropy.up_to(u64::try_from(half.as_micros()).unwrap_or(u64::MAX));
        self.pace.sleep(half + Duration::from_micros(more)).await;
    }

    async fn through<T>(
        &self,
        connect: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, tokio_postgres::Error> {
        let failures = self.failures.load(Ordering::Relaxed);
        let turn = if failures == 0 { None } else { self.one.acquire().await.ok() };
        // Somebody may have come through while this one waited for its turn.
        let failures = self.failures.load(Ordering::Relaxed);
        if turn.is_some() && failures > 0 {
            let grown = OUTAGE_PAUSE * 2_u32.pow(failures.min(8));
            self.pause(grown.min(OUTAGE_PAUSE_MAX)).await;
        }
        let made = connect.await;
        match &made {
            Ok(_) => self.failures.store(0, Ordering::Relaxed),
            Err(_) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        made
    }
}

/// How the pool connects.
struct Paced {
    tls: MakeRustlsConnect,
    gate: Arc<Gate>,
    settings: &'static str,
    known: Arc<Known>,
    schema: String,
}

type Connected = Result<(Client, JoinHandle<()>), tokio_postgres::Error>;

impl Connect for Paced {
    fn connect(&self, config: &Config) -> Pin<Box<dyn Future<Output = Connected> + Send + '_>> {
        let config = config.clone();
        Box::pin(async move {
            let made = self.gate.through(config.connect(self.tls.clone())).await;
            let (client, connection) = made?;
            let driver = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the database was lost");
                }
            });
            client.batch_execute(self.settings).await?;
            // It may lead to another database than the last one did.
            if self.known.is_some() {
                self.known.meet(&client, &self.schema).await?;
            }
            Ok((client, driver))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::str::FromStr;

    use futures_util::future::poll_immediate;
    use haulier_core::{ManualClock, SeededEntropy};

    use super::*;

    /// The pauses before each of some attempts, all of which fail.
    async fn pauses(seed: u64) -> Vec<Duration> {
        let clock = ManualClock::new();
        let gate = Gate {
            one: Semaphore::new(1),
            failures: AtomicU32::new(0),
            pace: Arc::new(clock.clone()),
            entropy: Arc::new(SeededEntropy::from_u64(seed)),
        };
        let mut pauses = Vec::new();
        for _ in 0..10 {
            let mut attempt = pin!(gate.through(async { Config::from_str("nonsense") }));
            while poll_immediate(attempt.as_mut()).await.is_none() {
                let pause = clock.next_wake().unwrap();
                pauses.push(pause);
                clock.advance(pause);
            }
        }
        pauses
    }

    #[tokio::test]
    async fn whoever_meets_a_database_that_is_down_comes_back_ever_later_and_not_with_others() {
        let (one, other) = (pauses(1).await, pauses(2).await);
        assert_eq!(one.len(), 9, "only the first comes at once");
        assert!(one.iter().all(|pause| *pause <= OUTAGE_PAUSE_MAX), "{one:?}");
        assert!(one[8] >= OUTAGE_PAUSE_MAX / 2 && one[0] <= 2 * OUTAGE_PAUSE, "{one:?}");
        assert!(one.iter().zip(&other).all(|(one, other)| one != other), "{one:?} {other:?}");
    }
}
