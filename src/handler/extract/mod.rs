//! Extractors: what a handler's arguments can be.
//!
//! | argument | what it is | poison where |
//! |---|---|---|
//! | [`Json<T>`] | the value, decoded | it isn't the JSON of a `T`, or there is none |
//! | [`Text`], [`Bytes`] | the value as it is | it isn't UTF-8 (`Text`) |
//! | [`Key`] | the key's bytes, if any | |
//! | [`Header<T>`], [`Headers`] | one header, parsed; all of them | the one is missing or can't be parsed |
//! | [`State<T>`] | what the router was given, or a part of it | |
//! | [`Topic`], [`Partition`], [`Offset`], `Option<`[`Timestamp`]`>` | where and when | |
//! | [`Attempt`] | which attempt it is, from 1 | |
//! | [`Cancellation`] | asked to end, by a revocation or a stop; and then, that the assignment is gone | |
//! | [`CancellationToken`](tokio_util::sync::CancellationToken) | cancelled when the assignment is gone | |
//! | [`Producer`] | writes records, which are acknowledged before this one is finished | |
//! | [`Record`], [`Delivery`] | all of it | |
//! | `Option<Json<T>>`, `Option<Header<T>>` | none for a tombstone, or without the header | it is there and can't be decoded |
//! | `(A, B)`, up to four | several at once, for the records of a [batch](super::on_batch) | one of them can't be drawn |
//! | `Result<T, Rejection>` of any of them | what it is, or why it can't be | |

mod cancellation;
mod headers;
mod producer;
mod state;

use std::fmt;

use bytes::Bytes as SharedBytes;
use serde::de::DeserializeOwned;

use super::Delivery;
use super::error::Rejection;
use crate::record::{Offset, Partition, Record, Timestamp, Topic};

pub use cancellation::Cancellation;
pub use headers::{Header, Headers, NamedHeader};
pub(super) use producer::Outgoing;
pub use producer::Producer;
pub use state::{FromRef, State};

/// A type that can be a handler's argument. Synchronous: whatever waits belongs into the handler. `S` is the router's state; an
/// extractor that needs none is one for every `S`.
///
/// ```
/// use daemonry::handler::{Delivery, FromRecord, Rejection};
///
/// struct Tenant(String);
///
/// impl<S> FromRecord<S> for Tenant {
///     fn from_record(delivery: &Delivery, _state: &S) -> Result<Self, Rejection> {
///         let name = delivery.record().header("tenant").ok_or_else(|| Rejection::new("no header `tenant`"))?;
///         Ok(Self(String::from_utf8_lossy(name).into_owned()))
///     }
/// }
/// # let _ = Tenant("x".into()).0;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be drawn from a record",
    label = "not an extractor, or not one for a router with state `{S}`",
    note = "use one of `daemonry::handler::extract`, or implement `FromRecord` for your type",
    note = "a part of the router's state is `State<T>`, where `T: FromRef<{S}>`",
    note = "a `Vec` of several records goes into `on_batch`"
)]
pub trait FromRecord<S>: Sized {
    /// Draws the value from this delivery.
    ///
    /// # Errors
    /// Why it can't be: the record is poison then.
    fn from_record(delivery: &Delivery, state: &S) -> Result<Self, Rejection>;
}

/// The value, decoded from JSON. A tombstone, an empty value, and one that is not UTF-8 or does not fit the type are poison; `Option<Json<T>>` is none
/// for a tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<S, T: DeserializeOwned> FromRecord<S> for Json<T> {
    fn from_record(delivery: &Delivery, _state: &S) -> Result<Self, Rejection> {
        let value = delivery.record().value().ok_or_else(|| Rejection::new("expected JSON, found a tombstone"))?;
        json(value).map(Json)
    }
}

impl<S, T: DeserializeOwned> FromRecord<S> for Option<Json<T>> {
    fn from_record(delivery: &Delivery, _state: &S) -> Result<Self, Rejection> {
        delivery.record().value().map(|value| json(value).map(Json)).transpose()
    }
}

fn json<T: DeserializeOwned>(value: &[u8]) -> Result<T, Rejection> {
    // All of it at once. Text by text, as serde_json would do it, takes as long for a field's name as reading that does.
    let text = str::from_utf8(value).map_err(|error| {
        let at = error.valid_up_to();
        Rejection::new(format!("the value is not the JSON that the handler takes: byte {at} of it is not UTF-8"))
    })?;
    serde_json::from_str(text).map_err(|error| {
        // The position alone: the payload may hold what must not reach a log.
        Rejection::new(format!(
            "the value is not the JSON that the handler takes: {:?} error at line {} column {}",
            error.classify(),
            error.line(),
            error.column()
        ))
    })
}

/// The value's bytes; empty for a tombstone. Not copied: they keep the record's memory alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytes(pub SharedBytes);

impl<S> FromRecord<S> for Bytes {
    fn from_record(delivery: &Delivery, _state: &S) -> Result<Self, Rejection> {
        Ok(Self(SharedBytes::from_owner(ValueOf(delivery.record().clone()))))
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

impl<S> FromRecord<S> for Text {
    fn from_record(delivery: &Delivery, _state: &S) -> Result<Self, Rejection> {
        match std::str::from_utf8(delivery.record().value().unwrap_or_default()) {
            Ok(text) => Ok(Self(text.to_owned())),
            Err(error) => Err(Rejection::new(format!("the value is not UTF-8 text: {error}"))),
        }
    }
}

/// The key's bytes, if the record has a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(pub Option<Vec<u8>>);

impl<S> FromRecord<S> for Key {
    fn from_record(delivery: &Delivery, _state: &S) -> Result<Self, Rejection> {
        Ok(Self(delivery.record().key().map(<[u8]>::to_vec)))
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

impl<S> FromRecord<S> for Attempt {
    fn from_record(delivery: &Delivery, _state: &S) -> Result<Self, Rejection> {
        Ok(Self(delivery.attempt()))
    }
}

impl<S> FromRecord<S> for Delivery {
    fn from_record(delivery: &Delivery, _state: &S) -> Result<Self, Rejection> {
        Ok(delivery.clone())
    }
}

impl<S> FromRecord<S> for Record {
    fn from_record(delivery: &Delivery, _state: &S) -> Result<Self, Rejection> {
        Ok(delivery.record().clone())
    }
}

impl<S> FromRecord<S> for Topic {
    fn from_record(delivery: &Delivery, _state: &S) -> Result<Self, Rejection> {
        Ok(delivery.record().topic().clone())
    }
}

impl<S> FromRecord<S> for Partition {
    fn from_record(delivery: &Delivery, _state: &S) -> Result<Self, Rejection> {
        Ok(delivery.record().partition())
    }
}

impl<S> FromRecord<S> for Offset {
    fn from_record(delivery: &Delivery, _state: &S) -> Result<Self, Rejection> {
        Ok(delivery.record().offset())
    }
}

impl<S> FromRecord<S> for Option<Timestamp> {
    fn from_record(delivery: &Delivery, _state: &S) -> Result<Self, Rejection> {
        Ok(delivery.record().timestamp())
    }
}

macro_rules! impl_for_tuple {
    ($($part:ident),*) => {
        /// Several at once: for the records of a [batch](super::on_batch).
        impl<S, $($part: FromRecord<S>,)*> FromRecord<S> for ($($part,)*) {
            fn from_record(delivery: &Delivery, state: &S) -> Result<Self, Rejection> {
                Ok(($($part::from_record(delivery, state)?,)*))
            }
        }
    };
}
impl_for_tuple!(A1, A2);
impl_for_tuple!(A1, A2, A3);
impl_for_tuple!(A1, A2, A3, A4);

/// Leaves it to the handler what an argument that can't be drawn means.
impl<S, T: FromRecord<S>> FromRecord<S> for Result<T, Rejection> {
    fn from_record(delivery: &Delivery, state: &S) -> Result<Self, Rejection> {
        Ok(T::from_record(delivery, state))
    }
}

#[cfg(test)]
mod tests;
