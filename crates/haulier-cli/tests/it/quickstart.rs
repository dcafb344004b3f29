//! The quickstart, small: with faults, accounts and an end.

use rustix::process::Signal;
use serde_json::Value;

use crate::kit::{Place, Running, signal};

/// A directory with a few files, in the place itself.
fn files(place: &Place, count: usize) {
    let dir = place.path().join("files");
    std::fs::create_dir(&dir).unwrap();
    for number in 0..count {
        std::fs::write(dir.join(format!("file-{number}")), format!("content {number}")).unwrap();
    }
}

#[test]
fn everything_is_hauled_although_a_worker_and_the_server_are_killed() {
    let place = Place::new();
    files(&place, 200);
    let ran = place.run(["quickstart", "files", "-o", "json"]);
    assert!(ran.stderr.contains("killed a worker") && ran.stderr.contains("killed the server"));
    let report: Value = serde_json::from_str(&ran.ok()).unwrap();
    assert_eq!((&report["files"], &report["completions"]), (&200.into(), &200.into()));
    for broken in ["accepted_twice", "missing", "mismatches", "changed"] {
        assert_eq!(report[broken], 0, "{broken}: {report}");
    }
}

#[test]
fn one_file_is_enough_and_none_is_told() {
    let place = Place::new();
    files(&place, 1);
    let table = place.run(["quickstart", "files"]).ok();
    assert!(
        table.lines().any(|line| line.starts_with("mismatches") && line.ends_with(" 0")),
        "{table}"
    );
    std::fs::remove_file(place.path().join("files/file-0")).unwrap();
    let said = place.run(["quickstart", "files"]).fails(1);
    assert!(said.contains("no file to haul"), "{said}");
    place.run(["quickstart", "nowhere"]).fails(74);
}

#[test]
fn the_server_stays_if_it_is_asked_to() {
    let place = Place::new();
    files(&place, 3);
    let mut quickstart = place.command(["quickstart", "files", "--keep", "-o", "json"]);
    quickstart.env("TMPDIR", place.path());
    let ran = crate::kit::finish(quickstart);
    let id = ran.stderr.rsplit("kill ").next().unwrap().trim().parse().unwrap();
    let report: Value = serde_json::from_str(&ran.ok()).unwrap();
    let mut check = place.command(["healthcheck"]);
    check.env("HAULIER_URL", report["url"].as_str().unwrap());
    let checked = crate::kit::finish(check);
    signal(id, Signal::TERM);
    assert_eq!(checked.ok(), "ready\n");
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    let place = Place::new();
    files(&place, 50);
    let temporary = place.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut quickstart = place.command(["quickstart", "files"]);
    quickstart.env("TMPDIR", &temporary);
    let mut running = Running::start(quickstart);
    running.wait_for("Hauling");
    assert_eq!(running.end(Signal::INT).code(), Some(1));
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    // Servers and workers have the directory in their arguments.
    let place = temporary.to_str().unwrap();
    for process in std::fs::read_dir("/proc").unwrap() {
        // A process may end while we look.
        let arguments = std::fs::read(process.unwrap().path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&arguments).contains(place), "left behind");
    }
}
