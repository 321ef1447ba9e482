//! Values that are never shown.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::document::Document;
use super::key::KeyPath;
use super::substitute::read_secret;

/// What is shown instead.
pub(crate) const MASK: &str = "***";

/// A text that is never shown: not as text, not in a Debug, not when it is written out.
///
/// It is read from a text, and so can stand in a type for the `app` section too.
///
/// ```
/// use daemonry::config::Secret;
///
/// #[derive(Debug, serde::Deserialize)]
/// struct Shop { api_key: Secret }
///
/// let shop = Shop { api_key: Secret::new("hush") };
/// assert_eq!(format!("{shop:?} {}", shop.api_key), "Shop { api_key: *** } ***");
/// assert_eq!(shop.api_key.reveal(), "hush");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one who needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// Whether the value of a key, a property or a variable of this name must not be shown.
pub(crate) fn is_secret(name: &str) -> bool {
    // Where a secret lies is none.
    !name.ends_with("_file") && crate::kafka::is_secret(name)
}

/// The same without the password of an address such as `postgres://user:password@host`.
pub(crate) fn without_credentials(text: &str) -> String {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + "://".len());
        shown.push_str(before);
        let authority = after.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(after.len());
        rest = after;
        if let Some(host) = after[..authority].rfind('@')
            && let Some(colon) = after[..host].find(':')
        {
            shown.push_str(&after[..=colon]);
            shown.push_str(MASK);
            rest = &after[host..];
        }
    }
    shown + rest
}

/// A secret that was given, or stands in a file.
pub(super) fn secret(
    document: &mut Document,
    path: &KeyPath,
    key: &str,
    given: Option<&Secret>,
    file: Option<&str>,
) -> Option<String> {
    let file_key = path.child(format!("{key}_file"));
    match (given, file) {
        (Some(given), None) => Some(given.reveal().to_owned()),
        (None, Some(file)) => match read_secret(file) {
            Ok(text) => Some(text),
            Err(problem) => {
                document.fault(&file_key, &[], problem);
                None
            }
        },
        (Some(_), Some(_)) => {
            document.fault(&file_key, &[], format!("is set, and `{key}` too, allowed: one of them"));
            None
        }
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_their_passwords() {
        let shown = |text| without_credentials(text);
        assert_eq!(shown("postgres://shop:hush@db:5432/shop?a=b"), "postgres://shop:***@db:5432/shop?a=b");
        assert_eq!(shown("bad `redis://:hu@sh@r` and amqp://a:hush@b/c"), "bad `redis://:***@r` and amqp://a:***@b/c");
        assert_eq!(shown("http://host:80/a:b@c"), "http://host:80/a:b@c");
        assert_eq!(shown("none"), "none");
    }

    #[test]
    fn names_of_secrets_are_known() {
        for name in
            ["password", "DB_PASSWORD", "sasl.password", "ssl.key.pem", "api_key", "passphrase", "sasl.jaas.config"]
        {
            assert!(is_secret(name), "{name}");
        }
        for name in ["password_file", "username", "group", "ssl.key.location", "monkey"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
