//! What came out: medians of all rounds, as a table for people and as a document.

use serde_json::{Value, json};

use super::contender::{Contender, Workload};

/// The figures of one contender at one workload, a list a round.
#[derive(Debug)]
pub struct Row {
    /// Who.
    pub contender: Contender,
    /// At what.
    pub workload: Workload,
    /// A list of figures a round.
    pub rounds: Vec<Vec<f64>>,
}

impl Row {
    /// The median, the smallest and the largest of each figure.
    pub fn figures(&self) -> Vec<[f64; 3]> {
        let count = self.rounds.first().map_or(0, Vec::len);
        let figure = |place: usize| {
            let mut all: Vec<f64> =
                self.rounds.iter().filter_map(|round| round.get(place).copied()).collect();
            all.sort_by(f64::total_cmp);
            let middle = all.len() / 2;
            let median = match all.len() % 2 {
                0 => f64::midpoint(all[middle - 1], all[middle]),
                _ => all[middle],
            };
            [median, all[0], all[all.len() - 1]]
        };
        (0..count).map(figure).collect()
    }

    fn shown(&self) -> String {
        let figures = self.figures();
        match (self.workload, figures.as_slice()) {
            (Workload::Latency, [p50, p99]) => format!("{:.1} / {:.1} ms", p50[0], p99[0]),
            (_, [rate, ..]) => format!("{:.0} ({:.0}–{:.0})", rate[0], rate[1], rate[2]),
            _ => "–".to_owned(),
        }
    }
}

/// The table, in Markdown.
pub fn markdown(rows: &[Row]) -> String {
    let mut names: Vec<Contender> = Vec::new();
    for row in rows {
        if !names.iter().any(|known| known.name == row.contender.name) {
            names.push(row.contender);
        }
    }
    let heads = "| | how | enqueue /s | drain /s | lifecycle /s | enqueue → start at 100/s, p50 / p99 |\n\
                 |---|---|---|---|---|---|\n";
    let line = |contender: &Contender| {
        let cell = |workload: Workload| {
            let own = |row: &&Row| row.contender.name == contender.name && row.workload == workload;
            rows.iter().find(own).map_or_else(|| "–".to_owned(), Row::shown)
        };
        let cells = Workload::ALL.map(cell).join(" | ");
        format!("| {} | {} | {cells} |\n", contender.name, contender.how)
    };
    names.iter().map(line).fold(heads.to_owned(), |table, line| table + &line)
}

/// The same as a document; `server` is its name and version.
pub fn document(server: (&str, &str), settings: &str, tasks: u32, rows: &[Row]) -> Value {
    let row = |row: &Row| {
        let names: &[&str] = match row.workload {
            Workload::Latency => &["p50_ms", "p99_ms"],
            _ => &["tasks_per_second"],
        };
        let figures = names.iter().zip(row.figures()).map(|(name, [median, min, max])| {
            json!({ "name": name, "median": median, "min": min, "max": max })
        });
        json!({
            "contender": row.contender.name,
            "how": row.contender.how,
            "workload": row.workload.name(),
            "rounds": row.rounds.len(),
            "figures": figures.collect::<Vec<_>>(),
        })
    };
    let (name, version) = server;
    json!({
        "schema": 1,
        (name): version,
        "settings": settings,
        "tasks": tasks,
        "rows": rows.iter().map(row).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::contender::Drive;
    use super::*;

    #[test]
    fn the_median_of_the_rounds_is_shown_with_the_smallest_and_the_largest() {
        let rounds = vec![vec![30.0], vec![10.0], vec![20.0]];
        let contender = Contender {
            name: "somebody",
            how: "somehow",
            drive: Drive::node("script.mjs", "best"),
            one_in: 1,
            workloads: &[Workload::Drain],
        };
        let row = Row { contender, workload: Workload::Drain, rounds };
        assert_eq!(row.figures(), [[20.0, 10.0, 30.0]]);
        let table = markdown(std::slice::from_ref(&row));
        assert!(table.contains("| – | 20 (10–30) | – | – |"), "{table}");
        let document = document(("server", "15"), "none", 100, &[row]);
        assert_eq!(document["server"], "15");
        assert_eq!(document["rows"][0]["figures"][0]["median"], 20.0);
    }
}
