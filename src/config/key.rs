//! Where a value stands in a configuration: the keys that lead to it.

use std::fmt;

/// The keys from the top down. The empty path is the whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyPath(Vec<String>);

impl KeyPath {
    /// The path of these keys.
    pub(crate) fn of<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self(keys.into_iter().map(Into::into).collect())
    }

    /// The key below this one.
    pub(crate) fn child(&self, key: impl Into<String>) -> Self {
        Self(self.0.iter().cloned().chain([key.into()]).collect())
    }

    pub(crate) fn keys(&self) -> &[String] {
        &self.0
    }

    pub(crate) fn last(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// The path above, and its last key; `None` at the top.
    pub(crate) fn split(&self) -> Option<(Self, &str)> {
        let (last, above) = self.0.split_last()?;
        Some((Self(above.to_vec()), last))
    }

    /// Whether it is `above`, or lies below it.
    pub(crate) fn is_within(&self, above: &Self) -> bool {
        self.0.starts_with(&above.0)
    }
}

impl fmt::Display for KeyPath {
    /// With dots between the keys; a key that has dots of its own stands in quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, key) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            match key.is_empty() || key.contains(['.', '"', ' ', '=']) {
                true => write!(f, "{dot}\"{key}\"")?,
                false => write!(f, "{dot}{key}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_with_dots_stands_in_quotes() {
        let path = KeyPath::of(["daemons", "orders", "topics"]).child("orders.created").child("timeout");
        assert_eq!(path.to_string(), "daemons.orders.topics.\"orders.created\".timeout");
    }
}
