//! A cluster of three masters, some with a replica.

use std::path::Path;

use super::redis::RedisServer;
use super::redis_trio::{has_all_of, until};

/// Slots of a cluster.
const SLOTS: u16 = 16_384;

/// Three masters, and behind them their replicas.
#[derive(Debug)]
pub struct RedisCluster {
    /// The masters first.
    pub nodes: Vec<RedisServer>,
    /// Whose replica each of the others is.
    replica_of: Vec<usize>,
}

impl RedisCluster {
    /// Starts everything in this directory, with more settings and a replica for each of these
    /// masters, and waits until it serves.
    ///
    /// # Errors
    /// What somebody said.
    pub async fn create(dir: &Path, more: &str, replica_of: &[usize]) -> Result<Self, String> {
        let mut nodes: Vec<(RedisServer, u16)> = Vec::new();
        for number in 0..3 + replica_of.len() {
            let bus = RedisServer::free_port()?;
            let settings = format!(
                "cluster-enabled yes\ncluster-port {bus}\ncluster-node-timeout 3000\n\
                 repl-diskless-sync-delay 0\n{more}"
            );
            let node = RedisServer::create(&dir.join(format!("node{number}")), &settings).await?;
            order(&node, &format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1))?;
            if let Some((first, bus)) = nodes.first() {
                let meet = format!("CLUSTER MEET 127.0.0.1 {} {bus}", first.port());
                order(&node, &meet)?;
            }
            nodes.push((node, bus));
        }
        let nodes: Vec<RedisServer> = nodes.into_iter().map(|(node, _)| node).collect();
        let mut first = 0;
        for (node, last) in nodes.iter().zip([SLOTS / 3, SLOTS / 3 * 2, SLOTS - 1]) {
            order(node, &format!("CLUSTER ADDSLOTSRANGE {first} {last}"))?;
            first = last + 1;
        }
        let cluster = Self { nodes, replica_of: replica_of.to_vec() };
        cluster.serves().await?;
        for (at, master) in replica_of.iter().enumerate() {
            let replica = &cluster.nodes[3 + at];
            let command = format!("CLUSTER REPLICATE {}", id(&cluster.nodes[*master])?);
            until("a replica finds its master", || order(replica, &command).is_ok()).await?;
        }
        cluster.serves().await?;
        cluster.synced().await?;
        Ok(cluster)
    }

    /// Waits until everybody knows everybody, and all slots are served.
    ///
    /// # Errors
    /// That does not come, for minutes.
    pub async fn serves(&self) -> Result<(), String> {
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        until("the cluster serves", || {
            self.nodes.iter().all(|node| {
                let info = node.ask("CLUSTER INFO").unwrap_or_default();
                info.contains("cluster_state:ok") && info.contains(&known)
            })
        })
        .await
    }

    /// Waits until replicas have all that their masters have.
    ///
    /// # Errors
    /// They get nothing, for minutes.
    pub async fn synced(&self) -> Result<(), String> {
        until("the replicas have everything", || {
            let mut pairs = self.replica_of.iter().zip(&self.nodes[3..]);
            pairs.all(|(master, replica)| has_all_of(replica, &self.nodes[*master]))
        })
        .await
    }

    /// Which master a key is at, as this node says.
    pub fn owner(&self, asked: usize, key: &str) -> Option<usize> {
        // Who does not serve it says who does.
        let answer = self.nodes[asked].ask(&format!("TYPE {key}")).ok()?;
        if !answer.starts_with("-MOVED") {
            return Some(asked);
        }
        let port: u16 = answer.trim().rsplit_once(':')?.1.parse().ok()?;
        self.nodes.iter().position(|node| node.port() == port)
    }

    /// Begins to move the slot of a key from one master to another.
    ///
    /// # Errors
    /// What somebody said.
    pub fn begin_to_move(&self, key: &str, from: usize, to: usize) -> Result<u16, String> {
        let asked = self.nodes[from].ask(&format!("CLUSTER KEYSLOT {key}"));
        let answer = asked.map_err(|error| error.to_string())?;
        let slot: u16 = answer.trim().trim_start_matches(':').parse().map_err(|_| answer)?;
        let (from, to) = (&self.nodes[from], &self.nodes[to]);
        order(to, &format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(from)?))?;
        order(from, &format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(to)?))?;
        Ok(slot)
    }

    /// Moves these keys.
    ///
    /// # Errors
    /// What somebody said.
    pub fn move_keys(&self, keys: &[String], from: usize, to: usize) -> Result<(), String> {
        let port = self.nodes[to].port();
        let list = keys.join(" ");
        let said =
            self.nodes[from].ask(&format!("MIGRATE 127.0.0.1 {port} \"\" 0 60000 KEYS {list}"));
        let said = said.map_err(|error| error.to_string())?;
        if said.starts_with("+OK") || said.starts_with("+NOKEY") { Ok(()) } else { Err(said) }
    }

    /// Gives the slot to its new master for good.
    ///
    /// # Errors
    /// What somebody said.
    pub fn end_to_move(&self, slot: u16, to: usize) -> Result<(), String> {
        let command = format!("CLUSTER SETSLOT {slot} NODE {}", id(&self.nodes[to])?);
        order(&self.nodes[to], &command)?;
        (0..3).filter(|at| *at != to).try_for_each(|at| order(&self.nodes[at], &command))
    }

    /// Waits until this node is a master.
    ///
    /// # Errors
    /// It does not become it, for minutes.
    pub async fn promoted(&self, node: usize) -> Result<(), String> {
        until("the replica is promoted", || {
            self.nodes[node].ask("ROLE").unwrap_or_default().contains("master")
        })
        .await
    }

    /// Where all nodes are, as a URL.
    pub fn url(&self) -> String {
        let hosts: Vec<String> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }
}

fn order(node: &RedisServer, command: &str) -> Result<(), String> {
    let said = node.ask(command).map_err(|error| error.to_string())?;
    if said.starts_with("+OK") { Ok(()) } else { Err(format!("{command}: {said}")) }
}

fn id(node: &RedisServer) -> Result<String, String> {
    let said = node.ask("CLUSTER MYID").map_err(|error| error.to_string())?;
    said.lines().nth(1).map(str::to_owned).ok_or(said)
}
