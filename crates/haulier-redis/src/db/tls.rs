//! Encryption of connections: what is verified of the other side, and what is shown of ours.

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

/// What rustls is to do; nothing without TLS.
pub(super) fn config(tls: &Tls) -> Result<Option<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let lenient =
        |authority| Arc::new(Lenient { authority, provider: Arc::new(ring::default_provider()) });
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("no version of TLS is known").caused_by(error))?;
    let builder = match tls.mode {
        TlsMode::Disable => return Ok(None),
        TlsMode::Require => builder.dangerous().with_custom_certificate_verifier(lenient(None)),
        TlsMode::VerifyCa => {
            let roots = Arc::new(roots(tls.root.as_deref())?);
            let authority = WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|error| Error::internal("nobody is trusted").caused_by(error))?;
            builder.dangerous().with_custom_certificate_verifier(lenient(Some(authority)))
        }
        TlsMode::VerifyFull => builder.with_root_certificates(roots(tls.root.as_deref())?),
    };
    match (&tls.certificate, &tls.key) {
        (None, None) => Ok(Some(builder.with_no_client_auth())),
        (Some(certificate), Some(key)) => {
            let chain = certificates("sslcert", certificate)?;
            let read = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unusable("sslkey", key, error))?;
            builder
                .with_client_auth_cert(chain, read)
                .map(Some)
                .map_err(|error| unusable("sslcert", certificate, error))
        }
        _ => Err(Error::invalid("url.sslcert", "sslcert and sslkey belong together; give both")),
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

/// Whom to trust: those of the file, or those whom browsers trust.
fn roots(file: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(file) = file else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    for certificate in certificates("sslrootcert", file)? {
        roots.add(certificate).map_err(|error| unusable("sslrootcert", file, error))?;
    }
    Ok(roots)
}

/// Whether a failure is neither an outage nor a word of Redis: both sides do not agree on how to
/// talk.
pub(super) fn is_about_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |cause| (*cause).source()).any(|cause| {
        // The driver shares what it wraps.
        let shared = cause.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>();
        let io = match shared {
            Some(shared) => shared.downcast_ref::<std::io::Error>(),
            None => cause.downcast_ref(),
        };
        let inner = io.and_then(std::io::Error::get_ref);
        cause.is::<rustls::Error>()
            || inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
    })
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
