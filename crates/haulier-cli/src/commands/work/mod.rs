//! `haulier work --exec`: any program as a worker, in any language, without a library.

mod program;

use std::sync::Arc;
use std::time::Duration;

use haulier::{Link, Worker};
use haulier_core::{Clock, Kind, QueueName};
use haulier_server::config::LogFormat;

use self::program::{Program, run_program};
use crate::exit::{Exit, Failed, Result};
use crate::{connect, span};

/// Runs a program for each task.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  haulier work --kind hello --exec cat
  haulier work -q mail --kind email.send -c 4 --exec './send-email --from us@example.com'

The payload comes on standard input, never in the command line. In the environment: HAULIER_TASK_ID,
HAULIER_KIND, HAULIER_QUEUE, HAULIER_ATTEMPT, HAULIER_EPOCH, and TRACEPARENT if the task has one.

Exit code 0 completes the task: standard output is its result. 65 rejects it: it is dead at once. Any
other fails it, with the last words on standard error, and it is tried again. When the task is
cancelled or its timeout is over, the program and its children get SIGTERM, and SIGKILL 5 s later.

SIGTERM lets the running programs finish, then ends the worker; a second one hands their tasks back.")]
pub struct Args {
    /// A queue to serve; may be repeated
    #[arg(short, long = "queue", value_name = "QUEUE", default_value = "default")]
    queues: Vec<QueueName>,
    /// A kind to do; may be repeated, every kind if left out
    #[arg(short, long = "kind", value_name = "KIND")]
    kinds: Vec<Kind>,
    /// The program and its arguments, read by a shell
    #[arg(long, value_name = "CMD", value_parser = command)]
    exec: String,
    /// Programs that run at a time
    #[arg(short, long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: u32,
    /// What a lease lasts without a sign of life: how soon the tasks of a crashed worker are done
    /// again
    #[arg(long, value_name = "DURATION", value_parser = span, default_value = "30s")]
    ttl: Duration,
    /// How long programs may go on once the worker shall stop
    #[arg(long, value_name = "DURATION", value_parser = span, default_value = "25s")]
    drain_timeout: Duration,
    /// What is logged
    #[arg(
        long,
        env = "HAULIER_LOG",
        value_name = "LEVEL",
        default_value = "info",
        hide_env = true
    )]
    log_level: String,
    #[command(flatten)]
    server: connect::Server,
}

/// Reads a shell command. A shell does nothing of a blank one and calls that a success: every task
/// would be completed undone.
fn command(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() {
        return Err("it is blank; name the program that does the task");
    }
    Ok(text.to_owned())
}

impl Args {
    /// Runs the command.
    pub async fn run(self, clock: Arc<dyn Clock>) -> Result<Exit> {
        haulier_server::logs::init(LogFormat::Auto, &self.log_level)
            .map_err(|why| Failed::new(Exit::Usage, format!("--log-level: {why}")))?;
        let client = self.server.builder()?.clock(clock).open().await?;
        let result_bytes_max = client.queue().capabilities().payload_bytes_max;
        let mut worker = Worker::new(Link::from(&client))
            .concurrency(self.concurrency)
            .ttl(self.ttl)
            .drain_limit(self.drain_timeout)
            .state(Arc::new(Program { command: self.exec, result_bytes_max }));
        for queue in &self.queues {
            worker = worker.queue(queue);
        }
        if self.kinds.is_empty() {
            worker = worker.register_raw(None, run_program);
        }
        for kind in &self.kinds {
            worker = worker.register_raw(Some(kind.as_str()), run_program);
        }
        worker.run().await?;
        client.close().await?;
        Ok(Exit::Done)
    }
}
