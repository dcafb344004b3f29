//! Planted bugs of several servers on one database: each is caught by its test, as what it is.

use std::process::{Command, Stdio};

use haulier_conformance::prelude::Must;
use haulier_core::probe::{Layer, PLANTS};

/// The test that has to fail because of it.
fn catcher(plant: &str) -> &'static str {
    match plant {
        "old-key-settles" => "contract::fence::a_superseded_key_can_neither_beat_nor_settle",
        "lease-ends-early" => {
            "contract::fence::a_settled_task_stays_as_it_is_when_its_lease_would_have_run_out"
        }
        "unknown-told-as-refused" => {
            "outages::a_call_whose_end_was_not_answered_is_told_as_one_that_may_have_happened"
        }
        "generation-kept" => "check::a_backup_that_was_put_in_place_never_repeats_a_generation",
        "news-lost" => {
            "claims::a_worker_waiting_at_one_server_is_woken_by_a_task_enqueued_at_another"
        }
        "latecomer-missed" => {
            "claims::a_task_that_came_into_line_late_and_was_told_by_nobody_is_found"
        }
        _ => panic!("{plant} is caught by no test here"),
    }
}

#[test]
fn every_bug_of_several_servers_on_one_database_is_caught_by_its_name() {
    let start = |plant: &str| {
        let mut command = Command::new(std::env::current_exe().must());
        command.args(["--exact", "--nocapture", catcher(plant)]).env("HAULIER_PLANT", plant);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().must()
    };
    let plants = PLANTS.iter().filter(|plant| plant.layer == Layer::Servers);
    // Side by side: most of them wait, in vain.
    let started: Vec<_> = plants.map(|plant| (plant, start(plant.name))).collect();
    assert!(!started.is_empty());
    for (plant, child) in started {
        let output = child.wait_with_output().must();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(said.contains("running 1 test"), "{} has no test: {said}", plant.name);
        assert!(!output.status.success(), "{} was not caught", plant.name);
        let named = format!("{}:", plant.breaks);
        assert!(said.contains(&named), "{} was caught as something else: {said}", plant.name);
    }
}
