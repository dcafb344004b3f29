//! Backups, restores, exports and imports by the real binary, against servers that work meanwhile.

use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::kit::{Place, Running};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The place's server, started again on another directory.
fn serve(place: &mut Place, data: &str) -> Running {
    let server = place.start(["serve", "--data", data, "--listen", "127.0.0.1:0"]);
    place.url = server.line();
    server
}

fn ids(place: &Place, filter: &str) -> Vec<String> {
    let listed = place.run(["tasks", "list", "--limit", "100000", "-f", filter, "-o", "name"]).ok();
    let mut ids: Vec<String> = listed.lines().map(str::to_owned).collect();
    ids.sort();
    ids
}

/// I1, I2 (F31): the server works while it is backed up, goes on, and is lost; the restored one has
/// everything that was acknowledged before the backup began, and hands out larger epochs.
#[test]
fn a_server_that_works_is_backed_up_and_restored() {
    let (mut place, mut server) = Place::with_server();
    let worker = place.work("work", "cat");
    let before = place.enqueue(["work", "{\"n\": 1}", "--count", "1000"]);
    let mut before: Vec<String> = before.lines().map(str::to_owned).collect();
    before.sort();
    let more = place.start(["enqueue", "work", "2", "--count", "1000", "-o", "name"]);
    let taken = json(&place.run(["backup", "a.backup", "-o", "json"]).ok());
    assert!(taken["bytes"].as_u64().unwrap() > 10_000, "{taken}");
    assert_eq!(place.run(["verify", "a.backup"]).ok().lines().last(), Some("sound"));
    let said = place.run(["backup", "a.backup"]).fails(1);
    assert!(said.contains("is there already"), "{said}");
    drop(more);
    // What happens after the backup: a delivery whose epoch must never come again.
    let late = place.enqueue(["work", "3", "--wait", "--priority", "9"]);
    let late = late.lines().next().unwrap_or_default().to_owned();
    assert!(!late.is_empty());
    drop(worker);
    server.end(Signal::KILL);

    let restored = json(&place.run(["restore", "a.backup", "--data", "b", "-o", "json"]).ok());
    assert_eq!(place.run(["verify", "b"]).ok().lines().last(), Some("sound"));
    let mut server = serve(&mut place, "b");
    let there = ids(&place, "");
    let lost: Vec<_> = before.iter().filter(|id| there.binary_search(id).is_err()).collect();
    assert!(lost.is_empty(), "I1: {} of {} are lost", lost.len(), before.len());
    let worker = place.work("again", "cat");
    let id = place.enqueue(["again", "1", "--wait"]);
    let shown = place.task(id.lines().next().unwrap());
    let epoch: u64 = shown["epoch"].as_str().unwrap().parse().unwrap();
    let generation = restored["generation"].as_u64().unwrap();
    assert!(epoch >> 32 > generation, "I2: {epoch:x}");
    assert!(generation > 1_000_000 + restored["generation_before"].as_u64().unwrap(), "I2");
    drop(worker);
    assert!(server.end(Signal::TERM).success());
}

/// A store that is large enough for a slow backup to be in the middle.
fn place_with_payloads() -> (Place, Running) {
    let (place, server) = Place::with_server();
    std::fs::write(place.path().join("payload"), vec![b'x'; 500_000]).unwrap();
    let args = ["blob", "@payload", "--content-type", "text/plain", "--count", "4"];
    place.enqueue(args);
    (place, server)
}

fn wait_for_bytes(path: &Path) {
    crate::kit::bounded({
        let path = path.to_owned();
        move || {
            while std::fs::metadata(&path).map_or(0, |file| file.len()) < 100_000 {
                std::thread::yield_now();
            }
        }
    });
}

#[test]
fn a_backup_that_is_killed_leaves_nothing_that_looks_like_one() {
    let (place, _server) = place_with_payloads();
    let slow = ["backup", "a.backup", "--bytes-per-second", "65536"];
    let mut backup = place.start(slow);
    wait_for_bytes(&place.path().join("a.backup.partial"));
    let busy = place.run(["backup", "b.backup"]).fails(75);
    assert!(busy.contains("being taken already"), "{busy}");
    backup.end(Signal::KILL);
    assert!(!place.path().join("a.backup").exists());
    let said = place.run(["verify", "a.backup.partial"]).fails(65);
    assert!(said.contains("cut short"), "{said}");
    place.run(["restore", "a.backup.partial", "--data", "b"]).fails(65);
    assert!(!place.path().join("b").exists(), "nothing was made");

    // The server notices that nobody reads on, and what was left is written over.
    let again = crate::kit::bounded({
        let command = move || place.run(["backup", "a.backup"]);
        move || {
            loop {
                let ran = command();
                if ran.code != Some(75) {
                    return ran;
                }
            }
        }
    });
    again.ok();
}

#[test]
fn a_backup_ends_with_its_server_and_leaves_nothing_that_looks_like_one() {
    let (place, mut server) = place_with_payloads();
    let mut backup = place.start(["backup", "a.backup", "--bytes-per-second", "65536"]);
    wait_for_bytes(&place.path().join("a.backup.partial"));
    server.end(Signal::KILL);
    assert_eq!(backup.ended().code(), Some(69));
    assert!(!place.path().join("a.backup").exists());
    assert!(!place.path().join("a.backup.partial").exists(), "nothing was kept");
    place.run(["backup", "a.backup", "--data", "data"]).ok();
    place.run(["verify", "a.backup"]).ok();
}

/// I16: what was damaged on the server's disk gets no backup's name, and is left to be looked at.
#[test]
fn a_backup_of_what_is_damaged_is_left_under_its_partial_name() {
    let (place, _server) = Place::with_server();
    place.enqueue(["k", "\"the needle\"", "--count", "3"]);
    let segment = place.path().join("data/0000000001.segment");
    let bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(10).position(|window| window == b"the needle").unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&segment).unwrap();
    file.write_all_at(b"T", at as u64).unwrap();
    let said = place.run(["backup", "a.backup"]).fails(65);
    assert!(said.contains("haulier verify a.backup.partial"), "{said}");
    assert!(!place.path().join("a.backup").exists(), "I16");
    place.run(["verify", "a.backup.partial"]).fails(65);
}

#[test]
fn a_drain_does_not_wait_for_a_backup() {
    let (place, mut server) = place_with_payloads();
    let mut backup = place.start(["backup", "a.backup", "--bytes-per-second", "65536"]);
    wait_for_bytes(&place.path().join("a.backup.partial"));
    assert!(server.end(Signal::TERM).success());
    assert_eq!(backup.ended().code(), Some(69));
}

#[test]
fn what_cannot_be_backed_up_or_restored_is_said_with_its_exit_code() {
    let (place, _server) = Place::with_server();
    place.enqueue(["k", "\"the needle\"", "--count", "3"]);
    place.run(["backup", "a.backup"]).ok();
    let said = place.run(["backup", "b.backup", "--data", "data"]).fails(78);
    assert!(said.contains("another process"), "{said}");
    let said = place.run(["verify", "data"]).fails(78);
    assert!(said.contains("haulier backup"), "{said}");
    let said = place.run(["restore", "a.backup", "--data", "data"]).fails(78);
    assert!(said.contains("another process"), "{said}");
    place.run(["backup", "b.backup", "--data", "nowhere"]).fails(74);
    std::fs::create_dir(place.path().join("mine")).unwrap();
    std::fs::write(place.path().join("mine/letter"), "dear").unwrap();
    let said = place.run(["restore", "a.backup", "--data", "mine"]).fails(78);
    assert!(said.contains("is not empty"), "{said}");
    let said = place.run(["restore", "mine/letter", "--data", "c"]).fails(74);
    assert!(said.contains("is no backup"), "{said}");
    place.run(["verify", "a.backup", "--repair"]).fails(2);
    place.run(["backup", "b.backup", "--url", "http://127.0.0.1:1"]).fails(69);
    place.run(["backup", "b.backup", "--url", "https://127.0.0.1:1"]).fails(2);
    assert!(!place.path().join("b.backup.partial").exists(), "nothing was kept");

    let path = place.path().join("a.backup");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(10).position(|window| window == b"the needle").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let said = place.run(["verify", "a.backup"]).fails(65);
    assert!(said.contains("damaged at byte"), "{said}");
    place.run(["restore", "a.backup", "--data", "c"]).fails(65);
    assert!(!place.path().join("c").exists(), "nothing was made");

    let (memory, _dev) = Place::with_dev();
    let said = memory.run(["backup", "a.backup"]).fails(1);
    assert!(said.contains("haulier export"), "{said}");
}

#[test]
fn a_restore_that_was_interrupted_does_not_open_and_is_repeated() {
    let (place, mut server) = Place::with_server();
    let ids = place.enqueue(["k", "1", "--count", "20"]);
    place.run(["backup", "a.backup"]).ok();
    assert!(server.end(Signal::TERM).success());
    std::fs::create_dir(place.path().join("half")).unwrap();
    std::fs::write(place.path().join("half/restoring"), "").unwrap();
    std::fs::write(place.path().join("half/0000000001.segment"), "half").unwrap();
    let said = place.run(["serve", "--data", "half", "--listen", "127.0.0.1:0"]).fails(78);
    assert!(said.contains("haulier restore"), "{said}");
    place.run(["verify", "half"]).fails(78);
    let said = place.run(["backup", "b.backup", "--data", "half"]).fails(78);
    assert!(said.contains("was interrupted"), "{said}");
    let said = place.run(["restore", "a.backup", "--data", "half"]).ok();
    assert!(said.contains("20 tasks may run again") && said.contains("20 available"), "{said}");
    let report = json(&place.run(["verify", "half", "-o", "json"]).ok());
    assert_eq!(report["tasks"]["available"], ids.lines().count());
}

#[test]
fn tasks_move_from_one_store_to_another_and_an_import_can_be_repeated() {
    let (place, _server) = Place::with_dev();
    std::fs::write(place.path().join("blob"), [0, 159, 146, 150, 10, 13]).unwrap();
    let blob = place.enqueue([
        "blob",
        "@blob",
        "--content-type",
        "image/png",
        "--priority",
        "7",
        "--label",
        "tenant=acme",
    ]);
    place.enqueue(["later", "{\"n\":  1.50}", "--delay", "1h", "--unique", "order-17"]);
    place.enqueue(["k", "1", "--count", "300", "--queue", "bulk"]);
    let gone = place.enqueue(["k", "2"]);
    place.run(["tasks", "cancel", &gone, "--yes"]).ok();
    place.run(["export", "tasks.ndjson"]).ok();
    place.run(["export", "tasks.ndjson"]).fails(1);
    let lines = std::fs::read_to_string(place.path().join("tasks.ndjson")).unwrap();
    assert_eq!(lines.lines().count(), 303, "302 tasks and the last line");
    let first = json(lines.lines().next().unwrap());
    assert_eq!(first["task"]["id"], blob.as_str(), "the oldest comes first");
    let imported =
        json(&place.run(["import", "tasks.ndjson", "--data", "copy", "-o", "json"]).ok());
    assert_eq!((&imported["inserted"], &imported["refused"]), (&302.into(), &0.into()));
    let again = json(&place.run(["import", "tasks.ndjson", "--data", "copy", "-o", "json"]).ok());
    assert_eq!((&again["inserted"], &again["existing"]), (&0.into(), &302.into()));
    place.run(["export", "copy.ndjson", "--data", "copy"]).ok();
    let tasks = |text: &str| -> Vec<Value> {
        text.lines().map(|line| json(line)["task"].clone()).collect()
    };
    let copied = std::fs::read_to_string(place.path().join("copy.ndjson")).unwrap();
    assert_eq!(tasks(&copied), tasks(&lines), "the same tasks in the same order");
    assert!(copied.contains("{\"n\":  1.50}"), "JSON is kept byte for byte");
    place.run(["export", "--data", "nowhere"]).fails(74);
}

#[test]
fn an_export_that_was_cut_short_or_is_refused_is_said() {
    let (place, _server) = Place::with_dev();
    place.enqueue(["k", "1", "--count", "3"]);
    let lines = place.run(["export"]).ok();
    let cut = lines.lines().take(2).collect::<Vec<_>>().join("\n");
    let put = |text: &str| std::fs::write(place.path().join("in"), text).unwrap();
    put(&cut);
    let said = place.run(["import", "in", "--data", "a"]).fails(65);
    assert!(said.contains("cut short"), "{said}");
    put(&lines.replace("\"payload\":1", "\"payload\":2"));
    let said = place.run(["import", "in"]).fails(1);
    assert!(said.contains("id_conflict") && said.contains("3 tasks refused"), "{said}");
    put("{\"task\": 1}\n");
    let said = place.run(["import", "in"]).fails(2);
    assert!(said.contains("line 1"), "{said}");
}
