//! TLS to Redis, against an authority that is made here.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use haulier_conformance::prelude::{Must, task};
use haulier_core::{Queue, SeededEntropy};
use haulier_redis::{OpenError, Options, RedisStore};
use haulier_sim::nemesis::RedisServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// A server that has a certificate for `localhost`, and asks for one if it is told to.
struct Site {
    server: RedisServer,
    port: u16,
    dir: TempDir,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).must();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().must()).must()
}

fn certify(authority: &CertifiedIssuer<'static, KeyPair>, dir: &Path, file: &str, name: &str) {
    let key = KeyPair::generate().must();
    let mut params = CertificateParams::new(vec![name.to_owned()]).must();
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.signed_by(&key, authority).must();
    fs::write(dir.join(format!("{file}.pem")), certificate.pem()).must();
    fs::write(dir.join(format!("{file}.key")), key.serialize_pem()).must();
}

impl Site {
    async fn start(asks_for_certificates: bool) -> Self {
        let dir = TempDir::new().must();
        let at = dir.path();
        let ours = authority();
        fs::write(at.join("ca.pem"), ours.pem()).must();
        fs::write(at.join("stranger.pem"), authority().pem()).must();
        certify(&ours, at, "client", "certified");
        certify(&ours, at, "server", "localhost");
        let port = RedisServer::free_port().must();
        let file = |name: &str| at.join(name).display().to_string();
        let settings = format!(
            "tls-port {port}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n\
             tls-auth-clients {}",
            file("server.pem"),
            file("server.key"),
            file("ca.pem"),
            if asks_for_certificates { "yes" } else { "no" },
        );
        let server = RedisServer::create(&at.join("redis"), &settings).await.must();
        Self { server, port, dir }
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    async fn open(&self, host: &str, more: &str) -> Result<RedisStore, OpenError> {
        open(&format!("rediss://{host}:{}?{more}", self.port)).await
    }
}

async fn open(url: &str) -> Result<RedisStore, OpenError> {
    RedisStore::open(Options::parse(url, Arc::new(SeededEntropy::from_u64(7))).must()).await
}

fn refused(answer: Result<RedisStore, OpenError>) -> String {
    match answer {
        Err(OpenError::Refused(error)) => error.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

fn senseless(answer: Result<RedisStore, OpenError>) -> String {
    match answer {
        Err(OpenError::Options(error)) => error.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_verified_as_far_as_it_is_asked_for() {
    let site = Site::start(false).await;
    let ours = format!("sslrootcert={}", site.file("ca.pem"));
    let strange = format!("sslrootcert={}", site.file("stranger.pem"));
    for (host, more) in [
        ("localhost", ours.clone()),
        ("localhost", format!("sslmode=verify-full&{ours}")),
        ("127.0.0.1", format!("sslmode=verify-ca&{ours}")),
        ("127.0.0.1", "sslmode=require".to_owned()),
        ("127.0.0.1", format!("sslmode=require&{strange}")),
    ] {
        let store = site.open(host, &more).await.must();
        store.enqueue(vec![task()]).await.must();
        store.close().await.must();
    }
    for (host, more) in [
        ("127.0.0.1", ours.clone()),
        ("localhost", strange.clone()),
        ("localhost", format!("sslmode=verify-ca&{strange}")),
        // Nobody whom browsers trust has signed it.
        ("localhost", String::new()),
    ] {
        let said = refused(site.open(host, &more).await);
        assert!(said.contains("certificate") && said.contains("sslrootcert"), "{more}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_asks_who_we_are_is_shown_our_certificate() {
    let site = Site::start(true).await;
    let ours = format!("sslrootcert={}", site.file("ca.pem"));
    let shown =
        format!("{ours}&sslcert={}&sslkey={}", site.file("client.pem"), site.file("client.key"));
    let store = site.open("localhost", &shown).await.must();
    store.enqueue(vec![task()]).await.must();
    store.close().await.must();
    // Redis may close the connection before its reason was read.
    let Err(OpenError::Refused(error) | OpenError::Away(error)) =
        site.open("localhost", &ours).await
    else {
        panic!("it was let in")
    };
    assert!(error.message().contains("sslcert"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_for_tls_is_said() {
    let site = Site::start(false).await;
    for (more, part) in [
        ("sslrootcert=/no/such.pem".to_owned(), "/no/such.pem"),
        (format!("sslrootcert={}", site.file("client.key")), "no certificate"),
        (format!("sslcert={}", site.file("client.pem")), "sslkey"),
    ] {
        let said = senseless(site.open("localhost", &more).await);
        assert!(said.contains(part), "{said}");
    }
    // Plain words to a port that wants TLS: the answer, if any, is none of Redis's.
    match open(&format!("redis://localhost:{}", site.port)).await {
        Err(OpenError::Away(error) | OpenError::Refused(error)) => {
            assert!(error.message().contains("rediss"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

/// It leads to this machine, and is none of the addresses that are known to.
const ANOTHER: &str = "0.0.0.0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_to_another_machine_unencrypted_unless_that_is_allowed() {
    let site = Site::start(false).await;
    let port = site.server.port();
    let said = senseless(open(&format!("redis://{ANOTHER}:{port}")).await);
    assert!(said.contains("--allow-plaintext-store") && said.contains("rediss"), "{said}");
    for url in [
        format!("redis://{ANOTHER}:{port}?allow_plaintext=on"),
        format!("redis://localhost:{port}"),
        format!("rediss://{ANOTHER}:{}?sslmode=require", site.port),
    ] {
        open(&url).await.must().close().await.must();
    }
}
