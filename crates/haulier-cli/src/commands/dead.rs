//! `haulier dead`: tasks that were given up. The same verbs as `haulier tasks`, over `state:dead`.

use std::sync::Arc;

use haulier::bulk::Action;
use haulier_core::{Clock, Filter, State};

use super::tasks::{change, list, show};
use crate::exit::{Exit, Result};

/// What to do with tasks that were given up.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List them, newest first
    #[command(after_help = "\
Examples:
  haulier dead list
  haulier dead list --filter 'queue:mail reason:lost' -o wide")]
    List(list::List),
    /// Show one with its deliveries and last error
    #[command(after_help = "\
Examples:
  haulier dead show $(haulier tasks list -o name --limit 1)")]
    Show(show::Show),
    /// Try them again, with all their attempts
    #[command(after_help = "\
Examples:
  haulier dead rerun --filter 'kind:email.* reason:exhausted' --yes")]
    Rerun(change::Change),
    /// Forget them
    #[command(after_help = "\
Examples:
  haulier dead delete --filter 'age:>7d' --dry-run")]
    Delete(change::Change),
}

impl Verb {
    /// Runs the command.
    pub async fn run(self, _: Arc<dyn Clock>) -> Result<Exit> {
        let dead = Filter::states([State::Dead]);
        match self {
            Self::List(list) => list.run(dead).await,
            Self::Show(show) => show.run().await,
            Self::Rerun(change) => change.run(Action::Rerun, dead).await,
            Self::Delete(change) => change.run(Action::Delete, dead).await,
        }
    }
}
