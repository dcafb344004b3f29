//! `haulier tasks`: looking at tasks and changing them. `haulier dead` is the same over tasks that
//! were given up.

pub mod change;
pub mod list;
pub mod show;
pub mod watch;

use std::sync::Arc;

use haulier::bulk::Action;
use haulier_core::{Clock, Filter};

use crate::exit::{Exit, Result};

/// What to do with tasks.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List tasks, newest first
    #[command(after_help = "\
Examples:
  haulier tasks list
  haulier tasks list --filter 'queue:mail kind:email.* state:dead,retryable age:>1h' -o wide
  haulier tasks list --filter label.tenant:acme --limit 1000 -o name")]
    List(list::List),
    /// Show one task with its deliveries
    #[command(after_help = "\
Examples:
  haulier tasks show $(haulier tasks list -o name --limit 1)
  haulier tasks show $(haulier tasks list -o name --limit 1) --include payload,result -o json")]
    Show(show::Show),
    /// Follow tasks until they are final
    #[command(after_help = "\
Examples:
  haulier tasks watch $(haulier enqueue hello -o name)

Exit code 0 if all of them completed, 1 if one is dead or cancelled.")]
    Watch(watch::Watch),
    /// Call tasks off
    #[command(after_help = "\
Examples:
  haulier tasks cancel $(haulier enqueue email.send --delay 1h -o name) --yes
  haulier tasks cancel --filter 'queue:mail state:scheduled' --dry-run")]
    Cancel(change::Change),
    /// Make finished tasks available again, with all their attempts
    #[command(after_help = "\
Examples:
  haulier tasks rerun --filter 'state:cancelled age:<1d' --yes")]
    Rerun(change::Change),
    /// Forget tasks that do not run
    #[command(after_help = "\
Examples:
  haulier tasks delete --filter 'state:cancelled' --yes
  haulier tasks delete --filter 'state:dead age:>7d' --dry-run")]
    Delete(change::Change),
}

impl Verb {
    /// Runs the command.
    pub async fn run(self, clock: Arc<dyn Clock>) -> Result<Exit> {
        let any = Filter::default();
        match self {
            Self::List(list) => list.run(any).await,
            Self::Show(show) => show.run().await,
            Self::Watch(watch) => watch.run(clock).await,
            Self::Cancel(change) => change.run(Action::Cancel, any).await,
            Self::Rerun(change) => change.run(Action::Rerun, any).await,
            Self::Delete(change) => change.run(Action::Delete, any).await,
        }
    }
}
