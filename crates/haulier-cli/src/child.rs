//! Child processes of the same program: the servers and workers that `quickstart` and `bench`
//! start.
//!
//! A child stands in a process group of its own, so that an interrupt at the terminal reaches the
//! parent alone, and reads a pipe that ends with the parent, however that dies: nothing is left
//! behind. It says on standard output, in one line, that it is ready; what else it says goes to a
//! file. Dropping a [`Process`] kills it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use haulier_core::Clock;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Failed, Result};
use crate::output;

/// How long a child may take until it is ready, or until it has ended after a polite signal.
const PATIENCE: Duration = Duration::from_secs(30);
/// The line that lets a child outlive its parent.
const KEEP: &str = "keep";
/// How much of a child's last words an error repeats.
const LAST_WORDS_BYTES: u64 = 2_000;

/// A running child.
#[derive(Debug)]
pub struct Process {
    what: &'static str,
    child: Child,
    id: Pid,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
    /// It lives on when this goes.
    kept: bool,
}

impl Drop for Process {
    /// It is gone when this returns: whoever says so must not be contradicted by `ps`.
    fn drop(&mut self) {
        if self.kept || self.child.start_kill().is_err() {
            // It is left alone, or has ended already.
            return;
        }
        while let Ok(None) = self.child.try_wait() {
            std::thread::yield_now();
        }
    }
}

impl Process {
    /// Starts this program with other arguments. `log` takes what it says on standard error.
    pub fn start<A: AsRef<OsStr>>(
        what: &'static str,
        args: impl IntoIterator<Item = A>,
        log: &Path,
    ) -> Result<Self> {
        Self::start_by(Vec::new(), what, args, log)
    }

    /// As [`Process::start`], by another program, with its arguments, that becomes ours, as `nice`
    /// and a detached tracer do: it stays our child.
    fn start_by<A: AsRef<OsStr>>(
        by: Vec<OsString>,
        what: &'static str,
        args: impl IntoIterator<Item = A>,
        log: &Path,
    ) -> Result<Self> {
        let cannot =
            |error: std::io::Error| Failed::io(format_args!("cannot start a {what}"), &error);
        let program = std::env::current_exe().map_err(cannot)?;
        let errors = File::options().create(true).append(true).open(log).map_err(cannot)?;
        let mut words = by.into_iter().chain([program.into_os_string()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        // What is set for the user's own servers is not meant for these.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HAULIER_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(cannot)?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let (Some(id), Some(stdin), Some(stdout)) = (id, child.stdin.take(), child.stdout.take())
        else {
            return Err(Failed::new(Exit::Bug, format!("a {what} started without pipes")));
        };
        let lines = BufReader::new(stdout).lines();
        Ok(Self { what, child, id, stdin, lines, log: log.to_owned(), kept: false })
    }

    /// Starts a server on an embedded store; returns with the URL that it listens on.
    pub async fn start_server(
        data: &Path,
        listen: &str,
        log: &Path,
        clock: &dyn Clock,
    ) -> Result<(Self, String)> {
        Self::start_server_by(Vec::new(), data, listen, log, clock).await
    }

    /// As [`Process::start_server`], by another program that becomes ours.
    pub async fn start_server_by(
        by: Vec<OsString>,
        data: &Path,
        listen: &str,
        log: &Path,
        clock: &dyn Clock,
    ) -> Result<(Self, String)> {
        let args: [&OsStr; 6] = [
            "serve".as_ref(),
            "--leashed".as_ref(),
            "--listen".as_ref(),
            listen.as_ref(),
            "--data".as_ref(),
            data.as_ref(),
        ];
        let mut server = Self::start_by(by, "server", args, log)?;
        let url = server.line(clock).await?;
        Ok((server, url))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.id.as_raw_nonzero().get().unsigned_abs()
    }

    /// Its next line on standard output, as in "I am ready".
    pub async fn line(&mut self, clock: &dyn Clock) -> Result<String> {
        let line = tokio::select! {
            line = self.lines.next_line() => line.ok().flatten(),
            () = clock.sleep(PATIENCE) => None,
        };
        match line {
            Some(line) => Ok(line),
            None => Err(self.last_words("did not become ready")),
        }
    }

    /// Ends it as a power cut would: no last words, no clean-up. Returns once it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.map_err(|error| Failed::io(self.what, &error))
    }

    /// Asks it to end and waits until it has; one that does not is killed and reported.
    pub async fn stop(&mut self, clock: &dyn Clock) -> Result<()> {
        // A child that ended by itself is reported by its status below.
        if let Some(id) = self.child.id().and(Some(self.id)) {
            kill_process(id, Signal::TERM)
                .map_err(|error| Failed::io(self.what, &std::io::Error::from(error)))?;
        }
        let ended = tokio::select! {
            ended = self.child.wait() => Some(ended),
            () = clock.sleep(PATIENCE) => None,
        };
        match ended {
            Some(Ok(status)) if status.success() => Ok(()),
            Some(Ok(status)) => Err(self.last_words(&format!("ended with {status}"))),
            Some(Err(error)) => Err(Failed::io(self.what, &error)),
            None => {
                self.kill().await?;
                Err(self.last_words("did not stop when it was asked to"))
            }
        }
    }

    /// Tells if it has ended although nobody asked it to.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.last_words(&format!("ended by itself, {status}"))),
            Err(error) => Err(Failed::io(self.what, &error)),
        }
    }

    /// Lets it live on after this process.
    pub async fn keep(mut self) -> Result<u32> {
        let line = format!("{KEEP}\n");
        let told = self.stdin.write_all(line.as_bytes()).await;
        told.map_err(|error| Failed::io(self.what, &error))?;
        // It has to have read the line before the pipe ends.
        match self.lines.next_line().await {
            Ok(Some(answer)) if answer == KEEP => {
                self.kept = true;
                Ok(self.id())
            }
            _ => Err(self.last_words("did not hear that it shall stay")),
        }
    }

    fn last_words(&self, why: &str) -> Failed {
        let said = tail(&self.log).unwrap_or_default();
        let what = format!("the {} (pid {}) {why}", self.what, self.id());
        let failed = match said.trim() {
            "" => Failed::new(Exit::Bug, what),
            said => Failed::new(Exit::Bug, format!("{what}; it said last: {said}")),
        };
        failed.next(format!("read {}", self.log.display()))
    }
}

/// The child's side: the token is cancelled once the parent has ended, unless it said `keep`
/// before.
pub fn leash() -> CancellationToken {
    let parent_gone = CancellationToken::new();
    let token = parent_gone.clone();
    // A thread of its own: a blocking read of the runtime would hold up the end of the process.
    std::thread::spawn(move || {
        if !told_to_stay() {
            token.cancel();
        }
    });
    parent_gone
}

/// Listens until the parent has ended or said `keep`; answers that.
fn told_to_stay() -> bool {
    let mut said = std::io::stdin().lines().map_while(std::io::Result::ok);
    said.any(|line| line == KEEP) && output::line(format_args!("{KEEP}")).is_ok()
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LAST_WORDS_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
