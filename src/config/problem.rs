//! Why a value could not be read into its type, before it is known where.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::fault::instead;
use super::key::KeyPath;

/// A reason, and the key where it was found; the one who knows the key adds it.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) path: Option<KeyPath>,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// A key that the section doesn't have; what is allowed.
    Unknown(String, String),
    /// A key that the section must have.
    Missing(String),
    /// Another value is wanted: what is allowed. What was found is told by who knows whether it may be shown.
    Wrong(String),
    /// A section or a list is wanted: what is allowed. A text there may be meant for a key below, and is not shown.
    Shape(String),
    /// Something that a type says about its value, which may show it.
    Said(String),
}

impl Problem {
    pub(super) fn wrong(allowed: impl Into<String>) -> Self {
        Self { path: None, kind: Kind::Wrong(allowed.into()) }
    }

    pub(super) fn shape(allowed: impl Into<String>) -> Self {
        Self { path: None, kind: Kind::Shape(allowed.into()) }
    }

    pub(super) fn unknown(key: &str, allowed: &[&str]) -> Self {
        Self { path: None, kind: Kind::Unknown(key.to_owned(), instead(key, allowed)) }
    }

    /// The same, found at `path`, unless its place is known already.
    pub(super) fn at(self, path: &KeyPath) -> Self {
        let found = || match &self.kind {
            Kind::Unknown(key, _) => path.child(&**key),
            _ => path.clone(),
        };
        let path = self.path.clone().unwrap_or_else(found);
        Self { path: Some(path), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value can't be read")
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: None, kind: Kind::Said(message.to_string()) }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::wrong(expected.to_string())
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::wrong(expected.to_string())
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::wrong(expected.to_string())
    }

    fn unknown_variant(_: &str, allowed: &'static [&'static str]) -> Self {
        Self::wrong(allowed.join(", "))
    }

    fn unknown_field(field: &str, allowed: &'static [&'static str]) -> Self {
        Self::unknown(field, &sorted(allowed))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { path: None, kind: Kind::Missing(field.to_owned()) }
    }
}

/// Names in the order of the alphabet, as the reference has them.
pub(super) fn sorted<'n>(names: &[&'n str]) -> Vec<&'n str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names
}
