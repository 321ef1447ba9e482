//! From a YAML text to a tree.
//!
//! What goes wrong here is told by its place and by the parser's fixed phrases, never with a piece of the text.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::fault::{Fault, Place};
use super::key::KeyPath;
use super::tree::{Content, Entry, Node, Plain, Scalar};

/// Levels of maps and lists within one another.
const DEPTH: usize = 64;
/// Values in all, counted with what aliases repeat.
const VALUES: usize = 100_000;

/// Reads `text`; `file` is the name in faults. Keys that stand twice are told, and the first one counts.
///
/// # Errors
/// Where it can't be read any further.
pub(super) fn parse(file: &str, text: &str, faults: &mut Vec<Fault>) -> Result<Node, Fault> {
    let mut builder =
        Builder { events: Parser::new_from_str(text), anchors: BTreeMap::new(), values: 0, twice: Vec::new() };
    let parsed = builder.document();
    faults.extend(
        builder
            .twice
            .into_iter()
            .map(|(place, key)| Fault::new(file, place, key, "stands here a second time, allowed: once".to_owned())),
    );
    parsed.map_err(|Broken { place, problem }| Fault::new(file, place, KeyPath::default(), problem))
}

struct Builder<'t> {
    events: Parser<'t, StrInput<'t>>,
    anchors: BTreeMap<usize, Node>,
    values: usize,
    twice: Vec<(Place, KeyPath)>,
}

struct Broken {
    place: Place,
    problem: String,
}

impl Broken {
    fn at(place: Place, problem: &str) -> Self {
        Self { place, problem: problem.to_owned() }
    }
}

impl From<ScanError> for Broken {
    fn from(error: ScanError) -> Self {
        // Of the parser's phrases only this one has a piece of the text in it.
        let info = match error.info() {
            info if info.starts_with("unexpected character") => "unexpected character",
            info => info,
        };
        let place = Place::At(error.marker().line(), error.marker().col() + 1);
        Self::at(place, &format!("can't be read as YAML from here on: {info}"))
    }
}

fn place(span: Span) -> Place {
    Place::At(span.start.line(), span.start.col() + 1)
}

impl<'t> Builder<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Broken> {
        match self.events.next_event() {
            Some(event) => Ok(event?),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn document(&mut self) -> Result<Node, Broken> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                _ if root.is_some() => {
                    return Err(Broken::at(place(span), "is a second document, allowed: one"));
                }
                event => root = Some(self.node(event, span, &KeyPath::default(), 0)?),
            }
        }
        let root = root.unwrap_or_else(|| Node::empty(Place::File));
        match &root.content {
            Content::Map(_) => Ok(root),
            Content::Scalar(scalar) if scalar.plain() == Plain::Null => Ok(Node::empty(Place::File)),
            _ => Err(Broken::at(root.place, "is no section, allowed: keys with values, as in `log: {format: json}`")),
        }
    }

    /// The value that begins with `event`.
    fn node(&mut self, event: Event<'t>, span: Span, path: &KeyPath, depth: usize) -> Result<Node, Broken> {
        let place = place(span);
        self.values += 1;
        if self.values > VALUES || depth > DEPTH {
            return Err(Broken::at(place, "is too large or too deep for a configuration"));
        }
        let (content, anchor) = match event {
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(Broken::at(place, "is an alias within its own anchor"));
                };
                self.values += count(&node);
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = match tag.as_deref() {
                    None => style != ScalarStyle::Plain,
                    Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => true,
                    Some(_) => return Err(Broken::at(place, "has a tag, allowed: none but `!!str`")),
                };
                (Content::Scalar(Scalar { text: text.into_owned(), quoted, ..Scalar::default() }), anchor)
            }
            Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                return Err(Broken::at(place, "has a tag, allowed: none but `!!str`"));
            }
            Event::SequenceStart(anchor, None) => (Content::List(self.list(path, depth)?), anchor),
            Event::MappingStart(anchor, None) => (Content::Map(self.map(path, depth)?), anchor),
            _ => return Err(Broken::at(place, "is no value")),
        };
        let node = Node { place, content };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, path: &KeyPath, depth: usize) -> Result<Vec<Node>, Broken> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span, path, depth + 1)?),
            }
        }
    }

    fn map(&mut self, path: &KeyPath, depth: usize) -> Result<Vec<Entry>, Broken> {
        let (mut entries, mut merged): (Vec<Entry>, Vec<Entry>) = (Vec::new(), Vec::new());
        loop {
            let (key, key_place) = match self.next()? {
                (Event::MappingEnd, _) => break,
                (Event::Scalar(text, _, 0, None), span) => (text.into_owned(), place(span)),
                (_, span) => return Err(Broken::at(place(span), "is no key, allowed: a name")),
            };
            let path = path.child(&*key);
            let (event, span) = self.next()?;
            let value = self.node(event, span, &path, depth + 1)?;
            match key.as_str() {
                "<<" => match value.content {
                    Content::Map(more) => merged.extend(more),
                    Content::List(maps) => merged.extend(maps.iter().flat_map(|map| map.entries().iter().cloned())),
                    Content::Scalar(_) => {
                        return Err(Broken::at(key_place, "merges no section, allowed: an alias of one"));
                    }
                },
                _ if entries.iter().any(|entry| entry.key == key) => self.twice.push((key_place, path)),
                _ => entries.push(Entry { key, place: key_place, value }),
            }
        }
        // What a section says itself counts more than what is merged into it, and the first more than the second.
        for entry in merged {
            if entries.iter().all(|own| own.key != entry.key) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }
}

/// How many values a node has.
fn count(node: &Node) -> usize {
    1 + match &node.content {
        Content::Scalar(_) => 0,
        Content::List(items) => items.iter().map(count).sum(),
        Content::Map(entries) => entries.iter().map(|entry| count(&entry.value)).sum(),
    }
}
