//! Where to connect, as whom, and how patiently.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Clock, Entropy};

/// How to reach the servers.
#[derive(Clone)]
pub struct RemoteOptions {
    /// The servers, `http://host:port` or `https://host:port`. All must serve the same store. A
    /// client begins with one of them by chance, and goes to the next when it fails.
    pub urls: Vec<String>,
    /// Proves who is calling.
    pub token: Option<String>,
    /// Whom to trust, for `https`; `None`: whom the system trusts.
    pub tls: Option<Tls>,
    /// Connections to hold to a server. One HTTP/2 connection is one lock.
    pub connections: usize,
    /// How long a call is repeated before its error is given back.
    pub patience: Duration,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for the first server and for the pauses between repetitions.
    pub entropy: Arc<dyn Entropy>,
}

/// Whom to trust, and who this is.
#[derive(Clone, Default)]
pub struct Tls {
    /// Certificates of the authorities to trust, PEM; `None`: the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// This client's own certificate.
    pub identity: Option<Identity>,
}

/// A client's own certificate.
#[derive(Clone)]
pub struct Identity {
    /// The certificate and those above it, PEM.
    pub certificate_pem: Vec<u8>,
    /// Its private key, PEM.
    pub key_pem: Vec<u8>,
}

impl RemoteOptions {
    /// Servers by URL, several with commas between them; two connections, 30 s of patience.
    pub fn new(urls: &str, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let urls = urls.split(',').map(|url| url.trim().trim_end_matches('/').to_owned());
        Self {
            urls: urls.filter(|url| !url.is_empty()).collect(),
            token: None,
            tls: None,
            connections: 2,
            patience: Duration::from_secs(30),
            clock,
            entropy,
        }
    }
}

impl fmt::Debug for RemoteOptions {
    /// Never the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteOptions")
            .field("urls", &self.urls)
            .field("connections", &self.connections)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}
