//! Who the master is, and a connection to it. Whoever is connected to has said that it is one: a
//! master that was demoted is never written to, however its address became known.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use haulier_core::{Code, Error};
use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::dial::{Caller, Dialer, Opened};
use super::info::Info;
use super::slots;
use crate::error::OpenError;
use crate::options::{Address, Login, Options, Topology};

/// Before somebody who was not found is looked for again.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// A connection to the master, and what it said when it was made.
pub(crate) struct Session {
    pub address: Address,
    pub caller: Caller,
    pub info: Info,
}

/// What is known of where to look first.
#[derive(Debug, Clone, Default)]
pub(super) struct Hint {
    /// Somebody said that it is there.
    pub at: Option<Address>,
    /// It was there, and is to be asked last.
    pub not_at: Option<Address>,
}

/// Who is asked for the master, for which, and as whom.
pub(super) struct Sentinels<'a> {
    pub at: &'a [Address],
    pub master: &'a str,
    pub login: &'a Login,
}

/// Finds the master.
pub(super) struct Locator {
    pub dialer: Dialer,
    topology: Topology,
    pub login: Login,
    db: i64,
    /// The slot of the store's keys.
    slot: u16,
    /// A cluster's nodes, as they were told last.
    known: Mutex<Vec<Address>>,
}

impl Locator {
    pub fn new(options: &Options, tag: &str) -> Opened<Self> {
        let dialer = Dialer::new(options).map_err(OpenError::Options)?;
        for address in options.topology.seeds() {
            dialer.check(address).map_err(OpenError::Options)?;
        }
        Ok(Self {
            dialer,
            topology: options.topology.clone(),
            login: options.login.clone(),
            db: options.db,
            slot: slots::of_tag(tag),
            known: Mutex::default(),
        })
    }

    /// The sentinels, if it is behind some.
    pub fn sentinels(&self) -> Option<Sentinels<'_>> {
        match &self.topology {
            Topology::Sentinel { sentinels: at, master, login } => {
                Some(Sentinels { at, master, login })
            }
            _ => None,
        }
    }

    /// Connects to the master.
    pub async fn find(&self, hint: &Hint) -> Opened<Session> {
        match &self.topology {
            Topology::Single(address) => self.single(address).await,
            Topology::Sentinel { sentinels, master, login } => {
                self.by_sentinels(sentinels, master, login).await
            }
            Topology::Cluster(seeds) => self.by_slots(seeds, hint).await,
        }
    }

    async fn single(&self, address: &Address) -> Opened<Session> {
        let session = self.meet(address).await?;
        if session.info.is_cluster() {
            return Err(refused(format!(
                "{address} is a node of a cluster: use redis+cluster://, so that the store's keys \
                 are found wherever they are"
            )));
        }
        if session.info.is_master() {
            return Ok(session);
        }
        let master = match session.info.field("master_host") {
            "" => "its master".to_owned(),
            host => format!("its master, {host}:{}", session.info.field("master_port")),
        };
        Err(refused(format!(
            "Redis at {address} is a {}, which takes no writes; connect to {master}, or follow \
             failovers by redis+sentinel://",
            session.info.field("role")
        )))
    }

    /// Connects to whoever is there, and hears what it is.
    pub async fn meet(&self, address: &Address) -> Opened<Session> {
        let caller = self.dialer.caller(address, &self.login, self.db).await?;
        let mut calls = caller.calls.clone();
        calls.set_response_timeout(self.dialer.meet_timeout());
        let asked = redis::cmd("INFO").query_async(&mut calls).await;
        let info = Info::new(asked.map_err(|error| self.dialer.refused(address, error))?);
        if info.is_sentinel() {
            return Err(refused(format!(
                "{address} is a sentinel: use redis+sentinel://{address}/MASTER, with the name in \
                 `sentinel monitor`"
            )));
        }
        Ok(Session { address: address.clone(), caller, info })
    }

    /// Asks sentinels until more than half have answered. Who has seen the latest failover is
    /// right.
    async fn by_sentinels(
        &self,
        sentinels: &[Address],
        master: &str,
        login: &Login,
    ) -> Opened<Session> {
        let asking = sentinels.iter().map(|at| self.ask_sentinel(at, master, login));
        let mut asking: FuturesUnordered<_> = asking.collect();
        let (mut told, mut unknown, mut failed) = (Vec::new(), 0, None);
        while let Some(answer) = asking.next().await {
            match answer {
                Ok(Some(answer)) => told.push(answer),
                Ok(None) => unknown += 1,
                Err(error) => failed = Some(worse(failed, error)),
            }
            if told.len() > sentinels.len() / 2 {
                break;
            }
        }
        drop(asking);
        let Some((_, address)) = told.into_iter().max_by_key(|(epoch, _)| *epoch) else {
            return Err(match failed {
                Some(error) if unknown == 0 => error,
                _ => refused(format!(
                    "no sentinel knows a master {master:?}: its name is that in `sentinel \
                     monitor`, and stands behind the sentinels in the URL"
                )),
            });
        };
        self.master_at(&address, "as sentinels say").await
    }

    /// The address of the master, and how many failovers this sentinel knows of; nothing if it
    /// knows no such master.
    async fn ask_sentinel(
        &self,
        at: &Address,
        master: &str,
        login: &Login,
    ) -> Opened<Option<(u64, Address)>> {
        let caller = self.dialer.caller(at, login, 0).await?;
        let mut calls = caller.calls.clone();
        calls.set_response_timeout(self.dialer.meet_timeout());
        let failed = |error: RedisError| match error.kind() {
            ErrorKind::Server(ServerErrorKind::ResponseError) => refused(format!(
                "{at} is no sentinel ({error}); sentinels listen on 26379, and of their own"
            )),
            _ => self.dialer.refused(at, error),
        };
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        let answer: Option<(String, u16)> = ask.query_async(&mut calls).await.map_err(failed)?;
        let Some((host, port)) = answer else { return Ok(None) };
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("MASTER").arg(master);
        let fields: Vec<String> = ask.query_async(&mut calls).await.map_err(failed)?;
        let mut pairs = fields.chunks_exact(2);
        let epoch = pairs.find(|pair| pair[0] == "config-epoch");
        let epoch = epoch.and_then(|pair| pair[1].parse().ok()).unwrap_or_default();
        Ok(Some((epoch, Address::Tcp { host, port })))
    }

    /// Connects to somebody of whom others say that it is the master. If it is not, that will be
    /// over before long.
    async fn master_at(&self, address: &Address, who_says: &str) -> Opened<Session> {
        let session = self.meet(address).await?;
        if session.info.is_master() {
            return Ok(session);
        }
        let role = session.info.field("role");
        let text = format!(
            "{address} should be the master, {who_says}, but says that it is a {role}: a failover \
             is going on; try again"
        );
        Err(OpenError::Away(Error::new(Code::Unavailable, text)))
    }

    /// Asks nodes of a cluster who serves our slot, until one is right.
    async fn by_slots(&self, seeds: &[Address], hint: &Hint) -> Opened<Session> {
        let mut failed = None;
        for address in self.candidates(seeds, hint) {
            match Box::pin(self.by_slots_of(&address)).await {
                Ok(session) => return Ok(session),
                Err(error) => failed = Some(worse(failed, error)),
            }
        }
        Err(failed.unwrap_or_else(|| refused("no node of the cluster is known".to_owned())))
    }

    fn candidates(&self, seeds: &[Address], hint: &Hint) -> Vec<Address> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut candidates: Vec<Address> = Vec::new();
        for address in hint.at.iter().chain(&known).chain(seeds) {
            if !candidates.contains(address) {
                candidates.push(address.clone());
            }
        }
        if let Some(last) = &hint.not_at {
            candidates.sort_by_key(|address| address == last);
        }
        candidates
    }

    async fn by_slots_of(&self, address: &Address) -> Opened<Session> {
        let session = self.meet(address).await?;
        if !session.info.is_cluster() {
            return Err(refused(format!(
                "{address} is no node of a cluster (cluster-enabled is no): use redis://{address}"
            )));
        }
        let mut ask = redis::cmd("CLUSTER");
        ask.arg("SLOTS");
        let mut calls = session.caller.calls.clone();
        calls.set_response_timeout(self.dialer.meet_timeout());
        let answer = ask.query_async(&mut calls).await;
        let answer = answer.map_err(|error| self.dialer.refused(address, error))?;
        let Some(ranges) = slots::read(&answer, address) else {
            return Err(refused(format!("{address} does not say who serves which slots")));
        };
        let nodes = slots::nodes(&ranges);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = nodes;
        let slot = self.slot;
        match slots::master(&ranges, slot) {
            Some(master) if master == address && session.info.is_master() => Ok(session),
            Some(master) => {
                let master = master.clone();
                drop(session);
                self.master_at(&master, "as the cluster says").await
            }
            None => Err(refused(format!(
                "nobody in the cluster serves slot {slot}, where the store's keys are: see \
                 `redis-cli --cluster check {address}` and `--cluster fix`"
            ))),
        }
    }
}

fn refused(text: String) -> OpenError {
    OpenError::Refused(Error::new(Code::Unavailable, text))
}

/// Of several failures the one that tells more: what will not pass by itself.
fn worse(one: Option<OpenError>, other: OpenError) -> OpenError {
    match one {
        Some(one) if !matches!(one, OpenError::Away(_)) => one,
        _ => other,
    }
}
