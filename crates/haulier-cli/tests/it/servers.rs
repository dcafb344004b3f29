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
        ("listen = ", "not valid TOML"),
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
