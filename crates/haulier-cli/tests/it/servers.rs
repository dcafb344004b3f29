//! Starting, stopping, killing servers, and what keeps one from starting.

use std::net::TcpListener;

use rustix::process::Signal;

use crate::kit::{Place, finish};

#[test]
fn a_server_says_where_it_listens_what_it_keeps_and_ends_well() {
    let place = Place::new();
    let mut server = place.serve("127.0.0.1:0");
    let url = server.line();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    server.wait_for("D2: synced to disk");
    let mut check = place.command(["healthcheck", "--url", &url]);
    check.env_remove("HAULIER_URL");
    assert_eq!(finish(check).ok(), "ready\n");
    assert!(server.end(Signal::TERM).success());
}

#[test]
fn a_killed_server_loses_no_acknowledged_task() {
    let (mut place, mut server) = Place::with_server();
    let ids = place.enqueue(["k", "{\"n\": 1}", "--count", "500"]);
    assert_eq!(ids.lines().count(), 500);
    server.end(Signal::KILL);
    let address = place.url.trim_start_matches("http://").to_owned();
    let _server = {
        let again = place.serve(&address);
        place.url = again.line();
        again
    };
    let listed = place.run(["tasks", "list", "--limit", "1000", "-o", "name"]).ok();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&listed), sorted(&ids));
    let one = ids.lines().next().unwrap();
    assert_eq!(place.task(one)["payload"]["n"], 1);
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let (place, _server) = Place::with_server();
    let said = place.run(["serve", "--data", "data", "--listen", "127.0.0.1:0"]).fails(78);
    assert!(said.contains("error: ") && said.contains("data"), "{said}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = place.run(["serve", "--store", "memory:", "--listen", &address]).fails(78);
    assert!(said.contains(&address) && said.contains("another program uses it"), "{said}");
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let place = Place::new();
    std::fs::write(place.path().join("file"), "").unwrap();
    let said = place.run(["serve", "--data", "file/below", "--listen", "127.0.0.1:0"]).fails(74);
    assert!(said.contains("file/below"), "{said}");
}

#[test]
fn settings_that_cannot_be_used_are_named_with_their_neighbours() {
    let place = Place::new();
    let file = place.path().join("haulier.toml");
    for (text, word) in [
        ("lisen = \"127.0.0.1:0\"", "did you mean `listen`?"),
        ("drain_timeout = \"soon\"", "not a duration"),
        ("listen = \"0.0.0.0:0\"", "loopback"),
        ("# ok\nlisten = ", "(line 2, column 10)"),
        ("min_durability = \"D3\"\nstore = \"memory:\"", "D0"),
        ("store = \"mysql://db\"", "known are"),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = place.run(["serve", "-c", "haulier.toml"]).fails(78);
        assert!(said.contains(word), "{text}: {said}");
    }
    let mut unknown = place.command(["config", "check"]);
    unknown.env("HAULIER_LISEN", "127.0.0.1:0");
    let said = finish(unknown).fails(78);
    assert!(said.contains("HAULIER_LISTEN"), "{said}");
    place.run(["serve", "-c", "nowhere.toml"]).fails(78);
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let place = Place::new();
    std::fs::write(
        place.path().join("haulier.toml"),
        "drain_timeout = \"1s\"\nlog_level = \"warn\"",
    )
    .unwrap();
    let mut show =
        place.command(["config", "show", "-c", "haulier.toml", "--listen", "127.0.0.1:7"]);
    show.env("HAULIER_DRAIN_TIMEOUT", "2s").env("HAULIER_LISTEN", "127.0.0.1:8");
    let shown = finish(show).ok();
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert!(line("listen").contains("127.0.0.1:7") && line("listen").contains("--listen"));
    assert!(line("drain_timeout").contains("2s") && line("drain_timeout").contains("variable"));
    assert!(line("log_level").contains("warn") && line("log_level").contains("haulier.toml"));
    assert!(line("min_durability").contains("default"));
}

#[test]
fn a_configuration_file_is_written_once_and_accepted() {
    let place = Place::new();
    place.run(["config", "init", "haulier.toml"]).ok();
    assert_eq!(place.run(["config", "check", "-c", "haulier.toml"]).ok(), "ok\n");
    let said = place.run(["config", "init", "haulier.toml"]).fails(1);
    assert!(said.contains("left alone"), "{said}");
}

#[test]
fn the_doctor_says_how_the_machine_and_the_server_are() {
    let (place, _server) = Place::with_dev();
    let report = place.run(["doctor", "--data", ".", "-o", "json"]).ok();
    let checks: serde_json::Value = serde_json::from_str(&report).unwrap();
    let names: Vec<&str> =
        checks.as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["space", "sync", "clock", "limits", "server", "durability"]);
    let lost = Place::new().run(["doctor", "--data", "."]).fails(1);
    assert!(lost.contains("something has to be done"), "{lost}");
}

/// The first segment of a place's log, changed and written back.
fn change_segment(place: &Place, change: impl FnOnce(&mut Vec<u8>)) {
    let mut segments: Vec<_> = std::fs::read_dir(place.path().join("data"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "segment"))
        .collect();
    segments.sort();
    let mut bytes = std::fs::read(&segments[0]).unwrap();
    change(&mut bytes);
    std::fs::write(&segments[0], bytes).unwrap();
}

/// A place with a log that was closed in good order.
fn place_with_log() -> Place {
    let (place, mut server) = Place::with_server();
    place.enqueue(["k", "\"the needle\"", "--count", "3"]);
    assert!(server.end(Signal::TERM).success());
    place
}

#[test]
fn a_directory_that_was_closed_well_is_sound() {
    let place = place_with_log();
    let said = place.run(["verify", "data"]).ok();
    assert!(said.ends_with("sound\n"), "{said}");
    let report = place.run(["verify", "data", "--repair", "-o", "json"]).ok();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["sound"], &report["parts"]), (&true.into(), &3.into()));
    place.run(["verify", "nowhere"]).fails(74);
    let said = place.run(["verify", "."]).fails(74);
    assert!(said.contains("holds no store"), "a mistyped path is not sound: {said}");
}

#[test]
fn a_damaged_payload_is_found_by_verify() {
    let place = place_with_log();
    change_segment(&place, |bytes| {
        let at = bytes.windows(10).position(|window| window == b"the needle").unwrap();
        bytes[at] ^= 1;
    });
    let said = place.run(["verify", "data"]).fails(65);
    assert!(said.contains("damaged"), "{said}");
}

#[test]
fn a_server_does_not_start_on_a_log_that_is_damaged_where_it_was_durable() {
    let place = place_with_log();
    // The first frame behind the segment's header; what follows shows that it was durable.
    change_segment(&place, |bytes| bytes[70] ^= 1);
    let said = place.run(["serve", "--data", "data", "--listen", "127.0.0.1:0"]).fails(65);
    assert!(said.contains("damaged at byte") && said.contains("haulier verify"), "{said}");
    place.run(["verify", "data"]).fails(65);
}

#[test]
fn a_directory_of_a_newer_version_is_left_alone() {
    let place = place_with_log();
    change_segment(&place, |bytes| {
        bytes[8] = 99;
        let checksum = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
    });
    let said = place.run(["serve", "--data", "data", "--listen", "127.0.0.1:0"]).fails(78);
    assert!(said.contains("format 99") && said.contains("newer haulier"), "{said}");
}
