//! The configuration as it was written: a tree of texts, each with the place it came from.
//!
//! Texts stay texts until a type says what they are to be: so `0.10` is not a number where a text is wanted, and a variable's value
//! can be a number where one is. Nothing here is ever printed as a whole, since any text may be a secret.

use super::fault::Place;
use super::key::KeyPath;

/// A value and its place.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) content: Content,
}

#[derive(Clone)]
pub(crate) enum Content {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a map with its value.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Node,
}

/// A text that stands for a value.
#[derive(Clone, Default)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Written as a text: in quotes, or as a block.
    pub(crate) quoted: bool,
    /// From outside of the file, where no quotes say what it is: whatever type is wanted may be read from it.
    pub(crate) untyped: bool,
    /// What stood in the file, where something was put in for it.
    pub(crate) written: Option<String>,
    /// From a place for secrets: never shown.
    pub(crate) secret: bool,
}

/// What a scalar is without being asked for a type: YAML's core schema, decimal numbers only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Plain {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text,
}

impl Scalar {
    /// A value that was given for a key from outside of the file.
    pub(crate) fn given(text: impl Into<String>) -> Self {
        Self { text: text.into(), untyped: true, ..Self::default() }
    }

    pub(crate) fn plain(&self) -> Plain {
        if self.quoted {
            return Plain::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Plain::Null,
            "true" | "True" | "TRUE" => Plain::Bool(true),
            "false" | "False" | "FALSE" => Plain::Bool(false),
            text if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) => Plain::Text,
            text => match (text.parse(), text.parse()) {
                (Ok(integer), _) => Plain::Integer(integer),
                // Not `inf` and `NaN`, which Rust would read too.
                (_, Ok(float)) if f64::is_finite(float) => Plain::Float(float),
                _ => Plain::Text,
            },
        }
    }

    /// Whether nothing was said: an empty text from outside counts as nothing, whatever type is wanted.
    pub(crate) fn is_null(&self) -> bool {
        match self.untyped {
            true => self.text.is_empty() && !self.quoted,
            false => self.plain() == Plain::Null,
        }
    }
}

impl Node {
    /// An empty map.
    pub(crate) fn empty(place: Place) -> Self {
        Self { place, content: Content::Map(Vec::new()) }
    }

    pub(crate) fn scalar(place: Place, scalar: Scalar) -> Self {
        Self { place, content: Content::Scalar(scalar) }
    }

    /// The entries of a map; none where it is none.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            Content::Scalar(_) | Content::List(_) => &[],
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value below `key`: an entry's, or the item of a list by its number from 0.
    fn below(&self, key: &str) -> Option<&Self> {
        match &self.content {
            Content::List(items) => items.get(key.parse::<usize>().ok()?),
            _ => self.entry(key).map(|entry| &entry.value),
        }
    }

    /// The value at `path`.
    pub(crate) fn at(&self, path: &KeyPath) -> Option<&Self> {
        path.keys().iter().try_fold(self, |node, key| node.below(key))
    }

    /// Where `path` stands, or the nearest key above it: the value itself where it is a scalar, its key else.
    pub(crate) fn place_of(&self, path: &KeyPath) -> Place {
        let (mut node, mut place) = (self, Place::File);
        for key in path.keys() {
            let Some(below) = node.below(key) else { break };
            let of_key = node.entry(key).map(|entry| &entry.place);
            place = match (&below.content, of_key) {
                (Content::Scalar(scalar), Some(key)) if scalar.text.is_empty() && !scalar.quoted => key.clone(),
                (Content::List(_) | Content::Map(_), Some(key)) => key.clone(),
                _ => below.place.clone(),
            };
            node = below;
        }
        place
    }

    /// Where the last key of `path` stands.
    pub(crate) fn place_of_key(&self, path: &KeyPath) -> Place {
        let entry = path.split().and_then(|(above, last)| self.at(&above)?.entry(last));
        entry.map_or_else(|| self.place_of(path), |entry| entry.place.clone())
    }

    /// Puts a scalar at `path`, over what stood there, with the maps above it where they are missing.
    pub(crate) fn set(&mut self, path: &KeyPath, place: &Place, scalar: Scalar) {
        let mut node = self;
        for key in path.keys() {
            if !matches!(node.content, Content::Map(_)) {
                node.content = Content::Map(Vec::new());
            }
            let Content::Map(entries) = &mut node.content else { unreachable!("made a map above") };
            let index = entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
                entries.push(Entry { key: key.clone(), place: place.clone(), value: Self::empty(place.clone()) });
                entries.len() - 1
            });
            node = &mut entries[index].value;
        }
        *node = Self::scalar(place.clone(), scalar);
    }

    /// What has to go where `path` has to: an item's whole list, since the others go by their numbers.
    pub(crate) fn removable(&self, path: &KeyPath) -> KeyPath {
        let (mut node, mut whole) = (Some(self), KeyPath::default());
        for key in path.keys() {
            if node.is_some_and(|node| matches!(node.content, Content::List(_))) {
                break;
            }
            whole = whole.child(&**key);
            node = node.and_then(|node| node.below(key));
        }
        whole
    }

    /// Takes out the entry at `path`; `None` where there is none.
    pub(crate) fn take(&mut self, path: &KeyPath) -> Option<Entry> {
        let (above, last) = path.split()?;
        let mut node = self;
        for key in above.keys() {
            let Content::Map(entries) = &mut node.content else { return None };
            node = &mut entries.iter_mut().find(|entry| entry.key == *key)?.value;
        }
        let Content::Map(entries) = &mut node.content else { return None };
        let index = entries.iter().position(|entry| entry.key == last)?;
        Some(entries.remove(index))
    }

    /// Calls `visit` with every scalar.
    pub(crate) fn scalars(&mut self, path: &KeyPath, visit: &mut impl FnMut(&KeyPath, &Place, &mut Scalar)) {
        match &mut self.content {
            Content::Scalar(scalar) => visit(path, &self.place, scalar),
            Content::List(items) => {
                items
                    .iter_mut()
                    .enumerate()
                    .for_each(|(index, item)| item.scalars(&path.child(index.to_string()), visit));
            }
            Content::Map(entries) => {
                entries.iter_mut().for_each(|entry| entry.value.scalars(&path.child(&*entry.key), visit));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_what_yaml_says() {
        let plain = |text: &str| Scalar { text: text.to_owned(), ..Scalar::default() }.plain();
        for text in ["", "~", "null"] {
            assert_eq!(plain(text), Plain::Null, "{text}");
        }
        assert_eq!((plain("true"), plain("FALSE")), (Plain::Bool(true), Plain::Bool(false)));
        assert_eq!(
            (plain("-7"), plain("0.10"), plain("1e3")),
            (Plain::Integer(-7), Plain::Float(0.1), Plain::Float(1e3))
        );
        for text in ["yes", "30s", "inf", "nan", "-", "1_000", ".inf", "127.0.0.1", "1e999"] {
            assert_eq!(plain(text), Plain::Text, "{text}");
        }
        assert_eq!(Scalar { text: "7".to_owned(), quoted: true, ..Scalar::default() }.plain(), Plain::Text);
    }
}
