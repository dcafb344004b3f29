//! `haulier bench` as people run it: every workload on a server of its own, reports that read back,
//! comparisons, and what it refuses to publish. Tiny sizes: figures are not looked at.

use serde_json::Value;

use crate::kit::Place;

/// Runs `haulier bench` with tiny sizes.
#[track_caller]
fn report(place: &Place, args: &[&str]) -> Value {
    let tiny = ["bench", "--tasks", "30", "--seconds", "1", "-o", "json"];
    let written = place.run(tiny.iter().chain(args)).ok();
    serde_json::from_str(&written).unwrap()
}

fn rows(report: &Value) -> &[Value] {
    report["rows"].as_array().unwrap()
}

#[test]
fn every_workload_on_a_server_of_its_own_balances_and_reads_back() {
    let report = report(&Place::new(), &[]);
    assert_eq!(report["schema"], 1);
    assert!(report["machine"]["sync_alone"]["p50_ms"].as_f64().unwrap() > 0.0);
    assert!(report["command"].as_str().unwrap().ends_with("bench --tasks 30 --seconds 1 -o json"));
    let names: Vec<&str> =
        rows(&report).iter().map(|row| row["workload"].as_str().unwrap()).collect();
    for name in [
        "lifecycle",
        "latency",
        "single",
        "enqueue",
        "drain",
        "backlog",
        "priorities",
        "burst",
        "retries",
        "payloads",
        "idle",
        "recovery",
        "memory",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    for row in rows(&report) {
        assert_eq!((&row["durability"], &row["duplicates"]), (&"D2".into(), &0.into()), "{row}");
        assert!(row["tasks"].as_u64().unwrap() > 0 && row["figures"][0]["median"].is_number());
        let disk = &row["disk"];
        // Where strace is missing or forbidden, every row says so.
        assert!(disk["syncs_per_task"].is_number() || disk["not_counted"].is_string(), "{row}");
    }
}

#[test]
fn a_store_in_the_same_process_is_measured_with_its_syncs() {
    let report = report(&Place::new(), &["--in-process", "-w", "lifecycle", "--rounds", "3"]);
    let row = &rows(&report)[0];
    assert_eq!((&row["tasks"], &row["durability"]), (&90.into(), &"D2".into()));
    assert!(row["disk"]["syncs_per_task"].as_f64().unwrap() > 0.0, "{row}");
    let figure = &row["figures"][0];
    let number = |name: &str| figure[name].as_f64().unwrap();
    assert!(number("min") <= number("median") && number("median") <= number("max"), "{figure}");
}

#[test]
fn a_workload_that_needs_the_process_of_the_server_is_refused_for_a_url() {
    let place = Place::new();
    let said = place.run(["bench", "memory:", "-w", "memory"]).fails(2);
    assert!(said.contains("memory looks at the server's process"), "{said}");
    assert!(said.contains("leave out the URL"), "{said}");
}

/// An earlier report with another rate and another machine.
fn earlier(place: &Place, report: &Value, rate: f64) -> String {
    let mut earlier = report.clone();
    earlier["machine"]["cores"] = 1_000.into();
    earlier["rows"][0]["durability"] = "D0".into();
    earlier["rows"][0]["figures"][0]["median"] = rate.into();
    let path = place.path().join("earlier.json");
    std::fs::write(&path, earlier.to_string()).unwrap();
    path.display().to_string()
}

#[test]
fn a_comparison_names_what_differs_and_fails_only_below_the_ratio_that_was_asked_for() {
    let place = Place::new();
    let bench = ["--in-process", "-w", "lifecycle"];
    let now = report(&place, &bench);
    let file = earlier(&place, &now, 1e12);
    let args = ["bench", "--tasks", "30", "--in-process", "-w", "lifecycle", "--compare", &file];

    let ran = place.run(args);
    assert!(ran.stderr.contains("cores \"1000\"") && ran.stderr.contains("class: D0, now D2"));
    assert!(ran.ok().contains("compared with "));

    let said = place.run(args.iter().chain(&["--fail-below", "0.8"])).fails(1);
    assert!(said.contains("below 0.8 of earlier: lifecycle"), "{said}");

    earlier(&place, &now, 1e-6);
    let better =
        report(&place, &[&bench[..], &["--compare", &file, "--fail-below", "0.8"]].concat());
    assert!(better["comparison"]["rows"][0]["ratio"].as_f64().unwrap() > 1.0);
}

#[test]
fn a_file_that_is_no_report_is_refused_before_anything_is_measured() {
    let place = Place::new();
    std::fs::write(place.path().join("other"), "{}").unwrap();
    let said = place.run(["bench", "--compare", "other"]).fails(2);
    assert!(said.contains("no report of `haulier bench`"), "{said}");
    place.run(["bench", "--compare", "nowhere"]).fails(74);
    place.run(["bench", "--fail-below", "0.8"]).fails(2);
}
