//! Types read from the tree, by serde.
//!
//! Strict whatever the type says of itself: a key that a struct doesn't have is refused, and a text in quotes is no number. What is
//! wrong comes out with its key.

mod access;

use serde::de::{self, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::key::KeyPath;
use super::problem::{Problem, sorted};
use super::tree::{Content, Node, Plain, Scalar};
use access::{Entries, Guarded, Items, Variant};

/// The name of a newtype that is given a text and whether it came from a place for secrets.
pub(super) const GUARDED: &str = "daemonry::config::Guarded";

/// One value of the tree.
#[derive(Clone)]
pub(super) struct Reader<'d> {
    node: &'d Node,
    path: KeyPath,
}

impl<'d> Reader<'d> {
    pub(super) fn new(node: &'d Node, path: KeyPath) -> Self {
        Self { node, path }
    }

    fn scalar(&self) -> Option<&'d Scalar> {
        match &self.node.content {
            Content::Scalar(scalar) => Some(scalar),
            Content::List(_) | Content::Map(_) => None,
        }
    }

    fn is_null(&self) -> bool {
        self.scalar().is_some_and(Scalar::is_null)
    }

    /// The text for a number; none where it is no plain one.
    fn number(&self) -> Option<&'d str> {
        let scalar = self.scalar()?;
        (scalar.untyped || !scalar.quoted).then_some(scalar.text.as_str())
    }

    /// What a text is, where one is wanted.
    fn text(&self) -> Result<&'d str, Problem> {
        match self.scalar() {
            Some(scalar) if scalar.untyped && !scalar.is_null() => Ok(&scalar.text),
            Some(scalar) => match scalar.plain() {
                Plain::Text => Ok(&scalar.text),
                Plain::Null => Err(Problem::wrong("text")),
                _ => Err(Problem::wrong("text, so put it in quotes")),
            },
            None => Err(Problem::wrong("text")),
        }
    }
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $number:ty;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            let read = match self.number().and_then(|text| text.parse::<$number>().ok()) {
                Some(number) => visitor.$visit(number),
                None if <$number>::BITS == 64 && <$number>::MIN == 0 => Err(Problem::wrong("a whole number, 0 or more")),
                None if <$number>::BITS == 64 => Err(Problem::wrong("a whole number")),
                None => Err(Problem::wrong(format!("a whole number from {} to {}", <$number>::MIN, <$number>::MAX))),
            };
            read.map_err(|problem| problem.at(&self.path))
        })*
    };
}

impl<'de> de::Deserializer<'de> for Reader<'de> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let path = self.path.clone();
        let read = match &self.node.content {
            Content::Map(entries) => visitor.visit_map(Entries::new(entries, &path)),
            Content::List(items) => visitor.visit_seq(Items::new(items, &path)),
            Content::Scalar(scalar) => match scalar.plain() {
                Plain::Null => visitor.visit_unit(),
                Plain::Bool(value) => visitor.visit_bool(value),
                Plain::Integer(value) => match u64::try_from(value) {
                    Ok(value) => visitor.visit_u64(value),
                    Err(_) => visitor.visit_i64(value),
                },
                Plain::Float(value) => visitor.visit_f64(value),
                Plain::Text => visitor.visit_borrowed_str(&scalar.text),
            },
        };
        read.map_err(|problem| problem.at(&path))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let plain = self.number().map(|text| Scalar { text: text.to_owned(), ..Scalar::default() }.plain());
        let read = match plain {
            Some(Plain::Bool(value)) => visitor.visit_bool(value),
            _ => Err(Problem::wrong("true, false")),
        };
        read.map_err(|problem| problem.at(&self.path))
    }

    whole_numbers! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let number = self.number().and_then(|text| text.parse::<f64>().ok());
        let read = match number.filter(|number| number.is_finite()) {
            Some(number) => visitor.visit_f64(number),
            None => Err(Problem::wrong("a number")),
        };
        read.map_err(|problem| problem.at(&self.path))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let read = self.text().and_then(|text| visitor.visit_borrowed_str(text));
        read.map_err(|problem| problem.at(&self.path))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Problem> {
        if name != GUARDED {
            return visitor.visit_newtype_struct(self);
        }
        let read = match self.scalar() {
            Some(scalar) if !scalar.is_null() => visitor.visit_seq(Guarded::new(&scalar.text, scalar.secret)),
            _ => Err(Problem::wrong("text, a number, true, false")),
        };
        read.map_err(|problem| problem.at(&self.path))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.node.content {
            Content::List(_) => self.deserialize_any(visitor),
            _ => Err(Problem::shape("a list").at(&self.path)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let read = match &self.node.content {
            Content::Map(entries) => visitor.visit_map(Entries::new(entries, &self.path)),
            _ if self.is_null() => visitor.visit_map(Entries::new(&[], &self.path)),
            _ => Err(Problem::shape("a section with names of yours as keys")),
        };
        read.map_err(|problem| problem.at(&self.path))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let read = match &self.node.content {
            Content::Map(entries) => match entries.iter().find(|entry| !fields.contains(&entry.key.as_str())) {
                Some(unknown) => Err(Problem::unknown(&unknown.key, &sorted(fields))),
                None => visitor.visit_map(Entries::new(entries, &self.path)),
            },
            // A section with nothing in it: all by default.
            _ if self.is_null() => visitor.visit_map(Entries::new(&[], &self.path)),
            _ => Err(Problem::shape(format!("a section with the keys {}", sorted(fields).join(", ")))),
        };
        read.map_err(|problem| problem.at(&self.path))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let read = match &self.node.content {
            Content::Scalar(scalar) if !scalar.is_null() => {
                visitor.visit_enum(IntoDeserializer::<Problem>::into_deserializer(scalar.text.as_str()))
            }
            Content::Map(entries) if entries.len() == 1 => visitor.visit_enum(Variant::new(&entries[0], &self.path)),
            _ => Err(Problem::wrong(variants.join(", "))),
        };
        read.map_err(|problem| problem.at(&self.path))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    forward_to_deserialize_any! { i128 u128 bytes byte_buf unit unit_struct ignored_any }
}
