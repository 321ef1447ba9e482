//! TLS for a server: its certificate and key are files, which are read anew when they change.
//!
//! The invariant: it always has a certificate that its key belongs to. What can't be read leaves the one before in place, and says so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::RwLock;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

use super::lifetime::Lifetime;
use crate::record::Timestamp;

/// How often the log hears of a certificate that ends soon.
const DAILY: Duration = Duration::from_secs(24 * 60 * 60);
/// How often it is looked whether the files have changed.
const LOOK: Duration = Duration::from_secs(5);

/// Where a certificate stands, with those that lead from it to its authority, and its key: files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Why there is no certificate to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file can't be read.
    #[error("{} can't be read: {why}", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// It holds something else.
    #[error("{} holds no {expected} in PEM: {why}", .path.display())]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// They don't belong together, or are of a kind that can't be used.
    #[error("the certificate {} can't be used with the key {}: {why}", .certificate.display(), .key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's.
        key: PathBuf,
        /// What is wrong with them.
        why: String,
    },
}

impl CertificateFiles {
    /// Reads both.
    pub(crate) fn read(&self) -> Result<(), CertificateError> {
        self.load(&default_provider()).map(drop)
    }

    fn load(&self, provider: &CryptoProvider) -> Result<CertifiedKey, CertificateError> {
        let Self { certificate, key } = self;
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
            .map_err(|error| wrong(certificate, "certificate", error))?;
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, "private key", error))?;
        CertifiedKey::from_der(chain, secret, provider).map_err(|error| CertificateError::Unusable {
            certificate: certificate.clone(),
            key: key.clone(),
            why: error.to_string(),
        })
    }

    /// When they were changed last.
    fn changed(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key].map(|path| fs::metadata(path).and_then(|of| of.modified()).ok())
    }
}

pub(super) fn wrong(path: &Path, expected: &'static str, error: pem::Error) -> CertificateError {
    let path = path.to_owned();
    // Not what the parser says: of a key whose line breaks are lost it would tell all of it.
    let why = match error {
        pem::Error::Io(error) => return CertificateError::Unreadable { path, why: error.to_string() },
        pem::Error::NoItemsFound => "there is none",
        pem::Error::MissingSectionEnd { .. } => "its END line is missing, or its line breaks are",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line of it is broken",
        _ => "it is broken",
    };
    CertificateError::Wrong { path, expected, why }
}

/// See the module. Cloning gives another handle of the same.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    files: CertificateFiles,
    provider: Arc<CryptoProvider>,
    shown: Arc<Shown>,
    /// As of what is shown.
    changed: [Option<SystemTime>; 2],
}

/// The certificate that is shown now.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

impl Tls {
    /// With the files as they are.
    pub(crate) fn new(files: CertificateFiles) -> Result<Self, CertificateError> {
        let (provider, changed) = (Arc::new(default_provider()), files.changed());
        let shown = Arc::new(Shown(RwLock::new(Arc::new(files.load(&provider)?))));
        let this = Self { files, provider, shown, changed };
        this.tell_end();
        Ok(this)
    }

    /// What greets whoever connects.
    pub(super) fn acceptor(&self) -> io::Result<TlsAcceptor> {
        let config = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let config = config.with_safe_default_protocol_versions().map_err(io::Error::other)?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Shown>::clone(&self.shown);
        let mut config: ServerConfig = config.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::<rustls::ServerConfig>::new(config)))
    }

    /// Shows what the files hold as soon as they have changed, for ever.
    pub(crate) async fn follow(&self) {
        let (mut known, mut told) = (self.changed, Instant::now());
        loop {
            tokio::time::sleep(LOOK).await;
            if told.elapsed() >= DAILY {
                self.tell_end();
                told = Instant::now();
            }
            let this = self.clone();
            // A volume that hangs must not hang who asks.
            if let Ok(changed) = tokio::task::spawn_blocking(move || this.look(known)).await {
                known = changed;
            }
        }
    }

    /// Has the log say that what is shown ends soon, or has ended.
    fn tell_end(&self) {
        let shown = Arc::clone(&self.shown.0.read());
        let (now, file) = (Timestamp::now(), self.files.certificate.display());
        let own = shown.cert.first().and_then(|own| Lifetime::of(own));
        let Some(of) = own.filter(|of| of.is_short(now)) else { return };
        match of.left(now) {
            Some(left) => {
                let days = left.as_secs() / DAILY.as_secs();
                tracing::warn!(certificate = %file, days, "certificate ends soon, renew it in its place");
            }
            None => tracing::error!(certificate = %file, "certificate has ended, renew it in its place"),
        }
    }

    /// Shows what the files hold, where they have changed.
    fn look(&self, known: [Option<SystemTime>; 2]) -> [Option<SystemTime>; 2] {
        let changed = self.files.changed();
        if changed == known {
            return known;
        }
        match self.files.load(&self.provider) {
            Ok(read) => {
                *self.shown.0.write() = Arc::new(read);
                tracing::info!(certificate = %self.files.certificate.display(), "certificate read anew");
                self.tell_end();
            }
            // Half of it may have been written: the next change brings the rest.
            Err(error) => tracing::warn!(%error, "certificate can't be read anew, the one before is shown"),
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_told_with_its_place() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let files = CertificateFiles { certificate: path("tls.crt"), key: path("tls.key") };
        let said = || files.read().expect_err("there is nothing to read").to_string();
        let missing = said();
        assert!(missing.contains("tls.crt can't be read: No such file"), "{missing}");
        fs::write(&files.certificate, "nothing of the kind").expect("a file");
        let empty = said();
        assert!(empty.contains("tls.crt holds no certificate in PEM"), "{empty}");
        fs::write(&files.certificate, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .expect("a file");
        let keyless = said();
        assert!(keyless.contains("tls.key can't be read"), "{keyless}");
        fs::write(&files.key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").expect("a file");
        let unusable = said();
        assert!(unusable.contains("can't be used with the key"), "{unusable}");
        assert!(!unusable.contains("AAAA"), "{unusable}");
        // As where somebody has put a secret into one line.
        fs::write(&files.key, "-----BEGIN PRIVATE KEY-----\\nSECRET\\n-----END PRIVATE KEY-----").expect("a file");
        let one_line = said();
        assert!(one_line.contains("tls.key holds no private key in PEM: its"), "{one_line}");
        assert!(!one_line.contains("SECRET") && !one_line.contains("83, 69, 67"), "{one_line}");
    }
}
