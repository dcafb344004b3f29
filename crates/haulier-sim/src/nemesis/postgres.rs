//! A real PostgreSQL of a test's own: made in a directory, started on a free port of loopback,
//! stopped, killed, frozen, followed by a standby. It is gone when this is dropped, and when the
//! test's process ends in any way.
//!
//! It knows nothing of what is stored in it. As root it runs as the user `postgres`, because
//! PostgreSQL refuses to run as root.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use haulier_core::{Clock as _, SystemClock};

/// Where Debian keeps the programs, a directory for each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// How long it may take to start, recovery included, or to be gone.
const PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(10);

/// What keeps it alive for as long as its own input stays open, and no longer.
pub(super) const KEEPER: &str = r#""$@" & read -r gone; kill -KILL $! 2>/dev/null; wait
for try in 1 2 3; do rm -rf ${FORGET:+"$FORGET"} 2>/dev/null && break; sleep 1; done"#;

/// Small, and as safe as it is by default: every commit is synced.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = 32MB
max_connections = 100
wal_level = replica
dynamic_shared_memory_type = mmap
log_line_prefix = '%m [%p] %a '
";

/// One PostgreSQL.
#[derive(Debug)]
pub struct PgServer {
    dir: PathBuf,
    port: u16,
    /// What starts it before it becomes its owner's: `unshare` with its arguments, or nothing.
    before: Vec<String>,
    /// What starts it, as its owner: `env` or `strace` with its arguments, or nothing.
    under: Vec<String>,
    /// Whether its files are of no use any more when it ends.
    forgets: bool,
    keeper: Option<Child>,
}

impl PgServer {
    /// Makes one in this directory, and starts it.
    ///
    /// # Errors
    /// What its programs said.
    pub async fn create(dir: &Path) -> Result<Self, String> {
        let mut server = Self::at(dir)?;
        let data = server.data();
        let data = text(&data);
        let how = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"];
        let small = ["--data-checksums", "--wal-segsize=1", "--no-instructions", "-D", data];
        run(&mut server.tool("initdb", &[&how[..], &small].concat()))?;
        server.configure(SETTINGS)?;
        server.start().await?;
        Ok(server)
    }

    /// Whether its programs are installed.
    pub fn is_installed() -> bool {
        program("initdb").is_absolute() || run(Command::new("initdb").arg("--version")).is_ok()
    }

    /// A place for one, with a port, and nothing in it yet.
    fn at(dir: &Path) -> Result<Self, String> {
        let failed = |error| format!("{}: {error}", dir.display());
        fs::create_dir_all(dir).map_err(failed)?;
        let dir = fs::canonicalize(dir).map_err(failed)?;
        if root() {
            run(Command::new("chown").arg("postgres").arg(&dir))?;
            // Its owner has to get there, through a directory that was made for root alone.
            for above in dir.ancestors() {
                let mode = fs::metadata(above).map_err(failed)?.permissions().mode();
                if mode & 0o001 == 0 {
                    let enter = Permissions::from_mode(mode | 0o011);
                    fs::set_permissions(above, enter).map_err(failed)?;
                }
            }
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self { dir, port, before: Vec::new(), under: Vec::new(), forgets: false, keeper: None })
    }

    /// Where it stands, with what it says.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where its files are.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, as the user who may do everything.
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// The same through something that listens on another port.
    pub fn url_at(&self, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/postgres")
    }

    /// Adds lines to its settings; they count from the next start or [`Self::reload`] on.
    ///
    /// # Errors
    /// Of the file.
    pub fn configure(&self, lines: &str) -> Result<(), String> {
        let file = OpenOptions::new().append(true).open(self.data().join("postgresql.conf"));
        file.and_then(|mut file| writeln!(file, "{lines}")).map_err(|error| error.to_string())
    }

    /// It is started by another program from now on.
    pub fn start_under(&mut self, words: &[&str]) {
        self.under = words.iter().map(|word| (*word).to_owned()).collect();
    }

    /// It is started by root's own program from now on, which changes the world that it sees.
    pub fn start_inside(&mut self, words: &[&str]) {
        self.before = words.iter().map(|word| (*word).to_owned()).collect();
    }

    /// The next end of it takes its files along: for one that all tests of a process share, and that
    /// nobody drops.
    pub fn forget_at_its_end(&mut self) {
        self.forgets = true;
    }

    /// Starts it, after whatever end, and waits until it answers.
    ///
    /// # Errors
    /// The end of what it said, if it does not come up.
    pub async fn start(&mut self) -> Result<(), String> {
        let log = OpenOptions::new().create(true).append(true).open(self.log());
        let log = log.map_err(|error| error.to_string())?;
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh"]).args(&self.before).args(as_owner()).args(&self.under);
        command.arg(program("postgres")).arg("-D").arg(self.data());
        command.args(["-p", &self.port.to_string()]).current_dir(&self.dir);
        command.stdin(Stdio::piped()).stdout(log).stderr(errors);
        if self.forgets {
            command.env("FORGET", &self.dir);
        }
        self.keeper = Some(command.spawn().map_err(|error| error.to_string())?);
        let port = self.port.to_string();
        let asks = ["-q", "-h", "127.0.0.1", "-p", &port, "-t", "1"];
        let answers = || run(&mut self.tool("pg_isready", &asks)).is_ok();
        if patiently(answers).await {
            return Ok(());
        }
        Err(format!("PostgreSQL does not come up: {}", self.said()))
    }

    /// Ends it in good order, without waiting for those who are connected.
    ///
    /// # Errors
    /// What `pg_ctl` said.
    pub fn stop(&mut self) -> Result<(), String> {
        let data = self.data();
        let stopped = run(&mut self.tool("pg_ctl", &["-D", text(&data), "-m", "fast", "stop"]));
        self.let_go();
        stopped.map(drop)
    }

    /// Kills every process of it at once: what was not synced may be in nobody's memory any more.
    pub fn kill(&mut self) {
        // Whoever was being forked at the time is met in the next round.
        loop {
            let all = self.processes();
            if all.is_empty() {
                break;
            }
            signal("KILL", &all);
        }
        self.let_go();
    }

    /// Kills it and starts it again.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn crash(&mut self) -> Result<(), String> {
        self.kill();
        self.start().await
    }

    /// Stops every process of it where it stands, or lets all go on.
    pub fn freeze(&self, frozen: bool) {
        if !frozen {
            return signal("CONT", &self.processes());
        }
        // The first one is the one that starts others.
        let mut stopped = 0;
        loop {
            let all = self.processes();
            for process in &all {
                signal("STOP", std::slice::from_ref(process));
            }
            if all.len() == stopped {
                return;
            }
            stopped = all.len();
        }
    }

    /// Has the settings read again.
    ///
    /// # Errors
    /// What `pg_ctl` said.
    pub fn reload(&self) -> Result<(), String> {
        let data = self.data();
        run(&mut self.tool("pg_ctl", &["-D", text(&data), "reload"])).map(drop)
    }

    /// Runs statements; the rows, fields separated by `|`.
    ///
    /// # Errors
    /// What `psql` said.
    pub fn sql(&self, statements: &str) -> Result<String, String> {
        run(&mut self.psql(&["-c", statements]))
    }

    /// A session that begins with these statements, and stays until it is killed or its input
    /// ends.
    ///
    /// # Errors
    /// If `psql` cannot be started.
    pub fn session(&self, statements: &str) -> Result<Child, String> {
        let mut command = self.psql(&[]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        if let Some(input) = &mut child.stdin {
            writeln!(input, "{statements}").map_err(|error| error.to_string())?;
        }
        Ok(child)
    }

    /// A copy of it as it is now, not started: yesterday's backup.
    ///
    /// # Errors
    /// What `pg_basebackup` said.
    pub fn backup(&self, dir: &Path) -> Result<Self, String> {
        self.copy(dir, &[])
    }

    /// A standby that follows it without holding up its commits.
    ///
    /// # Errors
    /// What its programs said.
    pub async fn standby(&self, dir: &Path) -> Result<Self, String> {
        let mut standby = self.copy(dir, &["-R"])?;
        standby.start().await?;
        Ok(standby)
    }

    fn copy(&self, dir: &Path, more: &[&str]) -> Result<Self, String> {
        let copy = Self::at(dir)?;
        let (data, port) = (copy.data(), self.port.to_string());
        let from = ["-D", text(&data), "-h", "127.0.0.1", "-p", &port, "-U", "postgres"];
        let how = ["-c", "fast", "-X", "stream", "--no-sync"];
        run(&mut self.tool("pg_basebackup", &[&from[..], &how, more].concat()))?;
        Ok(copy)
    }

    /// Makes a standby the one that writes.
    ///
    /// # Errors
    /// What it said.
    pub fn promote(&self) -> Result<(), String> {
        match self.sql("select pg_promote(true, 60)")?.as_str() {
            "t" => Ok(()),
            said => Err(format!("it was not promoted: {said}")),
        }
    }

    /// What it said.
    pub fn text(&self) -> String {
        let text = fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The end of it.
    pub fn said(&self) -> String {
        let text = self.text();
        let from = text.ceil_char_boundary(text.len().saturating_sub(2_000));
        text.get(from..).unwrap_or_default().to_owned()
    }

    /// Every process of it: all stand in its directory. The postmaster first.
    pub fn processes(&self) -> Vec<u32> {
        let data = self.data();
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let numbers =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let inside = |process: &u32| {
            fs::read_link(format!("/proc/{process}/cwd")).is_ok_and(|cwd| cwd == data)
        };
        let mut all: Vec<u32> = numbers.filter(inside).collect();
        let postmaster = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        let postmaster = postmaster.lines().next().and_then(|line| line.parse().ok());
        all.sort_by_key(|process| (Some(*process) != postmaster, *process));
        all
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Ends what keeps it alive.
    fn let_go(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ended = keeper.wait().is_ok();
        }
    }

    fn psql(&self, args: &[&str]) -> Command {
        let mut command = self.tool("psql", &["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", &self.url()]);
        command.args(args);
        command
    }

    /// One of its programs, as its owner.
    fn tool(&self, name: &str, args: &[&str]) -> Command {
        let owner = as_owner();
        let path = program(name);
        let mut words = owner.iter().map(String::as_str).chain(path.to_str());
        let mut command = Command::new(words.next().unwrap_or(name));
        command.args(words).args(args).current_dir(&self.dir).stdin(Stdio::null());
        command
    }
}

impl Drop for PgServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether this process is root's.
fn root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// The words before a program that make it run as the owner of the files.
pub(super) fn as_owner() -> Vec<String> {
    let words = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"];
    if root() { words.map(str::to_owned).to_vec() } else { Vec::new() }
}

/// Where a program is: of the newest version that Debian has installed, or wherever `PATH` says.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let there = versions.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let path = entry.path().join("bin").join(name);
        path.exists().then_some((version, path))
    });
    there.max().map_or_else(|| PathBuf::from(name), |(_, path)| path)
}

/// A path that a test made: it is text.
fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| {
        format!("{program}: {error}; install PostgreSQL: apt-get install -y postgresql")
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}: {}", output.status, said.trim()))
}

fn signal(name: &str, processes: &[u32]) {
    let numbers = processes.iter().map(ToString::to_string);
    // Whoever has ended by now needs no signal.
    let _some_gone = Command::new("kill")
        .arg(format!("-{name}"))
        .args(numbers)
        .stderr(Stdio::null())
        .status()
        .is_ok();
}

/// Asks until the answer is yes; whether it came in time.
pub(super) async fn patiently(mut ask: impl FnMut() -> bool) -> bool {
    let clock = SystemClock::new();
    while !ask() {
        if clock.monotonic() > PATIENCE {
            return false;
        }
        clock.sleep(POLL).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[tokio::test]
    async fn what_was_committed_outlives_a_kill_of_every_process() {
        let dir = place();
        let mut server = PgServer::create(dir.path()).await.unwrap();
        server.sql("create table t (n int); insert into t values (7)").unwrap();
        server.kill();
        assert!(server.processes().is_empty() && server.sql("select 1").is_err());
        server.start().await.unwrap();
        assert_eq!(server.sql("select n from t").unwrap(), "7");
        server.stop().unwrap();
        assert!(server.processes().is_empty());
    }

    #[tokio::test]
    async fn one_that_is_to_be_forgotten_leaves_no_file() {
        let dir = place();
        let mut server = PgServer::create(&dir.path().join("pg")).await.unwrap();
        server.stop().unwrap();
        server.forget_at_its_end();
        server.start().await.unwrap();
        drop(server);
        assert!(!dir.path().join("pg").exists());
    }

    #[tokio::test]
    async fn a_standby_follows_and_can_be_promoted() {
        let dir = place();
        let mut first = PgServer::create(&dir.path().join("first")).await.unwrap();
        let standby = first.standby(&dir.path().join("second")).await.unwrap();
        first.sql("create table t (n int)").unwrap();
        let seen = || standby.sql("select count(*) from t").is_ok();
        assert!(patiently(seen).await, "{}", standby.said());
        assert!(standby.sql("insert into t values (1)").is_err());
        first.kill();
        standby.promote().unwrap();
        standby.sql("insert into t values (1)").unwrap();
    }

    #[tokio::test]
    async fn one_that_is_frozen_answers_only_when_it_goes_on() {
        let dir = place();
        let server = PgServer::create(dir.path()).await.unwrap();
        server.freeze(true);
        let mut session = server.session("select 1; \\q").unwrap();
        let stopped = server.processes();
        assert!(!stopped.is_empty() && session.try_wait().unwrap().is_none());
        server.freeze(false);
        assert!(session.wait().unwrap().success());
    }
}
