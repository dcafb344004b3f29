//! The command line as a whole: which commands there are and in which order help shows them. Each
//! command's own options stand in its file.

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{Parser, Subcommand};

use crate::commands::{
    backup, bench, config, dead, dev, doctor, enqueue, export, generate, healthcheck, import,
    migrate, queues, quickstart, restore, serve, tasks, verify, work, workers,
};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Hands work over, keeps it safe, and gets it done: a durable distributed task queue
#[derive(Debug, Parser)]
#[command(
    name = "haulier",
    version,
    styles = STYLES,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Environment: HAULIER_URL (default http://127.0.0.1:7420), HAULIER_TOKEN, HAULIER_CA, HAULIER_CERT,
HAULIER_KEY for clients; HAULIER_LOG for what is logged.
Exit codes: 0 done, 1 no, 2 usage, 65 damage, 69 unavailable, 70 bug, 74 I/O, 75 try again,
77 not allowed, 78 configuration or start-up check."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See the whole thing work: a server, three workers, faults, and a proof that nothing was lost
    Quickstart(quickstart::Args),
    /// Start a server in memory for development
    Dev(dev::Args),
    /// Start a server
    Serve(serve::Args),
    /// Look at, check or write a server's configuration
    #[command(subcommand)]
    Config(config::Verb),
    /// Hand a task over
    Enqueue(enqueue::Args),
    /// Run any program as a worker
    Work(work::Args),
    /// List, show, watch, cancel, rerun or delete tasks
    #[command(subcommand)]
    Tasks(tasks::Verb),
    /// List, show, rerun or delete tasks that were given up
    #[command(subcommand)]
    Dead(dead::Verb),
    /// List, show, pause, resume or limit queues
    #[command(subcommand)]
    Queues(queues::Verb),
    /// List workers, or tell them to run, to be quiet or to stop
    #[command(subcommand)]
    Workers(workers::Verb),
    /// Measure a server: throughput, latency, what it costs, with its books balanced
    Bench(bench::Args),
    /// Check this machine and the server: disk, clock, limits, store
    Doctor(doctor::Args),
    /// Bring Haulier's tables into a PostgreSQL database, take them back, or look at them
    #[command(subcommand)]
    Migrate(migrate::Verb),
    /// Check a data directory that no server uses, or a backup
    Verify(verify::Args),
    /// Take a backup of a running server, or of a data directory
    Backup(backup::Args),
    /// Make a data directory of a backup
    Restore(restore::Args),
    /// Write the tasks of a store as lines of JSON
    Export(export::Args),
    /// Enqueue the tasks that an export wrote, in any store
    Import(import::Args),
    /// Ask a server whether it is ready, for container health checks
    Healthcheck(healthcheck::Args),
    /// Print a completion script for a shell
    Completions(generate::Completions),
    /// Print the manual page, or write all of them into a directory
    Man(generate::Man),
    /// Print the version
    Version(generate::Version),
    /// A worker process of the quickstart
    #[command(hide = true)]
    QuickstartWorker(quickstart::WorkerArgs),
}
