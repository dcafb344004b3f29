//! What `cargo metadata` says about the workspace, reduced to what the checks ask for.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::root;

/// The workspace and everything it stands on.
#[derive(Debug, Default)]
pub struct Metadata {
    /// Every package of the lock file.
    pub packages: Vec<Package>,
    /// Examples of our own crates, by name.
    pub examples: Vec<String>,
    /// Where cargo builds.
    pub target_directory: PathBuf,
}

/// One package.
#[derive(Debug, Clone, Default)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence as an SPDX expression; empty if it names none.
    pub license: String,
    /// Where it comes from; `None` for our own.
    pub source: Option<String>,
    /// What its manifest names.
    pub dependencies: Vec<Dependency>,
}

/// One line of a manifest's dependencies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The package.
    pub name: String,
    /// Only for tests.
    pub dev: bool,
}

impl Package {
    /// Whether it is one of ours.
    pub fn is_ours(&self) -> bool {
        self.source.is_none()
    }
}

/// Asks cargo.
pub fn read() -> Result<Metadata, String> {
    let text = cargo(&["metadata", "--format-version", "1", "--locked"])?;
    let value: Value =
        serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    Ok(parse(&value))
}

/// What a cargo command prints.
pub fn cargo(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("cargo")
        .args(arguments)
        .current_dir(root())
        .output()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo {} ended with {}\n{said}", arguments.join(" "), output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn parse(value: &Value) -> Metadata {
    let packages = list(value, "packages").map(package).collect();
    let ours = list(value, "packages").filter(|package| package["source"].is_null());
    let examples = ours
        .flat_map(|package| list(package, "targets"))
        .filter(|target| list(target, "kind").any(|kind| kind == "example"))
        .map(|target| text(target, "name"))
        .collect();
    Metadata { packages, examples, target_directory: text(value, "target_directory").into() }
}

fn package(value: &Value) -> Package {
    Package {
        name: text(value, "name"),
        version: text(value, "version"),
        license: text(value, "license"),
        source: value["source"].as_str().map(str::to_owned),
        dependencies: list(value, "dependencies")
            .map(|dependency| Dependency {
                name: text(dependency, "name"),
                dev: dependency["kind"] == "dev",
            })
            .collect(),
    }
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_without_a_source_is_ours_and_its_examples_are_found() {
        let value = serde_json::json!({
            "target_directory": "/t",
            "packages": [
                { "name": "ours", "version": "1.0.0", "license": "MIT", "source": null,
                  "dependencies": [{ "name": "theirs", "kind": null }, { "name": "p", "kind": "dev" }],
                  "targets": [{ "name": "email", "kind": ["example"] }, { "name": "ours", "kind": ["lib"] }] },
                { "name": "theirs", "version": "2.0.0", "license": null, "source": "registry+x",
                  "dependencies": [], "targets": [{ "name": "demo", "kind": ["example"] }] },
            ],
        });
        let metadata = parse(&value);
        assert_eq!(metadata.examples, ["email"]);
        assert!(metadata.packages[0].is_ours() && !metadata.packages[1].is_ours());
        assert_eq!(metadata.packages[1].license, "");
        let dev: Vec<bool> = metadata.packages[0].dependencies.iter().map(|d| d.dev).collect();
        assert_eq!(dev, [false, true]);
    }
}
