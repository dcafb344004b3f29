//! What the program says: help for every command, and errors that name the next step. The texts
//! stand in `tests/words`; `TRYCMD=overwrite` writes them anew.

use crate::kit::{HAULIER, Place, command, finish};

#[test]
fn help_and_errors_say_what_they_have_always_said() {
    trycmd::TestCases::new().case("tests/words/*.trycmd");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    let mut shell = command("/bin/sh", place.path());
    shell.args(["-c", &format!("({HAULIER} completions bash; echo $? > code) | head -n 1")]);
    assert_eq!(finish(shell).code, Some(0));
    assert_eq!(std::fs::read_to_string(place.path().join("code")).unwrap(), "0\n");
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let place = Place::new();
    let written = place.run(["man", "pages"]).ok();
    for page in ["haulier.1", "haulier-tasks-list.1", "haulier-quickstart.1"] {
        assert!(written.lines().any(|line| line.ends_with(page)), "{page}: {written}");
        let text = std::fs::read_to_string(place.path().join("pages").join(page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
    }
    assert!(!written.contains("quickstart-worker"), "hidden commands have no page");
}

#[test]
fn a_server_that_is_not_there_is_named_with_what_to_start() {
    let place = Place::new();
    for args in [&["tasks", "list"][..], &["enqueue", "hello"], &["queues", "list"]] {
        let said = place.run(args).fails(69);
        assert!(said.starts_with("error: ") && said.contains("haulier dev"), "{args:?}: {said}");
    }
    let said = place.run(["healthcheck"]).fails(1);
    assert!(said.contains("does not answer"), "{said}");
}

#[test]
fn every_setting_of_a_server_is_a_flag() {
    let help = Place::new().run(["serve", "--help"]).ok();
    for key in haulier_server::config::KEYS {
        assert!(help.contains(&key.flag()), "{}", key.name);
        assert!(help.contains(key.help), "{}", key.name);
    }
}
