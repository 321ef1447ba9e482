//! Extractors: what a handler's arguments can be.

use std::fmt;

use bytes::Bytes as SharedBytes;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::error::Rejection;
use crate::record::{Offset, Partition, Record, Timestamp, Topic};

/// One attempt at one record, as the extractors see it.
#[derive(Debug)]
pub struct Delivery<'a> {
    pub(crate) record: &'a Record,
    pub(crate) attempt: u32,
    pub(crate) cancellation: &'a CancellationToken,
}

impl<'a> Delivery<'a> {
    /// A delivery made by hand, to test an extractor with.
    pub fn new(record: &'a Record, attempt: u32, cancellation: &'a CancellationToken) -> Self {
        Self { record, attempt, cancellation }
    }

    /// The record.
    pub fn record(&self) -> &Record {
        self.record
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Cancelled when the record's assignment is gone.
    pub fn cancellation(&self) -> &CancellationToken {
        self.cancellation
    }
}

/// A type that can be a handler's argument. Synchronous: whatever waits belongs into the handler.
///
/// ```
/// use daemonry::handler::{Delivery, FromRecord, Rejection};
///
/// struct Tenant(String);
///
/// impl FromRecord for Tenant {
///     fn from_record(delivery: &Delivery<'_>) -> Result<Self, Rejection> {
///         let name = delivery.record().header("tenant").ok_or_else(|| Rejection::new("no header `tenant`"))?;
///         Ok(Self(String::from_utf8_lossy(name).into_owned()))
///     }
/// }
/// # let _ = Tenant("x".into()).0;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be drawn from a record",
    label = "not an extractor",
    note = "use one of `daemonry::handler::extract`, or implement `FromRecord` for your type"
)]
pub trait FromRecord: Sized {
    /// Draws the value from this delivery.
    ///
    /// # Errors
    /// Why it can't be: the record is poison then.
    fn from_record(delivery: &Delivery<'_>) -> Result<Self, Rejection>;
}

/// The value, decoded from JSON. A tombstone, an empty value and one that does not fit the type are poison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRecord for Json<T> {
    fn from_record(delivery: &Delivery<'_>) -> Result<Self, Rejection> {
        let value = delivery.record.value().ok_or_else(|| Rejection::new("expected JSON, found a tombstone"))?;
        serde_json::from_slice(value).map(Json).map_err(|error| {
            // The position alone: the payload may hold what must not reach a log.
            Rejection::new(format!(
                "the value is not the JSON that the handler takes: {:?} error at line {} column {}",
                error.classify(),
                error.line(),
                error.column()
            ))
        })
    }
}

/// The value's bytes; empty for a tombstone. Not copied: they keep the record's memory alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytes(pub SharedBytes);

impl FromRecord for Bytes {
    fn from_record(delivery: &Delivery<'_>) -> Result<Self, Rejection> {
        Ok(Self(SharedBytes::from_owner(ValueOf(delivery.record.clone()))))
    }
}

struct ValueOf(Record);

impl AsRef<[u8]> for ValueOf {
    fn as_ref(&self) -> &[u8] {
        self.0.value().unwrap_or_default()
    }
}

/// The value as text. Not UTF-8: poison. Empty for a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl FromRecord for Text {
    fn from_record(delivery: &Delivery<'_>) -> Result<Self, Rejection> {
        match std::str::from_utf8(delivery.record.value().unwrap_or_default()) {
            Ok(text) => Ok(Self(text.to_owned())),
            Err(error) => Err(Rejection::new(format!("the value is not UTF-8 text: {error}"))),
        }
    }
}

/// The key's bytes, if the record has a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(pub Option<Vec<u8>>);

impl FromRecord for Key {
    fn from_record(delivery: &Delivery<'_>) -> Result<Self, Rejection> {
        Ok(Self(delivery.record.key().map(<[u8]>::to_vec)))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(key) => write!(f, "Key({})", String::from_utf8_lossy(key)),
            None => f.write_str("Key(none)"),
        }
    }
}

/// Which attempt this is: 1 for the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt(pub u32);

impl FromRecord for Attempt {
    fn from_record(delivery: &Delivery<'_>) -> Result<Self, Rejection> {
        Ok(Self(delivery.attempt))
    }
}

impl FromRecord for Record {
    fn from_record(delivery: &Delivery<'_>) -> Result<Self, Rejection> {
        Ok(delivery.record.clone())
    }
}

impl FromRecord for Topic {
    fn from_record(delivery: &Delivery<'_>) -> Result<Self, Rejection> {
        Ok(delivery.record.topic().clone())
    }
}

impl FromRecord for Partition {
    fn from_record(delivery: &Delivery<'_>) -> Result<Self, Rejection> {
        Ok(delivery.record.partition())
    }
}

impl FromRecord for Offset {
    fn from_record(delivery: &Delivery<'_>) -> Result<Self, Rejection> {
        Ok(delivery.record.offset())
    }
}

impl FromRecord for Option<Timestamp> {
    fn from_record(delivery: &Delivery<'_>) -> Result<Self, Rejection> {
        Ok(delivery.record.timestamp())
    }
}

/// Cancelled when the record's assignment is gone: it was lost, or its time to drain has passed. What the handler still does then
/// can't be committed, and another member may be at the same record.
impl FromRecord for CancellationToken {
    fn from_record(delivery: &Delivery<'_>) -> Result<Self, Rejection> {
        Ok(delivery.cancellation.clone())
    }
}
