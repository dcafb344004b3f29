//! How a connection is made: the socket, TLS on it, and the login. Nothing goes to another machine
//! unencrypted unless that is allowed, wherever its address came from.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Clock, Code, Error, Result};
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, ErrorKind, RedisConnectionInfo, RedisError};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::tls;
use crate::error::{OpenError, translate};
use crate::options::{Address, Login, Options};

/// How long the socket may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the first words may take, however long other answers may.
const MEET_TIMEOUT: Duration = Duration::from_secs(10);
/// A dead peer is found out within about this time, also where the network swallows everything.
const DEAD_PEER: Duration = Duration::from_secs(20);

/// Makes connections.
pub(crate) struct Dialer {
    tls: Option<Arc<ClientConfig>>,
    allow_plaintext: bool,
    pace: Arc<dyn Clock>,
    timeout: Duration,
}

/// What a connection runs over.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A connection for calls. It ends with this.
pub(crate) struct Caller {
    pub calls: MultiplexedConnection,
    driver: JoinHandle<()>,
}

impl Caller {
    /// Whether it is known to be lost.
    pub fn is_lost(&self) -> bool {
        self.driver.is_finished()
    }

    /// Ends it; calls that are under way get no answer any more.
    pub fn cut(&self) {
        self.driver.abort();
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Dialer {
    pub fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            tls: tls::config(&options.tls)?.map(Arc::new),
            allow_plaintext: options.tls.allow_plaintext,
            pace: Arc::clone(&options.pace),
            timeout: options.timeout,
        })
    }

    /// Refuses an address that may not be talked to in plain text.
    pub fn check(&self, address: &Address) -> Result<()> {
        if self.tls.is_some() || self.allow_plaintext || address.is_local() {
            return Ok(());
        }
        let text = format!(
            "whatever is stored, and passwords, would go to {address} unencrypted; use rediss, or \
             allow it: --allow-plaintext-store true for a server, or allow_plaintext=on in the URL"
        );
        Err(Error::invalid("url", text))
    }

    /// How long an answer may take from somebody who is not known yet.
    pub fn meet_timeout(&self) -> Duration {
        self.timeout.min(MEET_TIMEOUT)
    }

    /// A connection for calls.
    pub async fn caller(&self, address: &Address, login: &Login, db: i64) -> Opened<Caller> {
        let dialing = async {
            let wire = self.wire(address).await?;
            let config = AsyncConnectionConfig::new().set_response_timeout(Some(self.timeout));
            let info = settings(login, db);
            let made = MultiplexedConnection::new_with_config(&info, wire, config).await;
            let (calls, driver) = made.map_err(|error| self.refused(address, error))?;
            Ok(Caller { calls, driver: tokio::spawn(driver) })
        };
        self.in_time(address, Box::pin(dialing)).await
    }

    /// A connection for what is told between servers.
    pub async fn listener(&self, address: &Address, login: &Login) -> Opened<PubSub> {
        let dialing = async {
            let wire = self.wire(address).await?;
            let made = PubSub::new(&settings(login, 0), wire).await;
            made.map_err(|error| self.refused(address, error))
        };
        self.in_time(address, Box::pin(dialing)).await
    }

    async fn in_time<T>(
        &self,
        address: &Address,
        dialing: impl Future<Output = Opened<T>>,
    ) -> Opened<T> {
        tokio::select! {
            done = dialing => done,
            () = self.pace.sleep(self.meet_timeout() + CONNECT_TIMEOUT) => {
                Err(away(address, "it does not answer in time"))
            }
        }
    }

    async fn wire(&self, address: &Address) -> Opened<Box<dyn Wire>> {
        self.check(address).map_err(OpenError::Options)?;
        let (host, port) = match address {
            Address::Tcp { host, port } => (host, *port),
            Address::Unix(path) => {
                let socket = UnixStream::connect(path).await;
                return Ok(Box::new(socket.map_err(|error| lost(address, error))?));
            }
        };
        let socket = tokio::select! {
            socket = TcpStream::connect((host.as_str(), port)) => socket,
            () = self.pace.sleep(CONNECT_TIMEOUT) => {
                return Err(away(address, "it cannot be reached"));
            }
        };
        let socket = socket.and_then(tuned).map_err(|error| lost(address, error))?;
        let Some(config) = &self.tls else { return Ok(Box::new(socket)) };
        let name = ServerName::try_from(host.clone()).map_err(|error| {
            OpenError::Options(Error::invalid("url", "a host that has no name").caused_by(error))
        })?;
        let encrypted = TlsConnector::from(Arc::clone(config)).connect(name, socket).await;
        Ok(Box::new(encrypted.map_err(|error| self.refused(address, error.into()))?))
    }

    /// What it means that Redis, or whoever listens there, does not let us in.
    pub fn refused(&self, address: &Address, error: RedisError) -> OpenError {
        if tls::is_about_tls(&error) {
            let text = format!(
                "no TLS with {address}: {error}; look at sslrootcert (who signed its certificate), \
                 at the names in it (sslmode=verify-ca does not ask for them), at sslcert and \
                 sslkey (if it asks who we are), and whether it is its tls-port"
            );
            return OpenError::Refused(Error::new(Code::Unavailable, text).caused_by(error));
        }
        if error.kind() == ErrorKind::AuthenticationFailed {
            let text = format!(
                "{address} does not let us in: the user or the password is wrong; they stand in \
                 the URL, as in redis://USER:PASSWORD@HOST"
            );
            return OpenError::Refused(Error::new(Code::Unavailable, text).caused_by(error));
        }
        if error.code() == Some("NOAUTH") {
            let text = format!(
                "{address} wants a login: put it into the URL, as in redis://USER:PASSWORD@HOST, \
                 or redis://:PASSWORD@HOST with requirepass"
            );
            return OpenError::Refused(Error::new(Code::Unavailable, text).caused_by(error));
        }
        if error.is_io_error() || error.kind() == ErrorKind::Parse {
            let hint = match (&self.tls, address) {
                (Some(_), _) => "; if it asks who we are, give sslcert and sslkey",
                (None, Address::Tcp { .. }) => "; if this is its tls-port, use rediss",
                (None, Address::Unix(_)) => "",
            };
            let text = format!("{address} gave no answer that Redis gives{hint}");
            return OpenError::Away(Error::new(Code::Unavailable, text).caused_by(error));
        }
        OpenError::from_call(translate("connecting", false, error))
    }
}

/// What opening something gives.
pub(crate) type Opened<T> = Result<T, OpenError>;

fn lost(address: &Address, error: std::io::Error) -> OpenError {
    let text = format!("{address} cannot be reached: {error}");
    OpenError::Away(Error::new(Code::Unavailable, text).caused_by(error))
}

fn away(address: &Address, why: &str) -> OpenError {
    OpenError::Away(Error::new(Code::Unavailable, format!("{address}: {why}")))
}

/// No waiting for more to send, and no waiting for somebody who is not there any more.
fn tuned(socket: TcpStream) -> std::io::Result<TcpStream> {
    socket.set_nodelay(true)?;
    let alive = socket2::TcpKeepalive::new()
        .with_time(DEAD_PEER / 2)
        .with_interval(DEAD_PEER / 8)
        .with_retries(4);
    let raw = socket2::SockRef::from(&socket);
    raw.set_tcp_keepalive(&alive)?;
    #[cfg(target_os = "linux")]
    raw.set_tcp_user_timeout(Some(DEAD_PEER))?;
    Ok(socket)
}

fn settings(login: &Login, db: i64) -> RedisConnectionInfo {
    // A user with few rights may not name its library, and each refusal is a line in Redis's log.
    let mut info = RedisConnectionInfo::default().set_skip_set_lib_name().set_db(db);
    if let Some(user) = &login.user {
        info = info.set_username(user);
    }
    if let Some(password) = &login.password {
        info = info.set_password(password);
    }
    info
}
