//! A record as a test writes it and reads it: plain bytes, nothing interpreted.

use daemonry::record::{Offset, Partition};

/// What a test produces, or read back.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Message {
    /// The key; `None` is null, which is not the empty key.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is null, a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers in order; a name may be any bytes but NUL, and a value may be null.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Message {
    /// A message with this value, without key and headers.
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// A message with a null value.
    pub fn tombstone() -> Self {
        Self::default()
    }

    /// The same with a key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    /// The same with one more header, whose value is null.
    #[must_use]
    pub fn null_header(mut self, name: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), None));
        self
    }

    /// The values of all headers of this name, in order.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Option<&'a [u8]>> {
        self.headers.iter().filter(move |(n, _)| n == name.as_bytes()).map(|(_, value)| value.as_deref())
    }
}

/// A message and where it stands in its topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// The partition that holds it.
    pub partition: Partition,
    /// Its place there.
    pub offset: Offset,
    /// Its timestamp: when the producer made it, or when the broker appended it, as the topic has it.
    pub unix_ms: Option<i64>,
    /// The message itself.
    pub message: Message,
}
