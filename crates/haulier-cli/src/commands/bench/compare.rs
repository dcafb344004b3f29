//! Two reports side by side: for each row that both have, its first figure, then and now. A ratio
//! above one is better, whichever way the figure counts.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::report::{self, Figure, Report, SCHEMA, number};
use crate::exit::{Exit, Failed, Result};
use crate::output::Row;
use crate::text;

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// When the earlier one was measured.
    pub measured_at: String,
    /// Why the two may not be comparable.
    pub warnings: Vec<String>,
    /// The rows that both have.
    pub rows: Vec<Compared>,
}

/// One row of two reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// What was measured.
    pub workload: String,
    /// What tells it apart from the workload's other rows.
    pub case: String,
    /// The figure.
    pub figure: String,
    /// What it is counted in.
    pub unit: String,
    /// The earlier median.
    pub old: f64,
    /// The present one.
    pub new: f64,
    /// How much better it is now.
    pub ratio: f64,
}

/// Reads an earlier report.
pub fn read(path: &Path) -> Result<Report> {
    let text = std::fs::read(path).map_err(|error| Failed::io(path.display(), &error))?;
    let strange = |why: String| {
        Failed::new(Exit::Usage, format!("{}: no report of `haulier bench`: {why}", path.display()))
            .next("write one with `haulier bench -o json`")
    };
    let report: Report =
        serde_json::from_slice(&text).map_err(|error| strange(text::wrong_json(&error)))?;
    if report.schema != SCHEMA {
        return Err(strange(format!("its shape is {}, known is {SCHEMA}", report.schema)));
    }
    Ok(report)
}

/// Compares.
pub fn compare(old: &Report, new: &Report) -> Comparison {
    let mut warnings = new.machine.differences(&old.machine);
    for (what, old, new) in [
        ("version", &old.version, &new.version),
        ("build", &old.build, &new.build),
        ("clients", &old.clients, &new.clients),
    ] {
        if old != new {
            warnings.push(format!("another {what}: {old:?}, now {new:?}"));
        }
    }
    let mut rows = Vec::new();
    for row in &new.rows {
        let name = row.name();
        let Some(earlier) = old.rows.iter().find(|earlier| earlier.name() == name) else {
            warnings.push(format!("{name}: the earlier report has no such row"));
            continue;
        };
        for (what, old, new) in [
            ("class", &earlier.durability, &row.durability),
            ("store", &earlier.store, &row.store),
            ("payload", &earlier.payload_bytes.to_string(), &row.payload_bytes.to_string()),
        ] {
            if old != new {
                warnings.push(format!("{name}: another {what}: {old}, now {new}"));
            }
        }
        if let (Some(old), Some(new)) = (earlier.figures.first(), row.figures.first()) {
            rows.push(Compared {
                workload: row.workload.clone(),
                case: row.case.clone(),
                figure: new.name.clone(),
                unit: new.unit.clone(),
                old: old.median,
                new: new.median,
                ratio: ratio(old, new),
            });
        }
    }
    Comparison { measured_at: old.measured_at.clone(), warnings, rows }
}

/// How much better it is now. Less than a hundredth of a processor is idle: what differs below that
/// is the clock that counts it.
fn ratio(old: &Figure, new: &Figure) -> f64 {
    let least = if new.unit == "%" { 1.0 } else { f64::MIN_POSITIVE };
    let (old, now) = (old.median.max(least), new.median.max(least));
    if new.more_is_better { now / old } else { old / now }
}

impl Comparison {
    /// Fails if a row has become worse than that.
    pub fn check(&self, least: f64) -> Result<()> {
        let worse: Vec<String> = self
            .rows
            .iter()
            .filter(|row| row.ratio < least)
            .map(|row| format!("{} ({})", row.name(), number(row.ratio)))
            .collect();
        if worse.is_empty() {
            return Ok(());
        }
        Err(Failed::new(Exit::No, format!("below {least} of earlier: {}", worse.join(", "))))
    }
}

impl Row for Compared {
    fn heads(_: bool) -> Vec<&'static str> {
        vec!["workload", "case", "figure", "old", "new", "ratio"]
    }

    fn cells(&self, _: bool) -> Vec<String> {
        vec![
            self.workload.clone(),
            self.case.clone(),
            format!("{} {}", self.figure, self.unit).trim().to_owned(),
            number(self.old),
            number(self.new),
            format!("{:.2}", self.ratio),
        ]
    }

    fn name(&self) -> String {
        report::name(&self.workload, &self.case)
    }
}

#[cfg(test)]
mod tests {
    use super::super::workloads::Value;
    use super::*;

    fn figure(value: Value) -> Figure {
        Figure::of(&[value]).unwrap()
    }

    #[test]
    fn a_ratio_above_one_is_better_whichever_way_the_figure_counts() {
        let rate = |amount| figure(Value::more("rate", "/s", amount));
        let time = |amount| figure(Value::less("p50", "ms", amount));
        let share = |amount| figure(Value::less("processor", "%", amount));
        let shown = |ratio: f64| format!("{ratio:.2}");
        assert_eq!(shown(ratio(&rate(100.0), &rate(150.0))), "1.50");
        assert_eq!(shown(ratio(&time(3.0), &time(2.0))), "1.50");
        assert_eq!(shown(ratio(&share(0.0), &share(0.4))), "1.00", "both are idle");
        assert_eq!(shown(ratio(&share(0.0), &share(4.0))), "0.25");
    }
}
