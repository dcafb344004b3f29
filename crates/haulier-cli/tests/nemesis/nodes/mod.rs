//! The matrix for many servers on one database: its columns P (PostgreSQL) and R (Redis). Three
//! real servers, a real database, clients that go to any of them.
//!
//! Nothing that a server has acknowledged may depend on that server, and the database forgets
//! nothing when it is killed: so the history names no store that crashed, and the checker excuses
//! no lost lease. Only a failover (`failover.rs`) may lose, and says so.

use std::time::Duration;

use haulier::Client;
use haulier_core::{QueueName, SettingsPatch};
use haulier_sim::history::Fault;
use haulier_sim::nemesis::{Load, PgServer, Proxy, QUEUES, RedisServer, Seen, Shape};
use rustix::process::Signal;

use crate::kit::{connect, full, rest, seed, until};
use crate::site::{PORT, Running, Setup, Site};

mod backend;
mod database;
mod failover;
mod link;
mod redis;
mod servers;
mod shared;
mod wake;

pub use backend::Backend;

/// The name of the database in a history.
pub const DATABASE: &str = "database";

/// A ttl that is soon over, for whoever is lost with a server.
pub const TTL: Duration = Duration::from_secs(2);

/// Servers on one PostgreSQL.
pub type Nodes = Fleet<PgServer>;
/// Servers on one Redis.
pub type OnRedis = Fleet<RedisServer>;

/// Servers on one database.
pub struct Fleet<D> {
    pub site: Site,
    pub db: D,
    pub servers: Vec<Running>,
    /// Servers tell each other what is new.
    notify: bool,
}

impl<D: Backend> Fleet<D> {
    /// Three servers on a new database; all take calls.
    pub async fn new() -> Self {
        Self::many(3).await
    }

    /// So many servers on a new database.
    pub async fn many(count: u16) -> Self {
        let (site, db) = database::<D>().await;
        let url = db.url();
        Self::on(site, db, &url, count).await
    }

    /// Three servers that reach their database through a proxy.
    pub async fn behind_a_proxy() -> (Self, Proxy) {
        let (site, db) = database::<D>().await;
        let proxy = Proxy::to(([127, 0, 0, 1], db.port()).into()).await.unwrap();
        let url = db.url_at(proxy.address.port());
        (Self::on(site, db, &url, 3).await, proxy)
    }

    /// So many servers on this database, which they know by `url`.
    pub async fn on(site: Site, db: D, url: &str, count: u16) -> Self {
        db.prepare(&site).await;
        let site = site.on(url.to_owned(), (PORT..PORT + count).collect());
        let launch = |port| site.launch_at(port, &Setup::default());
        let mut servers: Vec<_> = (PORT..PORT + count).map(launch).collect();
        for server in &mut servers {
            if let Some(code) = server.ready().await {
                panic!("a server ended with {code:?}: {}", site.said());
            }
        }
        Self { site, db, servers, notify: !url.contains("notify=off") }
    }

    /// A new database, and nobody on it yet but the one whom the test will start.
    pub async fn site() -> (Site, D) {
        let (site, db) = database::<D>().await;
        db.prepare(&site).await;
        let url = db.url();
        (site.on(url, vec![PORT]), db)
    }

    /// A client of all servers: it goes on to the next one when one fails.
    pub async fn client(&self) -> Client {
        connect(&self.site.urls()).await
    }

    /// A producer and a worker for each server, and one producer and one worker who go to any.
    pub async fn load(&self) -> Load {
        self.load_for(TTL).await
    }

    /// The same with leases that last longer.
    pub async fn load_for(&self, ttl: Duration) -> Load {
        // Eight processes are busy with it: it leaves them time, and in the long form no more comes
        // in than goes out.
        let pause_ms = if full() { 400 } else { 100 };
        self.load_of(Shape { batch: 6, pause_ms, ..Shape::default() }, ttl).await
    }

    /// The same with producers who work so.
    pub async fn load_of(&self, shape: Shape, ttl: Duration) -> Load {
        self.keep_everything().await;
        // Most tasks come to their end in the shortest way, which keeps nothing of their own.
        let shape = Shape { kept: 30, ..shape };
        let mut load = Load::new(seed(), shape);
        for number in 1..=self.servers.len() {
            load.produce(&format!("p{number}"), &connect(&self.site.url()).await);
            load.work(&format!("w{number}"), &connect(&self.site.url()).await, 3, ttl);
        }
        load.produce("p0", &self.client().await);
        load.work("w0", &self.client().await, 3, ttl);
        load
    }

    /// What has ended stays until it was read.
    async fn keep_everything(&self) {
        let patch = SettingsPatch {
            retain_completed: Some(Duration::from_hours(24)),
            retain_completed_count: Some(10_000_000),
            ..SettingsPatch::default()
        };
        let control = self.client().await.control().unwrap();
        for queue in QUEUES {
            control.configure(QueueName::new(queue).unwrap(), patch.clone()).await.unwrap();
        }
    }

    /// Kills a server and starts it again after a while.
    pub async fn strike(&mut self, load: &Load, at: usize, down: Duration) {
        let name = name(at);
        load.recorder.fault(&name, Fault::Crash);
        self.servers[at].signal(Signal::KILL);
        rest(down).await;
        self.revive(at).await;
        self.listen().await;
        load.recorder.heal(&name, Fault::Crash);
    }

    /// Starts a server again that has ended, or is about to.
    pub async fn revive(&mut self, at: usize) {
        self.servers[at].ended().await;
        let port = PORT + u16::try_from(at).unwrap();
        self.servers[at] = self.site.launch_at(port, &Setup::default());
        if let Some(code) = self.servers[at].ready().await {
            panic!("{} ended with {code:?}: {}", name(at), self.site.said());
        }
    }

    /// Kills all of the database and starts it again after a while.
    pub async fn strike_database(&mut self, load: &Load, down: Duration) {
        load.recorder.fault(DATABASE, Fault::Crash);
        self.db.kill();
        rest(down).await;
        self.db.start().await.unwrap();
        self.listen().await;
        load.recorder.heal(DATABASE, Fault::Crash);
    }

    /// Waits until every server has found back to the database, and hears of news again.
    pub async fn listen(&self) {
        if !self.notify {
            return;
        }
        let all = self.servers.len();
        until("all servers listen", || {
            std::future::ready(self.db.listeners().is_some_and(|count| count >= all))
        })
        .await;
    }

    /// The end of a run: everything ends; all is read; database and servers are killed and started
    /// again; all is read again, and is the same; the history is judged.
    pub async fn finish(mut self, name: &str, mut load: Load) {
        let before = self.drained(&mut load).await;
        load.recorder.fault(DATABASE, Fault::Crash);
        self.db.kill();
        for server in &self.servers {
            server.signal(Signal::KILL);
        }
        self.db.start().await.unwrap();
        for at in 0..self.servers.len() {
            self.revive(at).await;
        }
        load.recorder.heal(DATABASE, Fault::Crash);
        let after = load.read(&self.client().await).await.unwrap();
        assert!(before == after, "I1, I12: what is read differs after a restart");
        load.dismiss().await.unwrap();
        let totals = load.verdict().unwrap_or_else(|why| panic!("{why}\n{}", self.site.said()));
        assert!(totals.tasks > 0, "nothing was handed over");
        println!("── {name} on {}: {totals}", D::NAME);
    }

    /// Waits until everything is final, and reads it at each server: all say the same.
    pub async fn drained(&self, load: &mut Load) -> Vec<Seen> {
        if let Err(why) = load.drain(&self.client().await).await {
            let verdict = load.verdict();
            panic!("{why}\n{verdict:?}\n{}\n{}", self.site.said(), self.db.said());
        }
        let mut seen = Vec::new();
        for _ in &self.servers {
            let client = connect(&self.site.url()).await;
            seen.push(load.read(&client).await.unwrap());
        }
        seen.dedup();
        assert_eq!(seen.len(), 1, "I12: servers read differently");
        seen.remove(0)
    }
}

/// How a server is called in a history.
pub fn name(at: usize) -> String {
    format!("server {at}")
}

/// A place and an empty database in it.
pub async fn database<D: Backend>() -> (Site, D) {
    let site = Site::new();
    let db = D::create_in(&site).await;
    (site, db)
}
