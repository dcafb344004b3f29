//! A directory and the real server on it, started in any way, and its end; the end of every run.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use haulier::Client;
use haulier_sim::check::STORE;
use haulier_sim::history::Fault;
use haulier_sim::nemesis::Load;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use crate::http;
use crate::kit::{HAULIER, connect, until};

/// In a network of its own every test has every port. Where there are several servers, this is the
/// first one's.
pub const PORT: u16 = 7420;
const PATIENCE: Duration = Duration::from_mins(2);

/// Where a test lives.
pub struct Site {
    dir: tempfile::TempDir,
    /// Where the server keeps its store; a fault disk may be mounted here.
    pub data: PathBuf,
    /// The URL of the store, if it is not that directory.
    store: Option<String>,
    /// The ports of all servers on this store.
    ports: Vec<u16>,
    turn: AtomicUsize,
}

/// How a server is started.
#[derive(Debug, Default, Clone)]
pub struct Setup {
    /// A program with its arguments that starts the server.
    pub under: Vec<String>,
    pub env: Vec<(String, String)>,
    /// More arguments.
    pub args: Vec<String>,
}

impl Setup {
    /// Started by another program: `strace …`.
    pub fn under<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Self {
        Self { under: words.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// With one kind of system call tampered with: `error=EIO:when=7`.
    pub fn inject(call: &str, how: &str) -> Self {
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:{how}"));
        let words = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e"];
        Self::under(words.into_iter().map(str::to_owned).chain([trace, "-e".to_owned(), inject]))
    }
}

impl Site {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("disk/data");
        std::fs::create_dir(dir.path().join("disk")).unwrap();
        Self { dir, data, store: None, ports: vec![PORT], turn: AtomicUsize::new(0) }
    }

    /// With a store elsewhere, and as many servers on it as there are ports.
    pub fn on(self, store: String, ports: Vec<u16>) -> Self {
        Self { store: Some(store), ports, ..self }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where something can be mounted so that the store lies on it.
    pub fn disk(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Where to ask: whoever comes next is sent to the next server.
    pub fn url(&self) -> String {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.ports.len();
        format!("http://127.0.0.1:{}", self.ports[turn])
    }

    /// Every server's address, for whoever goes on to the next one by itself.
    pub fn urls(&self) -> String {
        let urls: Vec<_> =
            self.ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
        urls.join(",")
    }

    /// Under which name the end of a server stands in a history. A store that lives in its server
    /// may forget with it what was not synced; a database forgets nothing.
    pub fn server_name(&self) -> &'static str {
        if self.store.is_some() { "server" } else { STORE }
    }

    pub async fn client(&self) -> Client {
        connect(&self.url()).await
    }

    fn log(&self) -> File {
        let path = self.dir.path().join("log");
        OpenOptions::new().create(true).append(true).open(path).unwrap()
    }

    /// What every process said.
    pub fn text(&self) -> String {
        let text = std::fs::read(self.dir.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The end of it.
    pub fn said(&self) -> String {
        let text = self.text();
        let from = text.ceil_char_boundary(text.len().saturating_sub(3_000));
        text[from..].to_owned()
    }

    /// Starts the program, or another that starts it.
    pub fn start<A: AsRef<OsStr>>(
        &self,
        setup: &Setup,
        args: impl IntoIterator<Item = A>,
    ) -> Running {
        let mut words = setup.under.iter().map(String::as_str).chain([HAULIER]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).args(args).args(&setup.args);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("HAULIER_") && text != "HAULIER_PLANT" && text != "HAULIER_RARE" {
                command.env_remove(name);
            }
        }
        command.env("HAULIER_URL", self.url()).envs(setup.env.iter().map(|(n, v)| (n, v)));
        command.current_dir(self.path()).stdin(Stdio::null()).process_group(0);
        command.stdout(self.log()).stderr(self.log());
        let child = command.kill_on_drop(true).spawn().unwrap();
        Running { id: child.id().unwrap(), child, port: PORT }
    }

    /// Starts a server without waiting for it.
    pub fn launch(&self, setup: &Setup) -> Running {
        self.launch_at(PORT, setup)
    }

    /// The same on another port.
    pub fn launch_at(&self, port: u16, setup: &Setup) -> Running {
        let listen = format!("127.0.0.1:{port}");
        let (word, store) = match &self.store {
            Some(url) => ("--store", url.as_str()),
            None => ("--data", self.data.to_str().unwrap()),
        };
        let mut server = self.start(setup, ["serve", word, store, "--listen", &listen]);
        server.port = port;
        server
    }

    /// Starts a server and waits until it takes calls.
    pub async fn serve(&self, setup: &Setup) -> Running {
        let mut server = self.launch(setup);
        if let Some(code) = server.ready().await {
            panic!("the server ended with {code:?}: {}", self.said());
        }
        server
    }

    /// Runs the program to its end: its exit code and what it printed.
    pub async fn run(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(HAULIER);
        command.args(args).env("HAULIER_URL", self.url()).current_dir(self.path());
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output()).await.unwrap().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Kills the server and starts it again; the history knows of it.
    pub async fn crash(&self, load: &Load, server: Running, down: Duration) -> Running {
        load.recorder.fault(self.server_name(), Fault::Crash);
        server.kill().await;
        crate::kit::rest(down).await;
        let server = self.serve(&Setup::default()).await;
        load.recorder.heal(self.server_name(), Fault::Crash);
        server
    }

    /// The end of a run: drain, read all, restart, read all again, both alike, nothing accused.
    pub async fn finish(&self, name: &str, mut load: Load, server: Running) {
        let client = self.client().await;
        if let Err(why) = load.drain(&client).await {
            panic!("{why}\n{:?}\n{}", load.verdict(), self.said());
        }
        let before = load.read(&client).await.unwrap();
        let server = self.crash(&load, server, Duration::ZERO).await;
        let client = self.client().await;
        let after = load.read(&client).await.unwrap();
        assert!(before == after, "I1, I12: what is read differs after a restart");
        load.dismiss().await.unwrap();
        let totals = load.verdict().unwrap_or_else(|why| panic!("{why}"));
        assert!(totals.tasks > 0, "nothing was handed over");
        println!("── {name}: {totals}");
        drop(server);
    }
}

/// Whether a process of the group still runs; one that has ended and that nobody asked how holds
/// nothing any more.
fn is_left(group: u32) -> bool {
    let stats = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|process| {
        let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
        let (_, words) = stat.rsplit_once(')')?;
        let mut words = words.split_whitespace();
        Some((words.next()? == "Z", words.nth(1)?.parse::<u32>().ok()?))
    });
    stats.into_iter().any(|(has_ended, of)| of == group && !has_ended)
}

/// A process with everything that it started; killed when this is dropped.
pub struct Running {
    id: u32,
    child: Child,
    /// Where it listens, if it is a server.
    port: u16,
}

impl Running {
    pub fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(i32::try_from(self.id).unwrap()).unwrap();
        // It may have ended by itself.
        let _gone = kill_process_group(group, signal).is_err();
    }

    /// Kills it, and waits until nothing of it is left: a child's child may hold the store a little
    /// longer.
    pub async fn kill(mut self) {
        self.signal(Signal::KILL);
        self.status().await;
        until("all of it is gone", || std::future::ready(!is_left(self.id))).await;
    }

    /// Waits for the end, and gives the exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        self.status().await.code()
    }

    /// Waits for the end, and gives how it was.
    pub async fn status(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap()
    }

    /// Whether it has ended.
    pub fn is_gone(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until the server takes calls; if it ended instead, its exit code.
    pub async fn ready(&mut self) -> Option<Option<i32>> {
        let mut ended = None;
        until("the server is ready", || {
            ended = self.child.try_wait().unwrap();
            let gone = ended.is_some();
            let ready = http::ask_at(self.port, "GET", "/readyz", "");
            async move { gone || matches!(ready.await, Ok((200, _))) }
        })
        .await;
        ended.map(|status| status.code())
    }

    /// What it holds: bytes of memory, file descriptors.
    pub fn holds(&self) -> (u64, usize) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id)).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = resident.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", self.id)).unwrap().count();
        (kilobytes.unwrap_or(0) * 1024, descriptors)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
        self.signal(Signal::KILL);
    }
}
