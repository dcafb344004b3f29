//! Encryption of connections, with libpq's words for what is verified.

use std::path::Path;
use std::sync::Arc;

use haulier_core::{Error, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::options::{Tls, TlsMode};

/// What rustls is to do.
pub(super) fn config(tls: &Tls) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("no version of TLS is known").caused_by(error))?;
    let builder = match (verifies(tls), &tls.root) {
        (Verifies::Nothing, _) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Lenient {
                authority: None,
                provider: Arc::clone(&provider),
            }))
        }
        (_, None) => {
            return Err(Error::invalid(
                "url.sslrootcert",
                "missing: to verify the database's certificate, name the file with those to trust",
            ));
        }
        (Verifies::Authority, Some(root)) => {
            let roots = Arc::new(roots(root)?);
            let authority = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                .build()
                .map_err(|error| unusable("sslrootcert", root, error))?;
            let authority = Some(authority);
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Lenient {
                authority,
                provider: Arc::clone(&provider),
            }))
        }
        (Verifies::Host, Some(root)) => builder.with_root_certificates(roots(root)?),
    };
    match (&tls.certificate, &tls.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key)) => {
            let chain = certificates("sslcert", certificate)?;
            let read = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unusable("sslkey", key, error))?;
            builder
                .with_client_auth_cert(chain, read)
                .map_err(|error| unusable("sslcert", certificate, error))
        }
        _ => Err(Error::invalid("url.sslcert", "sslcert and sslkey belong together; give both")),
    }
}

enum Verifies {
    Nothing,
    Authority,
    Host,
}

/// As libpq: `require` with somebody to trust is `verify-ca`.
fn verifies(tls: &Tls) -> Verifies {
    match (tls.mode, &tls.root) {
        (TlsMode::VerifyFull, _) => Verifies::Host,
        (TlsMode::VerifyCa, _) | (TlsMode::Require, Some(_)) => Verifies::Authority,
        (TlsMode::Disable | TlsMode::Prefer | TlsMode::Require, _) => Verifies::Nothing,
    }
}

fn unusable(what: &str, file: &Path, why: impl std::error::Error + Send + Sync + 'static) -> Error {
    let text = format!("{}: {why}", file.display());
    Error::invalid(format!("url.{what}"), text).caused_by(why)
}

fn certificates(what: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(what, file, error))?;
    if read.is_empty() {
        let text = format!("{}: no certificate in it", file.display());
        return Err(Error::invalid(format!("url.{what}"), text));
    }
    Ok(read)
}

fn roots(file: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("sslrootcert", file)? {
        roots.add(certificate).map_err(|error| unusable("sslrootcert", file, error))?;
    }
    Ok(roots)
}

/// Asks less of a certificate than rustls does: who signed it, or nothing at all. The connection is
/// encrypted, and signatures are checked, all the same.
#[derive(Debug)]
struct Lenient {
    authority: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authority) = &self.authority else { return Ok(ServerCertVerified::assertion()) };
        match authority.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // Names are looked at last: everything else was in order.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
