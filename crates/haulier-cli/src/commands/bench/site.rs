//! Where a round takes place: a server or a store, opened for it, with clients connected. Our own
//! ones are new for each round, on an empty directory, so that no round finds what an earlier one
//! left behind; somebody else's is taken as it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use haulier::store::{StoreOptions, open};
use haulier::{Builder, Client, ClientParts, janitor, system_entropy};
use haulier_core::{Capabilities, Clock, Kind, QueueName, Store};
use haulier_embedded::disk::{Counting, Disk, RealDisk};
use haulier_embedded::{EmbeddedStore, Options, disk};
use tokio::sync::Semaphore;

use super::run::{PATIENCE, Progress, Run, Traffic};
use super::trace::{Counts, Trace};
use super::usage::Usage;
use crate::child::Process;
use crate::exit::{Exit, Failed, Result};

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A server of this program, as a child process on an embedded store.
    Own,
    /// An embedded store in this process.
    InProcess,
    /// Somebody else's server, or a store in this process, by URL.
    Url(String),
}

/// What every site of a benchmark has in common.
#[derive(Debug)]
pub struct Ground {
    /// What is measured.
    pub target: Target,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where directories are made.
    pub dir: PathBuf,
    /// Clients, each with a connection of its own.
    pub connections: usize,
    /// Bytes of a payload, unless the workload wants others.
    pub payload_bytes: usize,
    /// Sites that there were.
    pub opened: AtomicU32,
}

/// One round's place.
pub struct Site {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Connected clients.
    pub clients: Vec<Client>,
    /// Bytes of a payload.
    pub payload_bytes: usize,
    /// How long nothing may happen until what is missing is given up.
    pub patience: Duration,
    /// Calls of this round.
    pub traffic: Arc<Traffic>,
    connections: usize,
    host: Host,
}

/// Who does the work.
enum Host {
    Server(Box<Server>),
    Embedded(EmbeddedStore, Arc<disk::Counts>),
    /// A store in this process that counts nothing, or a server or database that is not ours.
    Other(&'static str),
}

/// A server of our own.
struct Server {
    process: Process,
    dir: PathBuf,
    trace: Option<Trace>,
}

impl Target {
    /// Where the clients are, for whoever reads the figures.
    pub fn clients(&self) -> String {
        match self {
            Self::Own => "another process on the same machine".to_owned(),
            Self::Url(url) if self.is_remote() => format!("connected to {url}"),
            Self::InProcess | Self::Url(_) => "the store's own process".to_owned(),
        }
    }

    /// Whether a server that is not ours stands between this process and the store.
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::Url(url) if url.starts_with("http"))
    }
}

impl Ground {
    /// Opens a site; a traced one counts what its server does to the disk.
    pub async fn site(&self, traced: bool) -> Result<Site> {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let dir = self.dir.join(format!("site-{number}"));
        let make = |dir: &Path| {
            std::fs::create_dir_all(dir).map_err(|error| Failed::io(dir.display(), &error))
        };
        match &self.target {
            Target::Own => {
                make(&dir)?;
                let trace = traced.then(|| Trace::new(&dir.join("trace")));
                let (server, url) = Server::start(dir, trace, &*self.clock).await?;
                let clients = connect(&url, self.connections, &self.clock, false).await?;
                Ok(self.at(Host::Server(Box::new(server)), clients))
            }
            Target::InProcess => self.embedded(&dir.join("data")).await,
            Target::Url(url) => match url.split_once(':') {
                Some(("file", path)) if !path.is_empty() => self.embedded(Path::new(path)).await,
                Some(("http" | "https", _)) => {
                    let clients = connect(url, self.connections, &self.clock, true).await?;
                    Ok(self.at(Host::Other("the server is not ours to trace"), clients))
                }
                Some(("memory", _)) => self.opened(url, "nothing is written").await,
                _ => self.opened(url, "the database is not ours to trace").await,
            },
        }
    }

    /// The embedded store as its engine is: no wire, no layers.
    async fn embedded(&self, path: &Path) -> Result<Site> {
        let disk = RealDisk::create(path).map_err(|error| Failed::io(path.display(), &error))?;
        let disk = Counting::new(disk);
        let (counts, disk) = (disk.counts(), disk.shared());
        let options = Options::new(Arc::clone(&self.clock));
        let opened = tokio::task::spawn_blocking(move || open_on(&disk, options)).await;
        let store = opened.map_err(|error| Failed::new(Exit::Bug, error.to_string()))??;
        let shared: Arc<dyn Store> = Arc::new(store.clone());
        drop(janitor::spawn(&shared, Arc::clone(&self.clock)));
        let clients = self.clients_of(&shared)?;
        Ok(self.at(Host::Embedded(store, counts), clients))
    }

    /// A store that counts nothing itself.
    async fn opened(&self, url: &str, not_counted: &'static str) -> Result<Site> {
        let options = StoreOptions { clock: Arc::clone(&self.clock), ..StoreOptions::default() };
        let opened = open(url, options).await.map_err(haulier_core::Error::from)?;
        drop(janitor::spawn(&opened.store, Arc::clone(&self.clock)));
        let clients = self.clients_of(&opened.store)?;
        Ok(self.at(Host::Other(not_counted), clients))
    }

    fn clients_of(&self, store: &Arc<dyn Store>) -> Result<Vec<Client>> {
        let client = |_| {
            Ok(Client::from_parts(ClientParts {
                queue: store.clone(),
                inspect: Some(store.clone()),
                control: Some(store.clone()),
                clock: Arc::clone(&self.clock),
                entropy: system_entropy()?,
                store: None,
            }))
        };
        (0..self.connections).map(client).collect()
    }

    fn at(&self, host: Host, clients: Vec<Client>) -> Site {
        Site {
            clock: Arc::clone(&self.clock),
            clients,
            payload_bytes: self.payload_bytes,
            patience: PATIENCE,
            traffic: Arc::default(),
            connections: self.connections,
            host,
        }
    }
}

fn open_on(disk: &Arc<dyn Disk>, options: Options) -> Result<EmbeddedStore> {
    Ok(EmbeddedStore::open_on(disk, options)?)
}

/// Connects; `secrets` of the environment are for other people's servers.
async fn connect(
    url: &str,
    count: usize,
    clock: &Arc<dyn Clock>,
    secrets: bool,
) -> Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        let builder = if secrets { Builder::from_env()?.url(url) } else { Builder::new(url) };
        clients.push(builder.clock(Arc::clone(clock)).connections(1).open().await?);
    }
    Ok(clients)
}

impl Site {
    /// A run in a queue of its own: what stands in others is not ours to take.
    pub fn run(&self, name: &str, window: Option<Semaphore>) -> Result<Arc<Run>> {
        let chance = self.client().entropy().up_to(u32::MAX.into());
        Ok(Arc::new(Run {
            clock: Arc::clone(&self.clock),
            queue: QueueName::new(format!("bench-{name}-{chance:08x}"))?,
            kind: Kind::new("bench")?,
            payload_bytes: self.payload_bytes,
            patience: self.patience,
            window,
            traffic: Arc::clone(&self.traffic),
            progress: Progress::default(),
        }))
    }

    /// One of the clients.
    pub fn client(&self) -> &Client {
        &self.clients[0]
    }

    /// A site over anyone's queue, with little patience.
    #[cfg(test)]
    pub fn over(queue: Arc<dyn haulier_core::Queue>) -> Self {
        let client = Client::over(queue).unwrap();
        Self {
            clock: client.clock(),
            clients: vec![client],
            payload_bytes: 16,
            patience: Duration::from_millis(200),
            traffic: Arc::default(),
            connections: 1,
            host: Host::Other("a test"),
        }
    }

    /// What the store says that it can keep.
    pub fn capabilities(&self) -> Capabilities {
        self.client().queue().capabilities()
    }

    /// What was done to the disk so far, or why nobody knows.
    pub fn counts(&mut self) -> Result<std::result::Result<Counts, &'static str>> {
        match &mut self.host {
            Host::Server(server) => match &mut server.trace {
                Some(trace) => {
                    trace.counts().map(Ok).map_err(|error| Failed::io("the trace", &error))
                }
                None => Ok(Err("this round was timed, and not traced")),
            },
            Host::Embedded(_, counts) => {
                let bytes = counts.bytes() + counts.other_bytes();
                Ok(Ok(Counts { syncs: counts.syncs(), bytes }))
            }
            Host::Other(why) => Ok(Err(why)),
        }
    }

    /// The process that does the work, if it is ours and does nothing else.
    pub fn usage(&self) -> Option<Usage> {
        match &self.host {
            Host::Server(server) => Some(Usage::of(server.process.id())),
            Host::Embedded(..) | Host::Other(_) => None,
        }
    }

    /// Ends our server as a power cut would, starts it again and connects anew; answers when it was
    /// started. `None` if there is no server of ours.
    pub async fn kill_and_restart(&mut self) -> Result<Option<Duration>> {
        let Host::Server(server) = &mut self.host else { return Ok(None) };
        server.process.kill().await?;
        self.clients.clear();
        let began = self.clock.monotonic();
        let (again, url) = Server::start(server.dir.clone(), None, &*self.clock).await?;
        **server = again;
        self.clients = connect(&url, self.connections, &self.clock, false).await?;
        Ok(Some(began))
    }

    /// Ends what was opened for this round.
    pub async fn close(self) -> Result<()> {
        drop(self.clients);
        match self.host {
            Host::Server(mut server) => {
                server.process.stop(&*self.clock).await?;
                let dir = server.dir;
                std::fs::remove_dir_all(&dir).map_err(|error| Failed::io(dir.display(), &error))
            }
            Host::Embedded(store, _) => Ok(store.close().await?),
            Host::Other(_) => Ok(()),
        }
    }
}

impl Server {
    async fn start(
        dir: PathBuf,
        trace: Option<Trace>,
        clock: &dyn Clock,
    ) -> Result<(Self, String)> {
        let (data, log) = (dir.join("data"), dir.join("server.log"));
        let by = trace.as_ref().map(Trace::prefix).unwrap_or_default();
        let (process, url) =
            Process::start_server_by(by, &data, "127.0.0.1:0", &log, clock).await?;
        Ok((Self { process, dir, trace }, url))
    }
}
