//! The parts of maps, lists and variants, one after the other.

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use super::Reader;
use crate::config::key::KeyPath;
use crate::config::problem::{Kind, Problem};
use crate::config::tree::{Entry, Node};

/// A map's entries, one after the other.
pub(super) struct Entries<'d, 'p> {
    entries: std::slice::Iter<'d, Entry>,
    value: Option<&'d Entry>,
    path: &'p KeyPath,
}

impl<'d, 'p> Entries<'d, 'p> {
    pub(super) fn new(entries: &'d [Entry], path: &'p KeyPath) -> Self {
        Self { entries: entries.iter(), value: None, path }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'de, '_> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        self.value = self.entries.next();
        let Some(entry) = self.value else { return Ok(None) };
        let key: StrDeserializer<'_, Problem> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|problem| match problem.kind {
            Kind::Unknown(..) => problem.at(self.path),
            _ => problem.at(&self.path.child(&*entry.key)),
        })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Problem> {
        let Some(entry) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let path = self.path.child(&*entry.key);
        seed.deserialize(Reader::new(&entry.value, path.clone())).map_err(|problem| problem.at(&path))
    }
}

/// A list's items, which go by their numbers.
pub(super) struct Items<'d, 'p> {
    items: std::iter::Enumerate<std::slice::Iter<'d, Node>>,
    path: &'p KeyPath,
}

impl<'d, 'p> Items<'d, 'p> {
    pub(super) fn new(items: &'d [Node], path: &'p KeyPath) -> Self {
        Self { items: items.iter().enumerate(), path }
    }
}

impl<'de> de::SeqAccess<'de> for Items<'de, '_> {
    type Error = Problem;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        let Some((number, item)) = self.items.next() else { return Ok(None) };
        let path = self.path.child(number.to_string());
        seed.deserialize(Reader::new(item, path.clone())).map(Some).map_err(|problem| problem.at(&path))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// A variant with a value: `name: value`.
pub(super) struct Variant<'d, 'p> {
    entry: &'d Entry,
    path: &'p KeyPath,
}

impl<'d, 'p> Variant<'d, 'p> {
    pub(super) fn new(entry: &'d Entry, path: &'p KeyPath) -> Self {
        Self { entry, path }
    }
}

impl<'de, 'p> de::EnumAccess<'de> for Variant<'de, 'p> {
    type Error = Problem;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Problem> {
        let name: StrDeserializer<'_, Problem> = self.entry.key.as_str().into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> Variant<'de, '_> {
    fn value(&self) -> Reader<'de> {
        Reader::new(&self.entry.value, self.path.child(&*self.entry.key))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'de, '_> {
    type Error = Problem;

    fn unit_variant(self) -> Result<(), Problem> {
        if self.value().is_null() { Ok(()) } else { Err(Problem::wrong("nothing").at(&self.value().path)) }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Problem> {
        seed.deserialize(self.value())
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Problem> {
        de::Deserializer::deserialize_tuple(self.value(), length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Problem> {
        de::Deserializer::deserialize_struct(self.value(), "", fields, visitor)
    }
}

/// A text, and then whether it is secret.
pub(super) struct Guarded<'d> {
    text: Option<&'d str>,
    secret: Option<bool>,
}

impl<'d> Guarded<'d> {
    pub(super) fn new(text: &'d str, secret: bool) -> Self {
        Self { text: Some(text), secret: Some(secret) }
    }
}

impl<'de> de::SeqAccess<'de> for Guarded<'de> {
    type Error = Problem;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        if let Some(text) = self.text.take() {
            return seed.deserialize(de::value::BorrowedStrDeserializer::new(text)).map(Some);
        }
        match self.secret.take() {
            Some(secret) => seed.deserialize(IntoDeserializer::<Problem>::into_deserializer(secret)).map(Some),
            None => Ok(None),
        }
    }
}
