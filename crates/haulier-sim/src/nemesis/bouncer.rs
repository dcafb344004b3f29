//! A `PgBouncer` of a test's own before a PostgreSQL: it hands a connection to somebody else after
//! each transaction, as in front of many databases. It is gone when this is dropped, and when the
//! test's process ends in any way.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::PgServer;
use super::postgres::{KEEPER, as_owner, patiently};

/// Where Debian keeps it.
const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// One `PgBouncer`.
#[derive(Debug)]
pub struct PgBouncer {
    port: u16,
    keeper: Child,
}

impl PgBouncer {
    /// Starts one before a server. Its files go into the server's directory. It pools transactions,
    /// unless these lines of its configuration say otherwise.
    ///
    /// # Errors
    /// It is not installed, or does not come up.
    pub async fn before(server: &PgServer, more: &str) -> Result<Self, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let address = listener.and_then(|listener| listener.local_addr());
        let port = address.map_err(|error| error.to_string())?.port();
        let place = server.dir().join(format!("pgbouncer-{port}"));
        let (config, users) = (place.with_extension("ini"), place.with_extension("users"));
        let log = place.with_extension("log");
        write(&users, "\"postgres\" \"\"\n")?;
        write(&config, &settings(server.port(), port, &users, more))?;
        let said = fs::File::create(&log).map_err(|error| error.to_string())?;
        let errors = said.try_clone().map_err(|error| error.to_string())?;
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh"]).args(as_owner()).arg(PROGRAM).arg(&config);
        command.stdin(Stdio::piped()).stdout(said).stderr(errors);
        let keeper = command.spawn().map_err(|error| error.to_string())?;
        let bouncer = Self { port, keeper };
        if patiently(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()).await {
            return Ok(bouncer);
        }
        let said = fs::read_to_string(&log).unwrap_or_default();
        Err(format!("{PROGRAM} does not come up (apt-get install -y pgbouncer): {said}"))
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn settings(to: u16, port: u16, users: &Path, more: &str) -> String {
    format!(
        "[databases]
* = host=127.0.0.1 port={to}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {}
pool_mode = transaction
default_pool_size = 8
max_client_conn = 1000
{more}
",
        users.display()
    )
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // What keeps it alive ends with its input.
        drop(self.keeper.stdin.take());
        let _ended = self.keeper.wait().is_ok();
    }
}
