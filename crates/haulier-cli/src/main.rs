//! The `haulier` command: server, operations, any program as a worker, benchmarks, and the
//! quickstart.
//!
//! A thin shell over `haulier` (the client) and `haulier-server`: it reads options, calls the
//! library, and writes what comes back. It decides nothing about tasks. Each command is a file in
//! `commands/`.

mod ask;
mod child;
mod cli;
mod commands;
mod connect;
mod disk;
mod exit;
mod output;
mod settings;
mod signals;
mod text;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use haulier_core::{Clock, SystemClock};

use crate::cli::{Cli, Command};
use crate::commands::generate;
use crate::exit::{Exit, Failed, Result};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(Box::pin(run(cli.command)));
            // A blocking read of a terminal must not hold up the end.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failed::io("cannot start", &error)),
    };
    exit::end(result)
}

async fn run(command: Command) -> Result<Exit> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    match command {
        Command::Quickstart(args) => args.run(clock).await,
        Command::Dev(args) => args.run(clock).await,
        Command::Serve(args) => args.run(clock).await,
        Command::Config(verb) => verb.run(),
        Command::Enqueue(args) => args.run(clock).await,
        Command::Work(args) => args.run(clock).await,
        Command::Tasks(verb) => verb.run(clock).await,
        Command::Dead(verb) => verb.run(clock).await,
        Command::Queues(verb) => verb.run().await,
        Command::Workers(verb) => verb.run().await,
        Command::Bench(args) => args.run(clock).await,
        Command::Doctor(args) => args.run(clock).await,
        Command::Migrate(verb) => verb.run().await,
        Command::Verify(args) => args.run(),
        Command::Backup(args) => args.run().await,
        Command::Restore(args) => args.run(&*clock).await,
        Command::Export(args) => args.run().await,
        Command::Import(args) => args.run().await,
        Command::Healthcheck(args) => args.run(&*clock).await,
        Command::Completions(args) => args.run(),
        Command::Man(args) => args.run(),
        Command::Version(_) => generate::Version::run(),
        Command::QuickstartWorker(args) => args.run(clock).await,
    }
}

/// Reads a duration option.
fn span(text: &str) -> Result<Duration, haulier_core::Refusal> {
    haulier_core::span::parse(text)
}
