//! What a configuration asks for to be let in: whether this build can do it, and what of it must not be shown.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

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
        let features = ClientConfig::new().create_native_config().and_then(|config| config.get("builtin.features"));
        // Without an answer librdkafka says itself what it can't do.
        let has_tls = features.map_or(true, |features| features.split(',').any(|feature| feature.trim() == "ssl"));
        if has_tls { Self::WithTls } else { Self::WithoutTls }
    }

    /// What this build can't do of what the properties ask for, and what to do about it.
    pub(super) fn fault(self, properties: &BTreeMap<String, String>) -> Option<String> {
        if self == Self::WithTls {
            return None;
        }
        let asked: Vec<String> = properties.iter().filter_map(|(key, value)| asks_for_tls(key, value)).collect();
        (!asked.is_empty()).then(|| {
            format!(
                "{} needs OpenSSL, which is not in this build: build daemonry with the feature `tls` (the system's OpenSSL) or `tls-vendored` (one of its own)",
                asked.join(", ")
            )
        })
    }
}

/// How to name a property that needs OpenSSL; never by a value that may be a secret.
fn asks_for_tls(key: &str, value: &str) -> Option<String> {
    let value = value.trim().to_ascii_lowercase();
    let by_value = match key {
        "security.protocol" => value == "ssl" || value == "sasl_ssl",
        "sasl.mechanism" | "sasl.mechanisms" => value.starts_with("scram-") || value == "oauthbearer",
        _ => false,
    };
    if by_value {
        return Some(format!("`{key}` = `{value}`"));
    }
    // Of other clients, not of this build.
    let by_key = key.starts_with("ssl.") || key == "enable.ssl.certificate.verification";
    by_key.then(|| format!("`{key}`"))
}

/// Properties of SASL and TLS whose values may be shown; of the others a misspelt name could hold a secret.
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

/// Whether a property's value must not be shown.
pub(super) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    if key.starts_with("sasl.") || key.starts_with("ssl.") {
        return !SHOWN.contains(&key.as_str()) && !key.ends_with(".location");
    }
    ["pass", "secret", "pem", "token", "assertion", "credential", "jaas", "key"].iter().any(|part| key.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let fault = Build::WithoutTls.fault(&asked).expect("a fault");
        for part in ["`sasl_ssl`", "`scram-sha-512`", "`ssl.key.pem`", "`tls`", "`tls-vendored`"] {
            assert!(fault.contains(part), "{fault} does not say {part}");
        }
        assert!(!fault.contains("hush"), "{fault}");
        assert_eq!(Build::WithTls.fault(&asked), None);
    }

    #[test]
    fn a_build_without_tls_does_what_needs_none() {
        let asked = properties(&[("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "PLAIN")]);
        assert_eq!(Build::WithoutTls.fault(&asked), None);
    }

    #[test]
    fn this_build_has_tls_if_it_was_asked_for() {
        // The other way round it needn't hold: another crate may ask for it.
        assert!(!cfg!(feature = "tls") || Build::current() == Build::WithTls);
    }

    #[test]
    fn a_misspelt_secret_is_not_shown_either() {
        for key in ["sasl.password", "sasl.pasword", "ssl.key.pem", "ssl.key.passwd", "sasl.jaas.config", "api.key"] {
            assert!(is_secret(key), "{key}");
        }
        for key in ["sasl.username", "sasl.mechanism", "ssl.ca.location", "fetch.min.bytes", "security.protocol"] {
            assert!(!is_secret(key), "{key}");
        }
    }
}
