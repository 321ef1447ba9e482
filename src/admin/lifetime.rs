//! When certificates end, read from the files that they stand in: nobody is asked, and nothing is verified.

use std::path::Path;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::tls::{CertificateError, wrong};
use crate::record::Timestamp;

/// What ends within this time is told.
pub(crate) const SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A certificate, as long as it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// Whose it is, as it says itself.
    #[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "the doctor asks for it"))]
    pub(crate) subject: String,
    /// It is good until then.
    pub(crate) end: Timestamp,
}

/// Those of a file in PEM, in their order.
///
/// # Errors
/// That it can't be read, or holds none.
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "the doctor asks for it"))]
pub(crate) fn lifetimes(path: &Path) -> Result<Vec<Lifetime>, CertificateError> {
    let told = |error| wrong(path, "certificate", error);
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(told)?;
    if all.is_empty() {
        return Err(told(pem::Error::NoItemsFound));
    }
    let broken = || CertificateError::Wrong { path: path.to_owned(), expected: "certificate", why: "one is broken" };
    all.iter().map(|der| Lifetime::of(der).ok_or_else(broken)).collect()
}

impl Lifetime {
    pub(super) fn of(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let certificate = certificate.tbs_certificate();
        let end = certificate.validity().not_after.to_unix_duration().as_millis();
        let end = i64::try_from(end).ok().and_then(Timestamp::from_millis)?;
        Some(Self { subject: certificate.subject().to_string(), end })
    }

    /// How long it is still good; none where it has ended.
    pub(crate) fn left(&self, now: Timestamp) -> Option<Duration> {
        let left = self.end.as_millis().checked_sub(now.as_millis()).filter(|left| *left > 0);
        left.map(Duration::from_millis)
    }

    /// Whether it ends soon, or has ended.
    pub(crate) fn is_short(&self, now: Timestamp) -> bool {
        self.left(now).is_none_or(|left| left < SOON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Until 2027-11-27T21:02:10Z.
    const SAMPLE: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBqTCCAU+gAwIBAgIUby2K2jYQ7H/2XqQW/Y95XxfQ+tUwCgYIKoZIzj0EAwIw\n\
KjENMAsGA1UECgwEU2hvcDEZMBcGA1UEAwwQc2hvcC5leGFtcGxlLm9yZzAeFw0y\n\
NjExMjcyMTAyMTBaFw0yNzExMjcyMTAyMTBaMCoxDTALBgNVBAoMBFNob3AxGTAX\n\
BgNVBAMMEHNob3AuZXhhbXBsZS5vcmcwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\n\
AAQFh/XFVyk7wCIeKVuv0CZP7hBMNbI7t4qGkEodSlCVb4Z17bUBVl+/imGVdVDK\n\
GmODfJOz+CGm7YMY740PXe+Zo1MwUTAdBgNVHQ4EFgQU+sZZ3HD2c3Uv7exOaMx+\n\
GnUcMdIwHwYDVR0jBBgwFoAU+sZZ3HD2c3Uv7exOaMx+GnUcMdIwDwYDVR0TAQH/\n\
BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA33l9v2fIsWlTs9jYwB6gvdlbD9SG\n\
zpyVN0I3LiIh8+wCIClvsOOJfaGZvacuQ80SFwW2MxfQ5I0O0yO0mJyfMSax\n\
-----END CERTIFICATE-----\n\
";

    #[test]
    fn a_certificate_says_when_it_ends_and_whose_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("tls.crt");
        std::fs::write(&path, format!("# of whoever asks\n{SAMPLE}{SAMPLE}")).expect("a file");
        let all = lifetimes(&path).expect("two certificates");
        let end = Timestamp::from_millis(1_827_349_330_000).expect("after 1970");
        let expected = Lifetime { subject: "CN=shop.example.org,O=Shop".to_owned(), end };
        assert_eq!(all, [expected.clone(), expected.clone()]);
        let day = Duration::from_secs(24 * 60 * 60);
        assert_eq!((expected.left(end - day), expected.left(end)), (Some(day), None));
        assert!(expected.is_short(end - day * 29) && !expected.is_short(end - day * 30));
        let said = |text: &str| {
            std::fs::write(&path, text).expect("a file");
            lifetimes(&path).expect_err("none can be read").to_string()
        };
        assert!(said("nothing").contains("there is none"));
        let broken = said("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert!(broken.contains("holds no certificate in PEM: one is broken"), "{broken}");
    }
}
