//! The suite can fail: each bug of the layer Simulation, planted, is caught with its invariant.

use std::io;
use std::process::Command;

use haulier_core::probe::{Layer, PLANTS};

/// Runs the seeds of this binary again in a process where the bug is planted.
fn run_with(plant: &str) -> io::Result<(bool, String)> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--exact", "seeds::no_seed_breaks_a_promise", "--nocapture"])
        .env("HAULIER_PLANT", plant)
        .env("HAULIER_SEEDS", "0..300")
        .env_remove("HAULIER_RARE")
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn every_planted_bug_of_the_simulation_is_caught_with_its_invariant() {
    let mut caught = 0;
    for plant in PLANTS.iter().filter(|plant| plant.layer == Layer::Simulation) {
        let (passed, said) = run_with(plant.name).unwrap();
        assert!(!passed, "{} is not caught", plant.name);
        let named = format!("\n{} of task", plant.breaks);
        assert!(said.contains(&named), "{} is not called {}:\n{said}", plant.name, plant.breaks);
        caught += 1;
    }
    assert_eq!(caught, 3);
}
