//! A master, its replica, and three sentinels that watch over both.

use std::path::Path;
use std::time::Duration;

use haulier_core::{Clock as _, SystemClock};

use super::redis::RedisServer;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(5);
const POLL: Duration = Duration::from_millis(50);

/// Waits until something holds.
///
/// # Errors
/// It does not, for minutes.
pub(super) async fn until(what: &str, holds: impl Fn() -> bool) -> Result<(), String> {
    let clock = SystemClock::new();
    while !holds() {
        if clock.monotonic() > PATIENCE {
            return Err(format!("in vain: {what}"));
        }
        clock.sleep(POLL).await;
    }
    Ok(())
}

/// Whether what was written to one has reached the other.
pub(super) fn has_all_of(replica: &RedisServer, master: &RedisServer) -> bool {
    let field = |server: &RedisServer, name: &str| {
        let info = server.ask("INFO replication").unwrap_or_default();
        info.lines().find_map(|line| Some(line.strip_prefix(name)?.to_owned()))
    };
    let sent = field(master, "master_repl_offset:");
    field(replica, "master_link_status:").as_deref() == Some("up")
        && sent.is_some()
        && field(replica, "slave_repl_offset:") == sent
}

/// Two Redis, one of which is the master, and their sentinels.
#[derive(Debug)]
pub struct RedisTrio {
    /// The first one is the master at the beginning.
    pub servers: Vec<RedisServer>,
    /// All three.
    pub sentinels: Vec<RedisServer>,
}

impl RedisTrio {
    /// Starts everything in this directory, and waits until everybody knows everybody.
    ///
    /// # Errors
    /// What somebody said.
    pub async fn create(dir: &Path) -> Result<Self, String> {
        let master = RedisServer::create(&dir.join("master"), "").await?;
        let port = master.port();
        let more = format!("replicaof 127.0.0.1 {port}\nrepl-diskless-sync-delay 0");
        let replica = RedisServer::create(&dir.join("replica"), &more).await?;
        let watch = format!(
            "sentinel monitor main 127.0.0.1 {port} 2\n\
             sentinel down-after-milliseconds main 600000\nsentinel failover-timeout main 10000"
        );
        let mut sentinels = Vec::new();
        for number in 0..3 {
            let dir = dir.join(format!("sentinel{number}"));
            sentinels.push(RedisServer::create_sentinel(&dir, &watch).await?);
        }
        let trio = Self { servers: vec![master, replica], sentinels };
        until("sentinels know each other and the replica", || {
            trio.sentinels.iter().all(|sentinel| {
                let asked = |command: &str| sentinel.ask(command).unwrap_or_default();
                asked("SENTINEL CKQUORUM main").starts_with("+OK 3 usable")
                    && asked("SENTINEL REPLICAS main").starts_with("*1")
            })
        })
        .await?;
        trio.synced().await?;
        Ok(trio)
    }

    /// The master's place among the servers, as all sentinels that answer say it.
    pub fn master(&self) -> Option<usize> {
        let mut said = self.sentinels.iter().filter_map(|sentinel| self.says(sentinel));
        let first = said.next()?;
        said.all(|other| other == first).then_some(first)
    }

    fn says(&self, sentinel: &RedisServer) -> Option<usize> {
        let answer = sentinel.ask("SENTINEL GET-MASTER-ADDR-BY-NAME main").ok()?;
        let port: u16 = answer.lines().nth(4)?.parse().ok()?;
        self.servers.iter().position(|server| server.port() == port)
    }

    /// Waits until the replica has all that the master has.
    ///
    /// # Errors
    /// It gets nothing, for minutes.
    pub async fn synced(&self) -> Result<(), String> {
        until("the replica has everything", || {
            let Some(master) = self.master() else { return false };
            has_all_of(&self.servers[1 - master], &self.servers[master])
        })
        .await
    }

    /// Orders a failover, and waits until this one is the master, and everybody says so. A sentinel
    /// that finds out by itself believes a replica only for some time, by the clock: on a slow
    /// machine it would find none.
    ///
    /// # Errors
    /// It does not become it, for minutes.
    pub async fn promote(&self, server: usize) -> Result<(), String> {
        until("the replica is promoted", || {
            let said = self.servers[server].ask("ROLE").unwrap_or_default();
            if self.master() == Some(server) && said.contains("master") {
                return true;
            }
            if self.says(&self.sentinels[0]) != Some(server) {
                // It may be at it already, or not have heard of the replica lately.
                drop(self.sentinels[0].ask("SENTINEL FAILOVER main"));
            }
            false
        })
        .await
    }

    /// Where the sentinels are, as a URL.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.sentinels.iter().map(Self::host).collect();
        format!("redis+sentinel://{}/main/0", hosts.join(","))
    }

    fn host(sentinel: &RedisServer) -> String {
        format!("127.0.0.1:{}", sentinel.port())
    }
}
