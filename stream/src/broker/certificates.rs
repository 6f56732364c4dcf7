//! Certificates for tests: an authority, and a server's certificate that it signed.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::BrokerError;
use super::settings::HOST;

/// A certificate authority that nobody but a test trusts, with the certificate of one server.
#[derive(Debug, Clone)]
pub struct Authority {
    certificate_path: PathBuf,
    server_path: PathBuf,
}

impl Authority {
    /// Makes a new one, and a certificate of it for a server on loopback, in `directory`.
    pub fn create(directory: &Path) -> Result<Self, BrokerError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "Authority for tests");
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let issuer = Issuer::new(params, key);

        let mut params = CertificateParams::new(vec![HOST.to_owned(), "localhost".to_owned()])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params
            .distinguished_name
            .push(DnType::CommonName, "Server for tests");
        let server_key = KeyPair::generate()?;
        let server = params.signed_by(&server_key, &issuer)?;

        let authority = Self {
            certificate_path: directory.join("authority.pem"),
            server_path: directory.join("server.pem"),
        };
        let key_and_chain = format!("{}{}", server_key.serialize_pem(), server.pem());
        for (path, content) in [
            (&authority.certificate_path, certificate.pem()),
            (&authority.server_path, key_and_chain),
        ] {
            fs::write(path, content)
                .map_err(BrokerError::io(format!("write {}", path.display())))?;
        }
        Ok(authority)
    }

    /// The authority's certificate (PEM): what a client has to trust.
    pub fn certificate_path(&self) -> &Path {
        &self.certificate_path
    }

    /// The server's private key and certificate (PEM).
    pub fn server_path(&self) -> &Path {
        &self.server_path
    }
}
