//! `cargo xtask release`: what is shipped holds nothing that tests look into it with. No planted
//! bug stands in the program, and whoever asks for one is refused like any variable that is not
//! known.

use std::fs;
use std::path::Path;
use std::process::Command;

use haulier_core::probe::PLANTS;

use crate::{gate, metadata};

/// The variables of a build for tests; see `haulier_core::probe`.
const VARIABLES: [&str; 3] = ["HAULIER_PLANT", "HAULIER_FAILPOINT", "HAULIER_RARE"];
/// The exit code of settings that cannot be used.
const REFUSED: i32 = 78;

/// Builds the program as it is shipped, and looks into it.
pub fn run() -> Result<(), String> {
    gate::shell("cargo build --release --locked --package haulier-cli --bin haulier")?;
    let program = metadata::read()?.target_directory.join("release/haulier");
    let bytes = fs::read(&program).map_err(|why| format!("{}: {why}", program.display()))?;
    if let Some(name) = probe_in(&bytes) {
        return Err(format!("`{name}` stands in {}: it was built with probes", program.display()));
    }
    VARIABLES.iter().try_for_each(|variable| refuses(&program, variable))
}

/// A name of the probes that stands in a program.
fn probe_in(program: &[u8]) -> Option<&'static str> {
    let names = PLANTS.iter().map(|plant| plant.name).chain(VARIABLES);
    names
        .into_iter()
        .find(|name| program.windows(name.len()).any(|window| window == name.as_bytes()))
}

/// The program starts no server with such a variable, and names it.
fn refuses(program: &Path, variable: &str) -> Result<(), String> {
    let output = Command::new(program)
        // Were the variable not refused, the store would end it as soon.
        .args(["serve", "--store", "memory:", "--listen", "192.0.2.1:1"])
        .env(variable, "endless-inbox")
        .output()
        .map_err(|why| format!("{} could not be started: {why}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(REFUSED) && said.contains(variable) {
        return Ok(());
    }
    Err(format!("{variable} is not refused: {}, {said}", output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_built_with_probes_is_told_by_their_names() {
        assert_eq!(probe_in(b"\0\0ack-before-sync\0"), Some("ack-before-sync"));
        assert_eq!(probe_in(b"\0HAULIER_RARE\0"), Some("HAULIER_RARE"));
        assert_eq!(probe_in(b"HAULIER_LISTEN"), None);
    }

    #[test]
    fn a_program_that_takes_any_variable_is_told_by_what_it_does() {
        let why = refuses(Path::new("true"), "HAULIER_PLANT").unwrap_err();
        assert!(why.contains("not refused"), "{why}");
    }
}
