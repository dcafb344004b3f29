//! A real Redis of a test's own: started in a directory on a free port of loopback, stopped,
//! killed, frozen. It is gone when this is dropped, and when the test's process ends in any way.
//!
//! It knows nothing of what is stored in it.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use haulier_core::{Clock as _, SystemClock};

/// How long it may take to start, recovery included, or to be gone.
const PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(10);
/// How long one command may take.
const ASK_PATIENCE: Duration = Duration::from_secs(10);

/// What keeps it alive for as long as its own input stays open, and no longer.
const KEEPER: &str = r#""$@" & echo $! > pid; read -r gone; kill -KILL $! 2>/dev/null; wait"#;

/// Small, and as safe as it gets: every command is synced before it is answered.
const SETTINGS: &str = "
bind 127.0.0.1
protected-mode yes
save \"\"
appendonly yes
appendfsync always
maxmemory-policy noeviction
";

/// A sentinel keeps nothing but who is who.
const SENTINEL_SETTINGS: &str = "
bind 127.0.0.1
protected-mode no
";

/// One Redis, or one sentinel.
#[derive(Debug)]
pub struct RedisServer {
    dir: PathBuf,
    port: u16,
    /// What its program is called with, behind the settings.
    mode: &'static [&'static str],
    keeper: Option<Child>,
}

impl RedisServer {
    /// Makes one in this directory, with more lines of settings, and starts it.
    ///
    /// # Errors
    /// What it said.
    pub async fn create(dir: &Path, more: &str) -> Result<Self, String> {
        Self::create_as(dir, &[], SETTINGS, more).await
    }

    /// The same of a sentinel.
    ///
    /// # Errors
    /// What it said.
    pub async fn create_sentinel(dir: &Path, more: &str) -> Result<Self, String> {
        Self::create_as(dir, &["--sentinel"], SENTINEL_SETTINGS, more).await
    }

    async fn create_as(
        dir: &Path,
        mode: &'static [&'static str],
        settings: &str,
        more: &str,
    ) -> Result<Self, String> {
        let failed = |error| format!("{}: {error}", dir.display());
        fs::create_dir_all(dir).map_err(failed)?;
        let dir = fs::canonicalize(dir).map_err(failed)?;
        let port = Self::free_port()?;
        let mut server = Self { dir, port, mode, keeper: None };
        server
            .configure(&format!("{settings}port {port}\ndir {}\n{more}", server.dir.display()))?;
        server.start().await?;
        Ok(server)
    }

    /// A port of loopback on which nobody listens.
    ///
    /// # Errors
    /// There is none.
    pub fn free_port() -> Result<u16, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let address = listener.and_then(|listener| listener.local_addr());
        address.map(|address| address.port()).map_err(|error| error.to_string())
    }

    /// Whether its program is installed.
    pub fn is_installed() -> bool {
        let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// The same through something that listens on another port.
    pub fn url_at(&self, port: u16) -> String {
        format!("redis://127.0.0.1:{port}/0")
    }

    /// Adds lines to its settings; they count from the next start on.
    ///
    /// # Errors
    /// Of the file.
    pub fn configure(&self, lines: &str) -> Result<(), String> {
        let path = self.dir.join("redis.conf");
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| writeln!(file, "{lines}")).map_err(|error| error.to_string())
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts it, after whatever end, and waits until it answers.
    ///
    /// # Errors
    /// The end of what it said, if it does not come up.
    pub async fn start(&mut self) -> Result<(), String> {
        let log = OpenOptions::new().create(true).append(true).open(self.dir.join("log"));
        let log = log.map_err(|error| error.to_string())?;
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh", "redis-server"]);
        command.arg(self.dir.join("redis.conf")).args(self.mode);
        command.current_dir(&self.dir).stdin(Stdio::piped()).stdout(log).stderr(errors);
        self.keeper = Some(command.spawn().map_err(|error| error.to_string())?);
        let clock = SystemClock::new();
        while clock.monotonic() < PATIENCE {
            if self.answers() {
                return Ok(());
            }
            clock.sleep(POLL).await;
        }
        Err(format!("Redis does not come up: {}", self.said()))
    }

    /// Sends it a command of plain words, and returns the beginning of what it answers.
    ///
    /// # Errors
    /// Of the connection.
    pub fn ask(&self, command: &str) -> std::io::Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect_timeout(&address, ASK_PATIENCE)?;
        stream.set_read_timeout(Some(ASK_PATIENCE))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut answer = [0; 4_096];
        let length = stream.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    /// Whether it serves: not while it still loads what it kept.
    fn answers(&self) -> bool {
        self.ask("PING").is_ok_and(|answer| answer.starts_with("+PONG"))
    }

    /// Ends it in good order.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let clock = SystemClock::new();
        while self.is_running() && clock.monotonic() < PATIENCE {
            std::thread::yield_now();
        }
        self.let_go();
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        self.signal("KILL");
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

    /// Stops it where it stands, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        self.signal(if frozen { "STOP" } else { "CONT" });
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        fs::read_to_string(self.dir.join("pid")).ok()?.trim().parse().ok()
    }

    fn signal(&self, name: &str) {
        if let Some(pid) = self.pid() {
            // It may have ended by itself.
            drop(Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status());
        }
    }

    /// Whether its process is there.
    pub fn is_running(&self) -> bool {
        let state = self.pid().map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")));
        matches!(state, Some(Ok(stat)) if !stat.contains(") Z "))
    }

    /// Waits until everything is gone.
    fn let_go(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            drop(keeper.wait());
        }
    }

    /// The end of what it said.
    pub fn said(&self) -> String {
        let said = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = said.lines().rev().take(10).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_answered_is_still_there_after_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let mut server = RedisServer::create(dir.path(), "").await.unwrap();
        assert_eq!(server.ask("SET key value").unwrap(), "+OK\r\n");
        server.crash().await.unwrap();
        assert_eq!(server.ask("GET key").unwrap(), "$5\r\nvalue\r\n");
        let pid = server.pid().unwrap();
        drop(server);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
