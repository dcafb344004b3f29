//! `cargo xtask loom`: every order of what several threads do, where they meet without a runtime's
//! help. It builds apart from everything else, because locks are models there.

use std::process::Command;

use crate::{metadata, root};

/// Runs the models.
pub fn run() -> Result<(), String> {
    let directory = metadata::read()?.target_directory.join("loom");
    let status = Command::new("cargo")
        .args(["test", "--locked", "-p", "haulier-embedded", "--lib", "inbox::"])
        .env("RUSTFLAGS", "--cfg loom")
        .env("CARGO_TARGET_DIR", directory)
        .current_dir(root())
        .status()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("the models ended with {status}")) }
}
