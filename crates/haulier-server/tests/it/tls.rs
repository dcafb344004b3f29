//! The client over TLS, with a certificate of its own, against an authority that is made here. The
//! server does not end TLS yet: it stands behind a gate that does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use haulier_core::{
    Code, Kind, ManualClock, NewTask, Outcome, Payload, Queue, QueueName, Result, SeededEntropy,
    Settled, Settlement, State, Store, TaskId, Want, WorkerId, limits,
};
use haulier_memory::MemoryStore;
use haulier_remote::{Identity, RemoteOptions, RemoteStore, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::remote::Link;
use crate::site::within;

/// Who signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    fn identity(&self) -> Identity {
        let (certificate, key) = self.sign("worker.example");
        Identity {
            certificate_pem: certificate.pem().into_bytes(),
            key_pem: key.serialize_pem().into_bytes(),
        }
    }
}

/// A server behind a gate that ends TLS and asks for a client's certificate.
struct Site {
    link: Link,
    gate: SocketAddr,
    tending: JoinHandle<()>,
}

impl Site {
    async fn of(authority: &Authority) -> Self {
        let clock = ManualClock::new();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
        let link = Link::over(store, &clock).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = listener.local_addr().unwrap();
        let tending = tokio::spawn(tend(listener, acceptor(authority), link.address));
        Self { link, gate, tending }
    }

    async fn end(self) {
        self.tending.abort();
        self.link.end().await;
    }

    async fn connect(&self, tls: Tls) -> Result<RemoteStore> {
        let url = format!("https://localhost:{}", self.gate.port());
        let entropy = Arc::new(SeededEntropy::from_u64(3));
        let mut options = RemoteOptions::new(&url, Arc::new(ManualClock::new()), entropy);
        options.tls = Some(tls);
        options.token = Some("hlr_test".to_owned());
        options.patience = Duration::ZERO;
        within(RemoteStore::connect(options)).await
    }
}

fn acceptor(authority: &Authority) -> TlsAcceptor {
    // Another test of this process may have chosen the same provider before.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut trusted = RootCertStore::empty();
    trusted.add(authority.0.der().clone()).unwrap();
    let clients = WebPkiClientVerifier::builder(Arc::new(trusted)).build().unwrap();
    let (certificate, key) = authority.sign("localhost");
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut tls = rustls::ServerConfig::builder()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(tls))
}

/// Lets known clients through to the server.
async fn tend(gate: TcpListener, acceptor: TlsAcceptor, server: SocketAddr) {
    while let Ok((stream, _)) = gate.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A client that is not known ends here, and that is the test.
            let Ok(mut inside) = acceptor.accept(stream).await else { return };
            let mut outside = TcpStream::connect(server).await.unwrap();
            // However the connection ends, it is over.
            drop(copy_bidirectional(&mut inside, &mut outside).await);
        });
    }
}

#[tokio::test]
async fn a_client_and_a_server_that_know_each_other_haul_a_task_over_tls() {
    let authority = Authority::new();
    let site = Site::of(&authority).await;
    let tls = Tls { ca_pem: Some(authority.pem()), identity: Some(authority.identity()) };
    let remote = site.connect(tls).await.unwrap();

    let id = TaskId::from_bytes([1; 16]);
    let new = NewTask::new(id, Kind::new("k").unwrap(), Payload::json("{}"));
    within(remote.enqueue(vec![new])).await.unwrap();
    let want = Want::new(WorkerId::new("w").unwrap(), QueueName::default(), 1);
    let got = within(remote.lease(vec![want], limits::WAIT_MAX)).await.unwrap();
    let end = Settlement { key: got[0][0].key, outcome: Outcome::Complete { result: None } };
    let settled = within(remote.settle(vec![end])).await.unwrap();

    assert_eq!(settled, [Settled::Applied { state: State::Completed, late: false }]);
    drop(remote);
    site.end().await;
}

#[tokio::test]
async fn a_stranger_on_either_side_ends_the_connection_before_anything_is_said() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let site = Site::of(&authority).await;
    for (ca, identity) in [
        (stranger.pem(), Some(authority.identity())),
        (authority.pem(), Some(stranger.identity())),
        (authority.pem(), None),
    ] {
        let error = site.connect(Tls { ca_pem: Some(ca), identity }).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{error:?}");
    }
    site.end().await;
}
