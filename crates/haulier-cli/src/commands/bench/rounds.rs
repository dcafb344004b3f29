//! Measuring rows: each round on a site of its own, all rows in turn, so that a machine that gets
//! slower meanwhile does so for all of them; and one round more, traced and not timed, to count
//! what is done to the disk. Whatever does not hold fails the whole.

use haulier_core::Capabilities;

use super::books::check_claim;
use super::plan::Workload;
use super::report::{Counted, Figure, Measured};
use super::site::{Ground, Target};
use super::trace::{Counts, Trace};
use super::workloads::{Case, Counting, Round, Value, float};
use crate::exit::{Exit, Failed, Result};
use crate::output;

/// A row that is being measured.
#[derive(Debug)]
pub struct Row {
    workload: Workload,
    case: Box<dyn Case>,
    rounds: Vec<Once>,
    disk: Option<Counted>,
}

/// One round.
#[derive(Debug)]
struct Once {
    round: Round,
    capabilities: Capabilities,
    payload_bytes: usize,
    counts: Result<Counts, &'static str>,
}

impl Row {
    /// A row without figures.
    pub fn new(workload: Workload, case: Box<dyn Case>) -> Self {
        Self { workload, case, rounds: Vec::new(), disk: None }
    }

    /// What it is called.
    fn name(&self) -> String {
        format!("{} {}", self.workload.name(), self.case.label())
    }
}

/// Measures all rows.
pub async fn measure(ground: &Ground, mut rows: Vec<Row>, rounds: u32) -> Result<Vec<Measured>> {
    let traceable = match ground.target {
        Target::Own => Trace::new(&ground.dir.join("trace")).check(),
        Target::InProcess | Target::Url(_) => Ok(()),
    };
    for round in 1..=rounds {
        for row in &mut rows {
            output::say(format_args!("round {round} of {rounds}: {}", row.name()));
            let traced = row.case.counting() == Counting::Within && traceable.is_ok();
            let once = once(ground, &*row.case, traced).await?;
            row.rounds.push(once);
        }
    }
    for row in &mut rows {
        row.disk = Some(count(ground, row, traceable.as_ref()).await?);
    }
    rows.iter().map(Row::measured).collect()
}

/// What the row does to the disk.
async fn count(ground: &Ground, row: &Row, traceable: Result<&(), &String>) -> Result<Counted> {
    let not = |why: &str| Ok(Counted::Not { not_counted: why.to_owned() });
    match (row.case.counting(), &ground.target) {
        (Counting::Not(why), _) => not(why),
        (Counting::Within, _) => not("what happens while it is idle is a figure"),
        (Counting::Apart, Target::Own) => {
            if let Err(why) = traceable {
                return not(why);
            }
            output::say(format_args!("counting syncs: {}", row.name()));
            Ok(counted(&once(ground, &*row.case, true).await?))
        }
        // A store in this process is counted all the time: that costs nothing.
        (Counting::Apart, _) => match row.rounds.last() {
            Some(last) => Ok(counted(last)),
            None => not("there was no round"),
        },
    }
}

fn counted(once: &Once) -> Counted {
    let tasks = float(once.round.audited.tasks.max(1));
    match once.counts {
        Ok(counts) => Counted::Counted {
            syncs_per_task: float(counts.syncs) / tasks,
            bytes_per_task: float(counts.bytes) / tasks,
        },
        Err(why) => Counted::Not { not_counted: why.to_owned() },
    }
}

/// One round on a new site.
async fn once(ground: &Ground, case: &dyn Case, traced: bool) -> Result<Once> {
    let mut site = ground.site(traced).await?;
    site.payload_bytes = case.payload_bytes().unwrap_or(site.payload_bytes);
    let (capabilities, payload_bytes) = (site.capabilities(), site.payload_bytes);
    let before = site.counts()?;
    let round = case.round(&mut site).await?;
    let counts = match (before, site.counts()?) {
        (Ok(before), Ok(after)) => Ok(after.since(before)),
        (Err(why), _) | (_, Err(why)) => Err(why),
    };
    if let Ok(counts) = counts {
        check_claim(capabilities.durability, site.traffic.durable(), counts.syncs)?;
    }
    site.close().await?;
    Ok(Once { round, capabilities, payload_bytes, counts })
}

impl Row {
    fn measured(&self) -> Result<Measured> {
        let nothing = || Failed::new(Exit::Bug, format!("{}: nothing was measured", self.name()));
        let last = self.rounds.last().ok_or_else(nothing)?;
        let figures = (0..last.round.values.len()).map(|place| {
            let values: Vec<Value> = self
                .rounds
                .iter()
                .filter_map(|once| once.round.values.get(place).copied())
                .collect();
            Figure::of(&values).ok_or_else(nothing)
        });
        let sum =
            |count: fn(&Round) -> u64| self.rounds.iter().map(|once| count(&once.round)).sum();
        Ok(Measured {
            workload: self.workload.name(),
            case: self.case.label(),
            store: last.capabilities.store.clone(),
            durability: last.capabilities.durability.to_string(),
            payload_bytes: last.payload_bytes,
            tasks: sum(|round| round.audited.tasks),
            duplicates: sum(|round| round.audited.duplicates),
            figures: figures.collect::<Result<_>>()?,
            disk: self.disk.clone().ok_or_else(nothing)?,
        })
    }
}
