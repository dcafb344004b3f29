//! One PostgreSQL for one command: made in a temporary directory, with the settings that are
//! published beside the figures, and gone when the command ends. Everybody who is measured gets a
//! new database of it for each round.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::bench::{self, run};

/// Where Debian keeps the programs.
const DEBIAN: &str = "/usr/lib/postgresql/15/bin";
/// What differs from the defaults. `fsync` and `synchronous_commit` are on by default.
pub const SETTINGS: &str = "shared_buffers = 512MB, max_wal_size = 4GB";
/// What keeps it alive for as long as its own input stays open, and no longer.
const KEEPER: &str = r#""$@" & read -r gone; kill -INT $! 2>/dev/null; wait"#;

/// A running PostgreSQL.
#[derive(Debug)]
pub struct Server {
    dir: PathBuf,
    port: u16,
    keeper: Child,
}

/// A session that stays open.
#[derive(Debug)]
pub struct Session(Child);

impl Server {
    /// Makes one below this directory, and starts it.
    pub fn start(below: &Path) -> Result<Self, String> {
        let dir = below.join(format!("haulier-postgres-{}", std::process::id()));
        fs::create_dir_all(&dir).map_err(|why| format!("{}: {why}", dir.display()))?;
        let port = bench::free_port()?;
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&dir))?;
        }
        let data = dir.join("data");
        let how = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D"];
        run(owned("initdb").args(how).arg(&data).current_dir(&dir))?;
        let mut postgres = Command::new("sh");
        postgres.args(["-c", KEEPER, "sh"]).args(owner()).arg(program("postgres"));
        postgres.arg("-D").arg(&data).args(["-p", &port.to_string()]).current_dir(&dir);
        let more = "listen_addresses = '127.0.0.1', unix_socket_directories = '', \
                    shared_preload_libraries = 'pg_stat_statements'";
        for setting in [SETTINGS, more].iter().flat_map(|all| all.split(", ")) {
            let (name, value) = setting.split_once(" = ").unwrap_or((setting, "on"));
            postgres.arg("-c").arg(format!("{name}={}", value.trim_matches('\'')));
        }
        let log = fs::File::create(dir.join("log")).map_err(|why| why.to_string())?;
        let errors = log.try_clone().map_err(|why| why.to_string())?;
        postgres.stdin(Stdio::piped()).stdout(log).stderr(errors);
        let keeper = postgres.spawn().map_err(|why| format!("sh: {why}"))?;
        let server = Self { dir, port, keeper };
        // It says when it can be asked; until then each question is refused at once.
        let ready = || server.sql("postgres", "SELECT 1").is_ok();
        if bench::patiently(60, ready) { Ok(server) } else { Err(server.said()) }
    }

    /// The address of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// What it is.
    pub fn version(&self) -> Result<String, String> {
        self.sql("postgres", "SHOW server_version")
    }

    /// A new, empty database; what was written before does not burden it.
    pub fn renew(&self, database: &str) -> Result<(), String> {
        self.forget(database)?;
        self.sql("postgres", &format!("CREATE DATABASE {database}"))?;
        self.sql("postgres", "CHECKPOINT")?;
        Ok(())
    }

    /// Removes a database, and throws out whoever is connected.
    pub fn forget(&self, database: &str) -> Result<(), String> {
        self.sql("postgres", &format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"))?;
        Ok(())
    }

    /// Runs statements; the rows, fields separated by `|`.
    pub fn sql(&self, database: &str, statements: &str) -> Result<String, String> {
        run(self.psql(database).args(["-c", statements]))
    }

    /// Runs a file of statements.
    pub fn file(&self, database: &str, path: &Path) -> Result<String, String> {
        run(self.psql(database).args(["-v", "ON_ERROR_STOP=1", "-f"]).arg(path))
    }

    /// Runs statements in a session that stays open; answers once the last of them, which must
    /// have one row, has answered.
    pub fn session(&self, database: &str, statements: &str) -> Result<Session, String> {
        let mut psql = self.psql(database);
        psql.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = psql.spawn().map_err(|why| format!("psql: {why}"))?;
        let mut input = child.stdin.take().ok_or("psql has no input")?;
        writeln!(input, "{statements}\n\\echo held").map_err(|why| why.to_string())?;
        child.stdin = Some(input);
        let output = child.stdout.take().ok_or("psql has no output")?;
        let held = BufReader::new(output).lines().map_while(Result::ok).any(|line| line == "held");
        if held { Ok(Session(child)) } else { Err("psql ended early".to_owned()) }
    }

    /// A program that talks to it.
    pub fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string()]);
        command
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = self.tool("psql");
        psql.args(["-X", "-q", "-A", "-t", "-d", database]);
        psql.env("PGOPTIONS", "-c client_min_messages=warning");
        psql
    }

    fn said(&self) -> String {
        let said = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        format!("PostgreSQL does not come up: {said}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its keeper's input is its end; it closes every file before its keeper goes.
        drop(self.keeper.stdin.take());
        let gone = self.keeper.wait().and_then(|_| fs::remove_dir_all(&self.dir));
        if let Err(why) = gone {
            eprintln!("{} is left: {why}", self.dir.display());
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        if let Err(why) = self.0.wait() {
            eprintln!("a session of psql is left: {why}");
        }
    }
}

fn program(name: &str) -> PathBuf {
    let here = Path::new(DEBIAN).join(name);
    if here.exists() { here } else { PathBuf::from(name) }
}

/// PostgreSQL refuses to run as root: then its own user runs it.
fn owner() -> &'static [&'static str] {
    if !is_root() {
        return &[];
    }
    &["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]
}

fn owned(name: &str) -> Command {
    match owner() {
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program(name));
            command
        }
        [] => Command::new(program(name)),
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
