//! TLS to the database, against an authority that is made here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use haulier_conformance::prelude::{Must, eventually};
use haulier_core::SeededEntropy;
use haulier_postgres::{OpenError, Options, PgStore};
use haulier_sim::nemesis::PgServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// A server that has a certificate for `localhost`, and lets `certified` in by certificate alone.
struct Site {
    server: PgServer,
    dir: TempDir,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).must();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().must()).must()
}

/// Writes a certificate and its key; where they are.
fn certify(
    authority: &CertifiedIssuer<'static, KeyPair>,
    dir: &Path,
    file: &str,
    name: &str,
) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().must();
    let mut params = CertificateParams::new(vec![name.to_owned()]).must();
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.signed_by(&key, authority).must();
    let (at, key_at) = (dir.join(format!("{file}.pem")), dir.join(format!("{file}.key")));
    fs::write(&at, certificate.pem()).must();
    fs::write(&key_at, key.serialize_pem()).must();
    (at, key_at)
}

impl Site {
    async fn start() -> Self {
        let dir = TempDir::new().must();
        let ours = authority();
        fs::write(dir.path().join("ca.pem"), ours.pem()).must();
        fs::write(dir.path().join("stranger.pem"), authority().pem()).must();
        certify(&ours, dir.path(), "client", "certified");
        let mut server = PgServer::create(&dir.path().join("pg")).await.must();
        server.sql("create role certified superuser login").must();
        server.stop().must();
        certify(&ours, &server.data(), "server", "localhost");
        fs::copy(dir.path().join("ca.pem"), server.data().join("ca.pem")).must();
        let owned = Command::new("sh")
            .args(["-c", "chown --reference=. *.pem *.key && chmod 600 *.key"])
            .current_dir(server.data())
            .status();
        assert!(owned.must().success());
        server
            .configure(
                "ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'\n\
                 ssl_ca_file = 'ca.pem'",
            )
            .must();
        let hosts = "hostssl all certified all cert\nhost all postgres all trust\n";
        fs::write(server.data().join("pg_hba.conf"), hosts).must();
        server.start().await.must();
        Self { server, dir }
    }

    /// It has no TLS any more.
    async fn switch_off(&self) {
        self.server.configure("ssl = off").must();
        self.server.reload().must();
        eventually("TLS is off", async || self.server.sql("show ssl").must() == "off").await;
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    async fn open(&self, user: &str, host: &str, more: &str) -> Result<PgStore, OpenError> {
        let port = self.server.port();
        let url = format!("postgres://{user}@{host}:{port}/postgres?{more}");
        let options = Options::parse(&url, Arc::new(SeededEntropy::from_u64(7)));
        PgStore::migrate_and_open(options.must()).await
    }

    /// Connections of ours that are encrypted, and those that are not.
    fn encrypted(&self) -> String {
        let asked = "select count(*) filter (where s.ssl) > 0, count(*) filter (where not s.ssl)
                     from pg_stat_ssl s join pg_stat_activity a using (pid)
                     where a.application_name = 'haulier'";
        self.server.sql(asked).must()
    }
}

fn refused(answer: Result<PgStore, OpenError>) -> String {
    match answer {
        Err(OpenError::Refused(error)) => format!("{error:#}"),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_is_verified_as_far_as_it_is_asked_for() {
    let site = Site::start().await;
    let ours = format!("sslrootcert={}", site.file("ca.pem"));
    let strange = format!("sslrootcert={}", site.file("stranger.pem"));
    for (host, more) in [
        ("localhost", format!("sslmode=verify-full&{ours}")),
        ("127.0.0.1", format!("sslmode=verify-ca&{ours}")),
        ("127.0.0.1", format!("sslmode=require&{ours}")),
        ("127.0.0.1", "sslmode=require".to_owned()),
        ("127.0.0.1", "sslmode=prefer".to_owned()),
    ] {
        let store = site.open("postgres", host, &more).await.must();
        assert_eq!(site.encrypted(), "t|0", "{host} {more}");
        store.close().await.must();
    }
    for (host, more) in [
        ("127.0.0.1", format!("sslmode=verify-full&{ours}")),
        ("localhost", format!("sslmode=verify-full&{strange}")),
        ("localhost", format!("sslmode=verify-ca&{strange}")),
        ("localhost", format!("sslmode=require&{strange}")),
    ] {
        let said = refused(site.open("postgres", host, &more).await);
        assert!(said.contains("certificate"), "{host} {more}: {said}");
    }
}

#[tokio::test]
async fn a_client_is_known_by_its_certificate() {
    let site = Site::start().await;
    let with = format!(
        "sslmode=verify-full&sslrootcert={}&sslcert={}&sslkey={}",
        site.file("ca.pem"),
        site.file("client.pem"),
        site.file("client.key")
    );
    site.open("certified", "localhost", &with).await.must().close().await.must();
    let without = format!("sslmode=verify-full&sslrootcert={}", site.file("ca.pem"));
    let said = refused(site.open("certified", "localhost", &without).await);
    assert!(said.contains("certificate"), "{said}");
}

#[tokio::test]
async fn what_is_missing_for_tls_is_said() {
    let site = Site::start().await;
    for (more, part) in [
        ("sslmode=verify-full".to_owned(), "sslrootcert"),
        ("sslmode=verify-full&sslrootcert=/no/such.pem".to_owned(), "/no/such.pem"),
        (format!("sslmode=require&sslcert={}", site.file("client.pem")), "sslkey"),
    ] {
        let opened = site.open("postgres", "localhost", &more).await;
        let Err(OpenError::Options(error)) = opened else { panic!("{more}: {opened:?}") };
        assert!(error.message().contains(part), "{error}");
    }
    site.switch_off().await;
    let said = refused(site.open("postgres", "localhost", "sslmode=require").await);
    assert!(said.contains("TLS"), "{said}");
}

/// It leads to this machine, and is none of the addresses that are known to.
const ANOTHER: &str = "0.0.0.0";

#[tokio::test]
async fn nothing_goes_to_another_machine_unencrypted_unless_that_is_allowed() {
    let site = Site::start().await;
    for (more, encrypted) in [
        ("", true),
        ("sslmode=prefer", true),
        ("sslmode=prefer&allow_plaintext=on", true),
        ("sslmode=disable&allow_plaintext=on", false),
    ] {
        let store = site.open("postgres", ANOTHER, more).await.must();
        let seen = site.encrypted();
        assert_eq!(seen.ends_with("|0"), encrypted, "{more}: {seen}");
        store.close().await.must();
    }
    let opened = site.open("postgres", ANOTHER, "sslmode=disable").await;
    let Err(OpenError::Options(error)) = opened else { panic!("{opened:?}") };
    assert!(error.message().contains("--allow-plaintext-store"), "{error}");
    site.switch_off().await;
    let said = refused(site.open("postgres", ANOTHER, "sslmode=prefer").await);
    assert!(said.contains("TLS") && said.contains("ssl = on"), "{said}");
    site.open("postgres", ANOTHER, "allow_plaintext=on").await.must().close().await.must();
    site.open("postgres", "127.0.0.1", "").await.must().close().await.must();
}
