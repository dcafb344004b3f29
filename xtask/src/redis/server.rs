//! One Redis for one command, in a directory of its own that is gone when the command ends. Every
//! round has a new one: nothing that was written before burdens it.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::bench::{self, Ground, run};

/// A Redis that can be made anew.
#[derive(Debug)]
pub struct Server {
    dir: PathBuf,
    port: u16,
    fsync: String,
    process: RefCell<Option<Child>>,
}

impl Server {
    /// Will make its files below this directory.
    pub fn below(dir: &Path, fsync: &str) -> Result<Self, String> {
        let dir = dir.join(format!("haulier-redis-{}", std::process::id()));
        let port = bench::free_port()?;
        Ok(Self { dir, port, fsync: fsync.to_owned(), process: RefCell::new(None) })
    }

    /// What differs from the defaults.
    pub fn settings(&self) -> String {
        format!("appendonly yes, appendfsync {}, no snapshots", self.fsync)
    }

    /// What it answers to a command.
    pub fn ask(&self, words: &[&str]) -> Result<String, String> {
        run(Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(words))
    }

    /// One field of what it tells of itself.
    pub fn info(&self, section: &str, field: &str) -> Result<String, String> {
        let said = self.ask(&["INFO", section])?;
        let mut lines = said.lines().map(str::trim_end);
        let value = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.map(str::to_owned).ok_or_else(|| format!("Redis tells no {field}"))
    }

    /// A field that is a number.
    pub fn number(&self, section: &str, field: &str) -> Result<f64, String> {
        self.info(section, field)?.parse().map_err(|_| format!("{field} is no number"))
    }

    fn stop(&self) {
        if let Some(mut process) = self.process.borrow_mut().take() {
            let _gone = process.kill().is_err() || process.wait().is_err();
        }
        if self.dir.exists()
            && let Err(why) = fs::remove_dir_all(&self.dir)
        {
            eprintln!("{} is left: {why}", self.dir.display());
        }
    }
}

impl Ground for Server {
    fn fresh(&self) -> Result<String, String> {
        self.stop();
        fs::create_dir_all(&self.dir).map_err(|why| format!("{}: {why}", self.dir.display()))?;
        let log = fs::File::create(self.dir.join("log")).map_err(|why| why.to_string())?;
        let process = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", &self.fsync, "--dir"])
            .arg(&self.dir)
            .stdin(Stdio::null())
            .stdout(log)
            .spawn()
            .map_err(|why| format!("redis-server: {why}"))?;
        *self.process.borrow_mut() = Some(process);
        let ready = || self.ask(&["PING"]).is_ok_and(|said| said == "PONG");
        if !bench::patiently(60, ready) {
            let said = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            return Err(format!("Redis does not come up: {said}"));
        }
        Ok(format!("redis://127.0.0.1:{}", self.port))
    }

    fn prepare(&self, _haulier: &Path, _url: &str) -> Result<(), String> {
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
