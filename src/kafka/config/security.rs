//! What a configuration asks for to be let in: whether this build can do it, and what of it must not be shown.

use std::collections::BTreeMap;

use super::ConfigFault;
use crate::kafka::trial::is_built_with;

/// What the linked librdkafka was built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Build {
    /// OpenSSL is there: TLS, and what SCRAM computes with.
    WithTls,
    /// It is not.
    WithoutTls,
}

impl Build {
    /// This one's. Asked of librdkafka itself, since another crate may have chosen its features.
    pub(super) fn current() -> Self {
        if is_built_with("ssl") { Self::WithTls } else { Self::WithoutTls }
    }

    /// What this build can't do of what the properties ask for, and what to do about it.
    pub(super) fn faults(self, properties: &BTreeMap<String, String>) -> Vec<ConfigFault> {
        if self == Self::WithTls {
            return Vec::new();
        }
        let asked = properties.iter().filter(|(key, value)| needs_tls(key, value));
        asked
            .map(|(key, _)| {
                ConfigFault::of(
                    key,
                    "needs OpenSSL, which this program was built without: build it with daemonry's feature `tls` (the system's OpenSSL) or `tls-vendored` (one of its own)",
                )
            })
            .collect()
    }
}

fn needs_tls(key: &str, value: &str) -> bool {
    let value = value.trim().to_ascii_lowercase();
    match key {
        "security.protocol" => value == "ssl" || value == "sasl_ssl",
        "sasl.mechanism" | "sasl.mechanisms" => value.starts_with("scram-") || value == "oauthbearer",
        _ => key.starts_with("ssl.") || key == "enable.ssl.certificate.verification",
    }
}

/// Where the client is to look for the authorities that the system trusts, if it must be told. An OpenSSL of our own looks where it
/// would have been installed, and so finds none; librdkafka knows where systems keep them. Where a variable of the environment
/// names others, OpenSSL finds those by itself.
pub(super) fn authorities(is_vendored: bool, is_set: impl Fn(&str) -> bool) -> Option<&'static str> {
    let is_named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().any(is_set);
    (is_vendored && !is_named).then_some("probe")
}

/// Properties of SASL and TLS whose values may be shown.
const SHOWN: [&str; 13] = [
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.kerberos.service.name",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "ssl.cipher.suites",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.providers",
    "ssl.sigalgs.list",
];

/// Whether a property is one of those of SASL and TLS that isn't known to be harmless: its name may be that of a secret, misspelt.
pub(super) fn may_hold_a_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let is_security = key.starts_with("sasl.") || key.starts_with("ssl.");
    is_security && !SHOWN.contains(&key.as_str()) && !key.ends_with(".location")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_openssl_of_our_own_is_told_whom_the_system_trusts_unless_the_user_tells() {
        assert_eq!(authorities(true, |_| false), Some("probe"));
        for named in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
            assert_eq!(authorities(true, |name| name == named), None);
        }
        assert_eq!(authorities(false, |_| false), None);
    }

    fn properties(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_build_without_tls_says_which_feature_it_lacks() {
        let asked = properties(&[
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.password", "hush"),
            ("ssl.key.pem", "hush"),
        ]);
        let faults = Build::WithoutTls.faults(&asked);
        let settings: Vec<_> = faults.iter().map(|fault| fault.setting.as_str()).collect();
        assert_eq!(settings, ["sasl.mechanism", "security.protocol", "ssl.key.pem"]);
        for fault in faults {
            let said = fault.to_string();
            assert!(said.contains("`tls`") && said.contains("`tls-vendored`") && !said.contains("hush"), "{said}");
        }
        assert_eq!(Build::WithTls.faults(&asked), []);
    }

    #[test]
    fn a_build_without_tls_does_what_needs_none() {
        let asked = properties(&[("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "PLAIN")]);
        assert_eq!(Build::WithoutTls.faults(&asked), []);
    }

    #[test]
    fn this_build_has_tls_if_it_was_asked_for() {
        // The other way round it needn't hold: another crate may ask for it.
        assert!(!cfg!(feature = "tls") || Build::current() == Build::WithTls);
    }

    #[test]
    fn a_misspelt_secret_is_not_shown_either() {
        for key in ["sasl.password", "sasl.pasword", "ssl.key.pem", "ssl.key.passwd", "sasl.jaas.config"] {
            assert!(may_hold_a_secret(key), "{key}");
        }
        for key in ["sasl.username", "sasl.mechanism", "ssl.ca.location", "fetch.min.bytes", "security.protocol"] {
            assert!(!may_hold_a_secret(key), "{key}");
        }
    }
}
