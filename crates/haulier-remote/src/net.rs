//! Servers and connections. Connections are made when they are first used and made again when they
//! break; which server is asked changes only when one fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use haulier_core::{Backoff, Clock, Entropy, Error, Result};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Extensions, Request};

use crate::options::{RemoteOptions, Tls};

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a quiet connection is asked whether it is still there, and how long it may take to
/// say so.
const PING_EVERY: Duration = Duration::from_secs(20);
/// What may be under way to this client on a stream, and on a connection, in bytes.
const WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// The largest piece of a message that comes at once: a batch of a hundred small tasks is one.
const PIECE_BYTES: u32 = 256 * 1024;
/// Where Linux systems and macOS keep whom they trust.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The servers, and the seams for time and chance.
#[derive(Debug)]
pub(crate) struct Net {
    servers: Vec<Server>,
    /// The server that is asked now.
    home: AtomicUsize,
    /// Whose turn it is among its connections.
    turn: AtomicUsize,
    authorization: Option<MetadataValue<Ascii>>,
    pub patience: Duration,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}

#[derive(Debug)]
struct Server {
    url: String,
    channels: Vec<Channel>,
}

/// A connection, and which server it leads to.
pub(crate) struct Way {
    pub channel: Channel,
    pub server: usize,
}

impl Net {
    pub fn new(options: RemoteOptions) -> Result<Self> {
        let RemoteOptions { urls, token, tls, connections, patience, clock, entropy } = options;
        if urls.is_empty() {
            return Err(Error::invalid("url", "names no server, as in http://127.0.0.1:7420"));
        }
        let tls = tls.unwrap_or_default();
        let server = |url: String| {
            let endpoint = endpoint(&url, &tls)?;
            let channels = (0..connections.max(1)).map(|_| endpoint.connect_lazy()).collect();
            Ok(Server { url, channels })
        };
        let servers = urls.into_iter().map(server).collect::<Result<Vec<_>>>()?;
        let last = u64::try_from(servers.len() - 1).unwrap_or(0);
        let home = usize::try_from(entropy.up_to(last)).unwrap_or(0);
        Ok(Self {
            servers,
            home: AtomicUsize::new(home),
            turn: AtomicUsize::new(0),
            authorization: token.map(|token| bearer(&token)).transpose()?,
            patience,
            clock,
            entropy,
        })
    }

    /// A connection to the server that is asked now.
    pub fn way(&self) -> Way {
        let server = self.home.load(Ordering::Relaxed) % self.servers.len();
        let channels = &self.servers[server].channels;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        Way { channel: channels[turn % channels.len()].clone(), server }
    }

    /// A server failed: the next one is asked from now on, unless somebody has said so already.
    pub fn failed(&self, server: usize) {
        let next = (server + 1) % self.servers.len();
        let moved = self.home.compare_exchange(server, next, Ordering::Relaxed, Ordering::Relaxed);
        if moved.is_ok() && next != server {
            let (from, to) = (&self.servers[server].url, &self.servers[next].url);
            tracing::info!("{from} failed; going on with {to}");
        }
    }

    pub fn count(&self) -> usize {
        self.servers.len()
    }

    /// Every URL, for people.
    pub fn names(&self) -> String {
        let urls: Vec<&str> = self.servers.iter().map(|server| server.url.as_str()).collect();
        urls.join(", ")
    }

    /// A request with the proof of who asks.
    pub fn request<M>(&self, message: M) -> Request<M> {
        let mut request =
            Request::from_parts(tonic::metadata::MetadataMap::new(), Extensions::new(), message);
        if let Some(value) = &self.authorization {
            request.metadata_mut().insert("authorization", value.clone());
        }
        request
    }

    /// The pause before the given repetition, from 1.
    pub fn pause(&self, repetition: u32, error: Option<&Error>) -> Duration {
        let backoff = Backoff {
            base: Duration::from_millis(50),
            max: Duration::from_secs(2),
            factor_permille: 2_000,
            jitter_permille: 1_000,
        };
        let pause = backoff.pause_with_jitter(repetition, &*self.entropy);
        pause.max(error.and_then(Error::retry_delay).unwrap_or_default())
    }
}

fn endpoint(url: &str, tls: &Tls) -> Result<Endpoint> {
    let invalid = |why: String| Error::invalid("url", format!("{url:?} {why}"));
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(invalid("does not begin with http:// or https://".to_owned()));
    }
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| invalid(format!("is no URL: {error}")))?
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_frame_size(PIECE_BYTES)
        .user_agent(concat!("haulier-rust/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| invalid(error.to_string()))?;
    if url.starts_with("http://") {
        return Ok(endpoint);
    }
    let ca = tls.ca_pem.clone().map_or_else(system_bundle, Ok)?;
    let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    if let Some(identity) = &tls.identity {
        config = config.identity(tonic::transport::Identity::from_pem(
            &identity.certificate_pem,
            &identity.key_pem,
        ));
    }
    endpoint.tls_config(config).map_err(|error| {
        Error::invalid("tls", "a certificate or key cannot be read; both must be PEM")
            .caused_by(error)
    })
}

fn system_bundle() -> Result<Vec<u8>> {
    SYSTEM_BUNDLES.iter().find_map(|path| std::fs::read(path).ok()).ok_or_else(|| {
        Error::invalid(
            "tls.ca",
            "the system names no authorities to trust; give their certificates (HAULIER_CA)",
        )
    })
}

fn bearer(token: &str) -> Result<MetadataValue<Ascii>> {
    let mut value = MetadataValue::try_from(format!("Bearer {token}"))
        .map_err(|_| Error::invalid("token", "has characters that no token has"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use haulier_core::{ManualClock, SeededEntropy};

    use super::*;

    fn options(urls: &str) -> RemoteOptions {
        let entropy = Arc::new(SeededEntropy::from_u64(1));
        RemoteOptions::new(urls, Arc::new(ManualClock::new()), entropy)
    }

    #[tokio::test]
    async fn a_server_that_fails_is_left_once_however_many_calls_notice() {
        let net = Net::new(options("http://a:1, http://b:1/")).unwrap();
        assert_eq!(net.names(), "http://a:1, http://b:1");
        let first = net.way().server;
        net.failed(first);
        net.failed(first);
        assert_eq!(net.way().server, 1 - first);
        net.failed(1 - first);
        assert_eq!(net.way().server, first);
    }

    #[tokio::test]
    async fn what_is_no_url_or_token_is_refused_with_what_is_wrong() {
        for urls in ["", ",", "a:1", "ftp://a", "http://a b"] {
            let error = Net::new(options(urls)).unwrap_err();
            assert_eq!(error.fields()[0].field, "url", "{urls:?}");
        }
        let token = Some("a\nb".to_owned());
        let error = Net::new(RemoteOptions { token, ..options("http://a:1") }).unwrap_err();
        assert_eq!(error.fields()[0].field, "token");
    }
}
