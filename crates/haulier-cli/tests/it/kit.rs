//! Starting the binary, with an environment of its own and an end for everything that was started.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// What takes longer than this hangs.
const PATIENCE: Duration = Duration::from_mins(2);

/// Does what may block for ever, but not for ever.
#[track_caller]
pub fn bounded<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(what()));
    receiver.recv_timeout(PATIENCE).expect("it hangs, or it failed")
}

/// The program under test.
pub const HAULIER: &str = env!("CARGO_BIN_EXE_haulier");

/// A command in `dir`, free of the caller's settings.
pub fn command(program: &str, dir: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HAULIER_") {
            command.env_remove(name);
        }
    }
    command.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a command left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Its standard output, if it ended well.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// Its standard error, if it ended with that code.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.stderr
    }
}

/// Runs a command to its end.
pub fn finish(mut command: Command) -> Ran {
    let running = command.spawn().unwrap();
    let id = running.id();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(running.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(PATIENCE) else {
        signal(id, Signal::KILL);
        panic!("{command:?} hangs");
    };
    let output = output.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

pub fn signal(id: u32, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    kill_process(id, signal).unwrap();
}

/// A process that goes on until it is told to end; killed when this is dropped.
pub struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    errors: mpsc::Receiver<String>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = follow(child.stdout.take().unwrap());
        let errors = follow(child.stderr.take().unwrap());
        Self { child, lines, errors }
    }

    /// The next line on standard output.
    #[track_caller]
    pub fn line(&self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(error) => {
                panic!("{error}; it said {:?}", self.errors.try_iter().collect::<Vec<_>>())
            }
        }
    }

    /// Waits until standard error says `word`.
    #[track_caller]
    pub fn wait_for(&self, word: &str) {
        while !self.errors.recv_timeout(PATIENCE).unwrap().contains(word) {}
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal and waits for the end.
    #[track_caller]
    pub fn end(&mut self, with: Signal) -> ExitStatus {
        signal(self.id(), with);
        self.ended()
    }

    /// Waits for an end that comes by itself. Its outputs end with it.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        while self.errors.recv_timeout(PATIENCE) != Err(mpsc::RecvTimeoutError::Disconnected) {}
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
    }
}

fn follow(pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            // Nobody has to listen.
            if line.is_ok_and(|line| sender.send(line).is_ok()) {
                continue;
            }
            break;
        }
    });
    receiver
}

/// A directory with a server that may be there.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub url: String,
}

impl Place {
    /// A directory; commands find no server.
    pub fn new() -> Self {
        let url = "http://127.0.0.1:1".to_owned();
        Self { dir: tempfile::tempdir().unwrap(), url }
    }

    /// A directory and a server in memory.
    pub fn with_dev() -> (Self, Running) {
        let mut place = Self::new();
        let server = place.start(["dev", "--listen", "127.0.0.1:0"]);
        place.url = server.line();
        (place, server)
    }

    /// A directory and a server on an embedded store in it.
    pub fn with_server() -> (Self, Running) {
        let mut place = Self::new();
        let server = place.serve("127.0.0.1:0");
        place.url = server.line();
        (place, server)
    }

    /// Starts a server on the directory's data.
    pub fn serve(&self, listen: &str) -> Running {
        self.start(["serve", "--data", "data", "--listen", listen])
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = command(HAULIER, self.path());
        command.env("HAULIER_URL", &self.url).args(args);
        command
    }

    pub fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ran {
        finish(self.command(args))
    }

    pub fn start<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Running {
        Running::start(self.command(args))
    }

    /// A worker that runs a program for each task of a kind.
    pub fn work(&self, kind: &str, program: &str) -> Running {
        let worker = self.start(["work", "--kind", kind, "--exec", program, "--ttl", "2s"]);
        worker.wait_for("working");
        worker
    }

    /// A task as the API shows it, payload and result included.
    pub fn task(&self, id: &str) -> serde_json::Value {
        let shown =
            self.run(["tasks", "show", id, "--include", "payload,result", "-o", "json"]).ok();
        serde_json::from_str(&shown).unwrap()
    }

    /// Hands a task over and returns its id.
    pub fn enqueue<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> String {
        let args = ["enqueue", "-o", "name"].into_iter().chain(args);
        self.run(args).ok().trim().to_owned()
    }
}
