//! Keys set from outside of the file: by environment variables and by `--set`.
//!
//! `DAEMONRY__DAEMONS__ORDERS__WORKERS=32` sets `daemons.orders.workers`: two underscores stand between the keys, case doesn't count,
//! and in names of daemons, clusters and topics one underscore stands for `_`, `-` and `.`; in properties of librdkafka it stands for
//! a dot. On the command line the keys stand as they are, `--set daemons.orders.workers=32`. Neither can add a cluster: its name would be a guess.
//!
//! A value is taken as it is, `${…}` too. An empty one sets the key to nothing, so that its default counts.

use super::document::Document;
use super::fault::{Place, instead};
use super::key::KeyPath;
use super::program::Program;
use super::schema::{Guide, Shape};
use super::substitute::Variables;
use super::tree::Scalar;
use super::{APP, PROPERTIES};
use crate::telemetry::FILTER_VARIABLE;

/// How variables begin that set a key.
const PREFIX: &str = "DAEMONRY__";

/// Sets what the environment and the command line say, in this order. Returns the names of the variables, and the keys set by flags.
pub(super) fn apply(
    document: &mut Document,
    guide: Guide<'_>,
    program: &Program<'_>,
    variables: &Variables,
    flags: &[String],
) -> Vec<String> {
    let mut applied = Vec::new();
    if let Some(filter) = variables.get(FILTER_VARIABLE).filter(|filter| !filter.is_empty()) {
        let place = Place::Variable(FILTER_VARIABLE.to_owned());
        document.root_mut().set(&KeyPath::of(["log", "filter"]), &place, Scalar::given(filter));
        applied.push(FILTER_VARIABLE.to_owned());
    }
    for (name, value) in variables.beginning(PREFIX) {
        let place = Place::Variable(name.to_owned());
        let keys = Keys::Variable(name[PREFIX.len()..].split("__").map(str::to_lowercase).collect());
        match value {
            Some(value) => set(document, guide, program, keys, place, value),
            None => document.fault_at(place, "is no text, allowed: UTF-8".to_owned()),
        }
        applied.push(name.to_owned());
    }
    for flag in flags {
        let Some((key, value)) = flag.split_once('=') else {
            document
                .fault_at(Place::Flag, "has no `=`, allowed: KEY=VALUE, as in `daemons.orders.workers=32`".to_owned());
            continue;
        };
        set(document, guide, program, Keys::Flag(key.to_owned()), Place::Flag, value);
        applied.push(key.to_owned());
    }
    applied
}

fn set(document: &mut Document, guide: Guide<'_>, program: &Program<'_>, keys: Keys, place: Place, value: &str) {
    match (Walk { document, program }).resolve(guide, keys) {
        Ok(path) => document.root_mut().set(&path, &place, Scalar::given(value)),
        Err(problem) => document.fault_at(place, problem),
    }
}

/// Keys as they were written, those that are left.
enum Keys {
    /// In lower case.
    Variable(Vec<String>),
    /// With dots between them.
    Flag(String),
}

impl Keys {
    fn is_empty(&self) -> bool {
        match self {
            Self::Variable(parts) => parts.is_empty(),
            Self::Flag(text) => text.is_empty(),
        }
    }

    /// The next key, for a message.
    fn first(&self) -> String {
        match self {
            Self::Variable(parts) => parts.first().cloned().unwrap_or_default(),
            Self::Flag(text) => text.split('.').next().unwrap_or_default().to_owned(),
        }
    }

    /// Takes the next key, which must be one of `names`: the longest that fits. None where there is none, or more than one.
    fn take(&mut self, names: &[&str]) -> Option<String> {
        match self {
            Self::Variable(parts) => (1..=parts.len()).rev().find_map(|length| {
                let written = parts[..length].join("__");
                let mut fitting = names.iter().filter(|name| folded(name) == written);
                let name = fitting.next().filter(|_| fitting.next().is_none())?;
                parts.drain(..length);
                Some((*name).to_owned())
            }),
            Self::Flag(text) => {
                let mut fitting: Vec<(&str, usize)> = Vec::new();
                for name in names {
                    let quoted = format!("\"{name}\"");
                    for written in [*name, quoted.as_str()] {
                        let rest = text.strip_prefix(written);
                        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) {
                            fitting.push((name, written.len()));
                        }
                    }
                }
                let (name, length) = fitting.into_iter().max_by_key(|(_, length)| *length)?;
                *text = text[length..].trim_start_matches('.').to_owned();
                Some(name.to_owned())
            }
        }
    }

    /// Takes all that is left as the name of a property, or as one key of the program's own section.
    fn take_free(&mut self, whole: bool) -> String {
        match self {
            Self::Variable(parts) if whole => std::mem::take(parts).join("__").replace('_', "."),
            Self::Variable(parts) => parts.remove(0),
            Self::Flag(text) => {
                let end = if whole { text.len() } else { text.find('.').unwrap_or(text.len()) };
                let key = text[..end].trim_matches('"').to_owned();
                *text = text[end..].trim_start_matches('.').to_owned();
                key
            }
        }
    }
}

/// A name as it stands in a variable.
fn folded(name: &str) -> String {
    name.to_lowercase().replace(['-', '.'], "_")
}

struct Walk<'w, 'p> {
    document: &'w Document,
    program: &'w Program<'p>,
}

impl Walk<'_, '_> {
    /// Where the keys lead.
    fn resolve(&self, mut guide: Guide<'_>, mut keys: Keys) -> Result<KeyPath, String> {
        let mut path = KeyPath::default();
        loop {
            match guide.shape() {
                Shape::Section(mut names) => {
                    if path.keys().is_empty() && self.program.app.is_some() {
                        names.push(APP);
                    }
                    if keys.is_empty() {
                        return Err(format!(
                            "names the section `{path}`, allowed: one of its keys {}",
                            names.join(", ")
                        ));
                    }
                    let first = keys.first();
                    let Some(key) = keys.take(&names) else {
                        return Err(unknown(&path, "key", &first, &names));
                    };
                    if key == APP && path.keys().is_empty() {
                        return self.own_section(keys);
                    }
                    guide = guide.below(&key);
                    path = path.child(key);
                }
                Shape::Names(below) => {
                    let names = self.names(&path);
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    if keys.is_empty() {
                        return Err(format!("names the section `{path}`, allowed: a name below it, and then a key"));
                    }
                    let first = keys.first();
                    let key = match keys.take(&names) {
                        Some(key) => key,
                        None if path.last() == PROPERTIES => keys.take_free(true),
                        None => return Err(unknown(&path, "name", &first, &names)),
                    };
                    guide = below;
                    path = path.child(key);
                }
                Shape::Single if keys.is_empty() => return Ok(path),
                Shape::Single => return Err(format!("goes on after `{path}`, which is a single value: end it there")),
            }
        }
    }

    /// In the program's own section, whose keys nobody knows here: those of the file, or as they are written.
    fn own_section(&self, mut keys: Keys) -> Result<KeyPath, String> {
        let mut path = KeyPath::of([APP]);
        if keys.is_empty() {
            return Err(format!("names the section `{APP}`, allowed: one of its keys"));
        }
        while !keys.is_empty() {
            let known: Vec<&str> = self
                .document
                .root()
                .at(&path)
                .map_or_else(Vec::new, |node| node.entries().iter().map(|entry| entry.key.as_str()).collect());
            let key = keys.take(&known).unwrap_or_else(|| keys.take_free(false));
            path = path.child(key);
        }
        Ok(path)
    }

    /// The names that are known below `path`: the file's, and the program's.
    fn names(&self, path: &KeyPath) -> Vec<String> {
        let entries = self.document.root().at(path).map_or(&[][..], |node| node.entries());
        let mut names: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        let keys: Vec<&str> = path.keys().iter().map(String::as_str).collect();
        match keys[..] {
            ["daemons"] => names.extend(self.program.names().into_iter().map(str::to_owned)),
            ["daemons", daemon, "topics"] => {
                names.extend(self.program.topics(daemon));
            }
            _ => {}
        }
        names.sort();
        names.dedup();
        names
    }
}

fn unknown(path: &KeyPath, what: &str, first: &str, names: &[&str]) -> String {
    let below = if path.keys().is_empty() { String::new() } else { format!(" below `{path}`") };
    format!("names no {what}{below}: `{first}` is unknown{}", instead(first, names))
}
