//! `haulier workers`: who serves, and what operators want of them.

use haulier_core::{Directive, WorkerId, span};
use haulier_server::api;

use crate::exit::{Exit, Failed, Result};
use crate::output::{self, Output, Row};
use crate::{ask, connect, text};

/// What to do with workers.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List workers that were heard of lately
    #[command(after_help = "\
Examples:
  haulier workers list
  haulier workers list -o wide")]
    List(List),
    /// Let them lease tasks again
    #[command(after_help = "\
Examples:
  haulier workers run $(haulier workers list -o name)")]
    Run(Named),
    /// Let them finish what they hold and lease no more
    #[command(after_help = "\
Examples:
  haulier workers quiet $(haulier workers list -o name)")]
    Quiet(Named),
    /// Let them finish what they hold, then end
    #[command(after_help = "\
Examples:
  haulier workers stop $(haulier workers list -o name) --yes")]
    Stop(Stop),
}

/// All workers.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    server: connect::Server,
    #[command(flatten)]
    output: Output,
}

/// Some workers.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The workers' ids
    #[arg(required = true)]
    workers: Vec<WorkerId>,
    #[command(flatten)]
    server: connect::Server,
    #[command(flatten)]
    output: Output,
}

/// Workers that shall end.
#[derive(Debug, clap::Args)]
pub struct Stop {
    #[command(flatten)]
    named: Named,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Verb {
    /// Runs the command.
    pub async fn run(self) -> Result<Exit> {
        match self {
            Self::List(list) => list.run().await,
            Self::Run(named) => named.direct(Directive::Run).await,
            Self::Quiet(named) => named.direct(Directive::Quiet).await,
            Self::Stop(stop) => {
                let count = text::count(stop.named.workers.len() as u64, "worker");
                ask::confirm(&format!("stop {count}?"), stop.yes)?;
                stop.named.direct(Directive::Stop).await
            }
        }
    }
}

impl List {
    async fn run(self) -> Result<Exit> {
        let views = self.server.inspect().await?.workers().await?;
        let document = api::Workers { workers: views.iter().map(api::Worker::from).collect() };
        output::rows(self.output.format, &document.workers, &document)?;
        Ok(Exit::Done)
    }
}

impl Named {
    async fn direct(self, directive: Directive) -> Result<Exit> {
        let control = self.server.control().await?;
        let known = control.direct(self.workers.clone(), directive).await?;
        let (mut told, mut unknown) = (Vec::new(), Vec::new());
        for (worker, known) in self.workers.into_iter().zip(known) {
            if !known {
                unknown.push(worker.to_string());
                continue;
            }
            let (worker, directive) = (api::Text(worker), api::Word(directive));
            told.push(api::Directed { worker, directive });
        }
        if !told.is_empty() {
            output::rows(self.output.format, &told, &told)?;
        }
        if unknown.is_empty() {
            return Ok(Exit::Done);
        }
        Err(Failed::new(Exit::No, format!("nobody has heard of {}", unknown.join(", ")))
            .next("list those that are known: haulier workers list"))
    }
}

impl Row for api::Directed {
    fn heads(_: bool) -> Vec<&'static str> {
        vec!["worker", "directive"]
    }

    fn cells(&self, _: bool) -> Vec<String> {
        vec![self.worker.0.to_string(), self.directive.as_str().to_owned()]
    }

    fn name(&self) -> String {
        self.worker.0.to_string()
    }
}

impl Row for api::Worker {
    fn heads(wide: bool) -> Vec<&'static str> {
        let mut heads = vec!["worker", "directive", "leases", "slots", "heard of"];
        if wide {
            heads.extend(["version", "queues", "kinds"]);
        }
        heads
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let about = self.about.as_ref();
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let mut cells = vec![
            self.worker.0.to_string(),
            self.directive.as_str().to_owned(),
            self.leases.to_string(),
            or_dash(about.map(|about| about.slots.to_string())),
            format!("{} ago", span::format(self.silent_for.0)),
        ];
        if wide {
            cells.extend([
                or_dash(about.map(|about| about.version.clone())),
                or_dash(about.map(|about| names(&about.queues))),
                or_dash(about.map(|about| names(&about.kinds))),
            ]);
        }
        cells
    }

    fn name(&self) -> String {
        self.worker.0.to_string()
    }
}

fn names<T: ToString>(names: &[api::Text<T>]) -> String {
    if names.is_empty() {
        return "all".to_owned();
    }
    names.iter().map(|name| name.0.to_string()).collect::<Vec<_>>().join(",")
}
