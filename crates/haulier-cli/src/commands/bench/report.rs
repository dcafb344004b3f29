//! What a benchmark publishes: the machine, the command, and rows of figures. The shape is stable
//! and numbered, so that one report can be compared with another.

use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::workloads::Value;
use crate::output::Row;
use crate::text;

/// The shape of a report; raised when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// One run of the command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The shape: [`SCHEMA`].
    pub schema: u32,
    /// The command as it was typed.
    pub command: String,
    /// This program's version.
    pub version: String,
    /// `release` or `debug`.
    pub build: String,
    /// When it ended, RFC 3339.
    pub measured_at: String,
    /// Where the clients are.
    pub clients: String,
    /// Times that each row was measured.
    pub rounds: u32,
    /// Where it ran.
    pub machine: Machine,
    /// What was measured.
    pub rows: Vec<Measured>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What was measured.
    pub workload: String,
    /// What tells it apart from the workload's other rows; may be empty.
    pub case: String,
    /// The store, as it calls itself.
    pub store: String,
    /// What its acknowledgements are worth, as it says.
    pub durability: String,
    /// Bytes of a payload.
    pub payload_bytes: usize,
    /// Tasks of all rounds; each was acknowledged, executed and accepted once.
    pub tasks: u64,
    /// Deliveries of them beyond the one that was needed.
    pub duplicates: u64,
    /// What came out; the first is the one that the workload is for.
    pub figures: Vec<Figure>,
    /// What was done to the disk.
    pub disk: Counted,
}

/// One figure over all rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// What it is counted in.
    pub unit: String,
    /// Whether more is better.
    pub more_is_better: bool,
    /// The middle of all rounds.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

/// What was done to the disk for each task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Counted {
    /// Counted from outside.
    Counted {
        /// Syncs for each task.
        syncs_per_task: f64,
        /// Bytes written to the log and its hints for each task.
        bytes_per_task: f64,
    },
    /// Not counted.
    Not {
        /// Why.
        not_counted: String,
    },
}

impl Figure {
    /// The same figure of several rounds; at least one.
    pub fn of(rounds: &[Value]) -> Option<Self> {
        let first = rounds.first()?;
        let mut values: Vec<f64> = rounds.iter().map(|value| value.amount).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        Some(Self {
            name: first.name.to_owned(),
            unit: first.unit.to_owned(),
            more_is_better: first.more_is_better,
            median,
            min: values[0],
            max: *values.last()?,
        })
    }

    fn shown(&self, amount: f64) -> String {
        let number = number(amount);
        match self.unit.as_str() {
            "" => number,
            "/s" | "%" => format!("{number}{}", self.unit),
            unit => format!("{number} {unit}"),
        }
    }
}

/// A number with about three digits that count.
pub fn number(amount: f64) -> String {
    match amount {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rounded, and not negative"
        )]
        _ if amount >= 100.0 => text::number(amount.round() as u64),
        _ if amount >= 10.0 => format!("{amount:.1}"),
        _ if amount >= 0.1 || amount == 0.0 => format!("{amount:.2}"),
        _ => format!("{amount:.4}"),
    }
}

impl Row for Measured {
    fn heads(wide: bool) -> Vec<&'static str> {
        let mut heads =
            vec!["workload", "case", "class", "median", "range", "and", "syncs/task", "bytes/task"];
        if wide {
            heads.extend(["store", "payload", "tasks", "duplicates", "not counted"]);
        }
        heads
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let first = self.figures.first();
        let others = self.figures.iter().skip(1);
        let others =
            others.map(|figure| format!("{} {}", figure.name, figure.shown(figure.median)));
        let range = match first {
            Some(figure) if figure.min < figure.max => {
                format!("{}–{}", number(figure.min), number(figure.max))
            }
            _ => String::new(),
        };
        let (syncs, bytes, why) = match &self.disk {
            Counted::Counted { syncs_per_task, bytes_per_task } => {
                (number(*syncs_per_task), number(*bytes_per_task), "")
            }
            Counted::Not { not_counted } => (String::new(), String::new(), not_counted.as_str()),
        };
        let headline = first.map(|figure| {
            // A rate needs no name; anything else does.
            let name = if figure.unit == "/s" { "" } else { &figure.name };
            format!("{name} {}", figure.shown(figure.median)).trim().to_owned()
        });
        let mut cells = vec![
            self.workload.clone(),
            self.case.clone(),
            self.durability.clone(),
            headline.unwrap_or_default(),
            range,
            others.collect::<Vec<_>>().join(", "),
            syncs,
            bytes,
        ];
        if wide {
            cells.extend([
                self.store.clone(),
                text::bytes(self.payload_bytes as u64),
                text::number(self.tasks),
                text::number(self.duplicates),
                why.to_owned(),
            ]);
        }
        cells
    }

    fn name(&self) -> String {
        name(&self.workload, &self.case)
    }
}

/// What a row is called, for people.
pub fn name(workload: &str, case: &str) -> String {
    if case.is_empty() { workload.to_owned() } else { format!("{workload} {case}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_middle_of_its_rounds() {
        let of = |amounts: &[f64]| {
            let values = amounts.iter().map(|amount| Value::more("rate", "/s", *amount));
            Figure::of(&values.collect::<Vec<_>>())
        };
        let shown = |figure: Figure| [figure.median, figure.min, figure.max].map(number);
        assert_eq!(shown(of(&[3.0, 1.0, 2.0]).unwrap()), ["2.00", "1.00", "3.00"]);
        assert_eq!(shown(of(&[4.0, 1.0, 2.0, 3.0]).unwrap()), ["2.50", "1.00", "4.00"]);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn numbers_keep_the_digits_that_count() {
        let shown = [0.0, 0.0123, 0.5, 12.34, 123_456.7].map(number);
        assert_eq!(shown, ["0.00", "0.0123", "0.50", "12.3", "123,457"]);
    }
}
