//! The worker process of the quickstart: what any worker looks like, with a ledger before its
//! queue.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use haulier::{Task, TaskError, Worker};
use haulier_core::Clock;
use haulier_server::config::LogFormat;
use serde::{Deserialize, Serialize};

use super::account::Digested;
use super::files;
use super::ledger::Ledger;
use crate::exit::{Exit, Failed, Result};
use crate::{child, connect, output, signals};

/// Short, so that a lease that was out when the server died is not waited for half a minute.
const TTL: Duration = Duration::from_secs(3);

/// One file to be read.
#[derive(Debug, Serialize, Deserialize, Task)]
#[task(kind = "quickstart.digest", queue = "quickstart", output = Digested)]
pub struct DigestFile {
    /// Where it is.
    pub path: String,
}

/// The handler. Whatever keeps a file from being read now will keep it from being read later.
#[expect(clippy::needless_pass_by_value, reason = "a handler owns its task")]
fn digest_file(task: DigestFile) -> Result<Digested, TaskError> {
    match files::digest(Path::new(&task.path)) {
        Ok((sha256, bytes)) => Ok(Digested { sha256, bytes }),
        Err(error) => Err(TaskError::reject(format!("{}: {error}", task.path))),
    }
}

/// Runs one worker process of the quickstart.
#[derive(Debug, clap::Args)]
pub struct WorkerArgs {
    #[command(flatten)]
    server: connect::Server,
    /// The file that takes every accepted completion
    #[arg(long)]
    ledger: PathBuf,
    /// Tasks at a time
    #[arg(long)]
    concurrency: u32,
}

impl WorkerArgs {
    /// Runs the command.
    pub async fn run(self, clock: Arc<dyn Clock>) -> Result<Exit> {
        // What is worth a line here is what goes wrong; it is read when the quickstart fails.
        haulier_server::logs::init(LogFormat::Json, "warn")
            .map_err(|why| Failed::new(Exit::Bug, why))?;
        let (end, parent_gone) = (signals::end()?, child::leash());
        let path = self.ledger;
        let client = self.server.builder()?.clock(clock).open().await?;
        let ledger = Ledger::open(client.queue(), &path)
            .map_err(|error| Failed::io(path.display(), &error))?;
        let mut link = haulier::Link::from(&client);
        link.queue = Arc::new(ledger);
        let worker = Worker::new(link)
            .queue("quickstart")
            .concurrency(self.concurrency)
            .ttl(TTL)
            .register_blocking(digest_file);
        output::line(format_args!("ready"))?;
        tokio::select! {
            ended = worker.run_until(end) => ended?,
            () = parent_gone.cancelled() => {}
        }
        Ok(Exit::Done)
    }
}
