//! The processes of the quickstart: one server on an embedded store, three workers, and what is
//! done to them. They are real: other processes, a socket between them, and SIGKILL.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use haulier_core::Clock;

use crate::child::Process;
use crate::exit::Result;

/// How many worker processes there are.
pub const WORKERS: usize = 3;
/// Tasks that each runs at a time.
pub const CONCURRENCY: u32 = 8;

/// The server and the workers.
#[derive(Debug)]
pub struct Crew {
    clock: Arc<dyn Clock>,
    dir: PathBuf,
    server: Process,
    workers: Vec<Process>,
    /// Where the API listens.
    pub url: String,
}

impl Crew {
    /// Starts everybody; data, logs and ledgers go below `dir`.
    pub async fn start(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let (server, url) = start_server(dir, "127.0.0.1:0", &*clock).await?;
        let mut crew = Self { clock, dir: dir.to_owned(), server, workers: Vec::new(), url };
        for number in 0..WORKERS {
            let worker = crew.start_worker(number).await?;
            crew.workers.push(worker);
        }
        Ok(crew)
    }

    /// Kills a worker as a power cut would, and starts another in its place. Returns whom it hit.
    pub async fn replace_worker(&mut self, number: usize) -> Result<u32> {
        let killed = self.workers[number].id();
        self.workers[number].kill().await?;
        self.workers[number] = self.start_worker(number).await?;
        Ok(killed)
    }

    /// Kills the server and starts it again on the same port and data. Returns whom it hit and how
    /// long it was away.
    pub async fn restart_server(&mut self) -> Result<(u32, Duration)> {
        let killed = self.server.id();
        let before = self.clock.monotonic();
        self.server.kill().await?;
        let address = self.url.trim_start_matches("http://").to_owned();
        let (server, url) = start_server(&self.dir, &address, &*self.clock).await?;
        (self.server, self.url) = (server, url);
        Ok((killed, self.clock.monotonic().saturating_sub(before)))
    }

    /// Tells of a process that ended without being asked to.
    pub fn check(&mut self) -> Result<()> {
        let mut all = std::iter::once(&mut self.server).chain(&mut self.workers);
        all.try_for_each(Process::check)
    }

    /// Lets the workers drain and end.
    pub async fn dismiss_workers(&mut self) -> Result<()> {
        for mut worker in self.workers.drain(..) {
            worker.stop(&*self.clock).await?;
        }
        Ok(())
    }

    /// Stops the server in good order.
    pub async fn stop_server(mut self) -> Result<()> {
        self.server.stop(&*self.clock).await
    }

    /// Lets the server live on; says which process it is.
    pub async fn keep_server(self) -> Result<u32> {
        self.server.keep().await
    }

    /// Where the workers' ledgers are; one that never started has none.
    pub fn ledgers(&self) -> impl Iterator<Item = PathBuf> {
        (0..WORKERS).map(|number| ledger(&self.dir, number))
    }

    async fn start_worker(&self, number: usize) -> Result<Process> {
        let (ledger, concurrency) = (ledger(&self.dir, number), CONCURRENCY.to_string());
        let args = [
            "quickstart-worker".as_ref(),
            "--url".as_ref(),
            self.url.as_ref(),
            "--concurrency".as_ref(),
            concurrency.as_ref(),
            "--ledger".as_ref(),
            ledger.as_os_str(),
        ];
        let log = self.dir.join(format!("worker-{}.log", number + 1));
        let mut worker = Process::start("worker", args, &log)?;
        worker.line(&*self.clock).await?;
        Ok(worker)
    }
}

/// A replaced worker goes on with the ledger of the one before it.
fn ledger(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("worker-{}.ledger", number + 1))
}

async fn start_server(dir: &Path, listen: &str, clock: &dyn Clock) -> Result<(Process, String)> {
    Process::start_server(&dir.join("data"), listen, &dir.join("server.log"), clock).await
}
