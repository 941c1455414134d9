//! TLS to PostgreSQL: what each `sslmode` verifies, and the hash that binds SCRAM to the certificate.

use std::sync::Arc;

use ring::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring as provider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::config::{DatabaseUrl, Host, TlsMode};

/// How to speak TLS to one server.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) server_name: ServerName<'static>,
    /// Whether a server without TLS is refused.
    pub(crate) required: bool,
}

impl Tls {
    /// What `url` asks for; `None` is no TLS.
    ///
    /// # Errors
    /// A text for the operator when the root certificates cannot be used.
    pub(crate) fn new(url: &DatabaseUrl) -> Result<Option<Tls>, String> {
        let Host::Tcp(host) = &url.host else { return Ok(None) };
        let trust = match url.tls {
            TlsMode::Disable => return Ok(None),
            TlsMode::Prefer | TlsMode::Require => Trust::Anyone,
            TlsMode::VerifyCa => Trust::Chain(Roots::new(url)?),
            TlsMode::VerifyFull => Trust::ChainAndName(Roots::new(url)?),
        };
        let server_name = ServerName::try_from(host.clone())
            .map_err(|_| format!("the host {host:?} is no name that a certificate can hold"))?;
        let provider = Arc::new(provider::default_provider());
        let verifier = Arc::new(Verifier { trust, provider: provider.clone() });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        let required = url.tls != TlsMode::Prefer;
        Ok(Some(Tls { config: Arc::new(config), server_name, required }))
    }
}

#[derive(Debug)]
enum Trust {
    Anyone,
    Chain(Roots),
    ChainAndName(Roots),
}

#[derive(Debug)]
struct Roots {
    store: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

impl Roots {
    fn new(url: &DatabaseUrl) -> Result<Roots, String> {
        let certificates: Vec<CertificateDer<'static>> = match &url.root_certificates {
            Some(path) => CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect)
                .map_err(|error| format!("sslrootcert {}: {error}", path.display()))?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates.iter().cloned());
        if store.is_empty() {
            return Err(match &url.root_certificates {
                Some(path) => format!("sslrootcert {} holds no certificate", path.display()),
                None => {
                    "the operating system has no root certificates; name a file with sslrootcert=".to_owned()
                }
            });
        }
        Ok(Roots { store, certificates })
    }
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (Trust::Chain(roots) | Trust::ChainAndName(roots)) = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(end_entity)?;
        // A self-signed server certificate that is itself the root file, as PostgreSQL's manual makes one, is trusted
        // by being the same; as a chain webpki would refuse it, because it is a certificate authority's.
        let itself = roots.certificates.iter().any(|root| root.as_ref() == end_entity.as_ref());
        if !itself {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&parsed, &roots.store, intermediates, now, algorithms)?;
        }
        if let Trust::ChainAndName(_) = self.trust {
            verify_server_name(&parsed, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The channel binding `tls-server-end-point` (RFC 5929, section 4.1): the certificate's hash by the hash function of
/// its signature, SHA-256 in place of MD5 and SHA-1. `None` where the signature has no hash function that we know.
pub(crate) fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    let signature = signature_algorithm(certificate)?;
    let algorithm = match (signature.strip_prefix(RSA), signature.strip_prefix(ECDSA)) {
        (Some([0x04 | 0x05 | 0x0b]), _) | (_, Some([0x01] | [0x03, 0x02])) => &digest::SHA256,
        (Some([0x0c]), _) | (_, Some([0x03, 0x03])) => &digest::SHA384,
        (Some([0x0d]), _) | (_, Some([0x03, 0x04])) => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

/// The object identifier of a certificate's signature algorithm: `SEQUENCE { tbs, SEQUENCE { OID, … }, … }`.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (0x30, fields, _) = element(certificate)? else { return None };
    let (_, _, after_tbs) = element(fields)?;
    let (0x30, algorithm, _) = element(after_tbs)? else { return None };
    let (0x06, oid, _) = element(algorithm)? else { return None };
    Some(oid)
}

/// The tag and content of the DER element at the start of `bytes`, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (
                digits
                    .iter()
                    .try_fold(0usize, |len, digit| len.checked_mul(256)?.checked_add(usize::from(*digit)))?,
                rest,
            )
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_binding_is_the_hash_that_the_signature_uses() {
        for (algorithm, len) in [(&rcgen::PKCS_ECDSA_P256_SHA256, 32), (&rcgen::PKCS_ECDSA_P384_SHA384, 48)] {
            let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let certificate =
                rcgen::CertificateParams::new(["h".to_owned()]).unwrap().self_signed(&key).unwrap();
            let hash = server_end_point(certificate.der()).unwrap();
            assert_eq!(hash.len(), len);
        }
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let certificate = rcgen::CertificateParams::new(["h".to_owned()]).unwrap().self_signed(&key).unwrap();
        assert_eq!(server_end_point(certificate.der()), None);
    }

    #[test]
    fn a_truncated_certificate_has_no_channel_binding() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["h".to_owned()]).unwrap().self_signed(&key).unwrap();
        let der = certificate.der().as_ref();
        for end in 0..der.len() {
            assert_eq!(server_end_point(&der[..end]), None, "{end} bytes");
        }
    }
}
