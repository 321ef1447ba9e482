//! The configuration that is in force, as a YAML text without secrets.

use serde::Serialize;
use serde_json::{Map, Value};

use super::document::is_secret_at;
use super::key::KeyPath;
use super::secret::{MASK, without_credentials};
use super::tree::{Content, Node, Plain, Scalar};

/// As YAML. What is secret in `tree`, which it was read from, is left out.
pub(super) fn print(mut value: Value, tree: &Node) -> String {
    mask(&mut value, Some(tree));
    let mut text = String::new();
    write(&mut text, &value, 0);
    text
}

/// The program's own section, as it was written.
pub(super) fn own(node: &Node, path: &KeyPath) -> Value {
    match &node.content {
        Content::Map(entries) => {
            let entries = entries.iter().map(|entry| (entry.key.clone(), own(&entry.value, &path.child(&*entry.key))));
            Value::Object(entries.collect())
        }
        Content::List(items) => Value::Array(items.iter().map(|item| own(item, path)).collect()),
        Content::Scalar(_) if is_secret_at(path) => Value::from(MASK),
        Content::Scalar(scalar) => match scalar.plain() {
            Plain::Null => Value::Null,
            Plain::Bool(value) => Value::from(value),
            Plain::Integer(value) => Value::from(value),
            Plain::Float(_) | Plain::Text => Value::from(scalar.text.as_str()),
        },
    }
}

/// The same of what has no secrets in it. What is null is left out.
pub(crate) fn as_yaml(value: &impl Serialize) -> String {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(entries) => {
                entries.retain(|_, value| !value.is_null());
                entries.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let (mut text, mut value) = (String::new(), serde_json::to_value(value).unwrap_or_default());
    strip(&mut value);
    write(&mut text, &value, 0);
    text
}

fn mask(value: &mut Value, tree: Option<&Node>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                mask(value, tree.and_then(|tree| tree.entry(key)).map(|entry| &entry.value));
            }
        }
        Value::Array(items) => {
            let nodes = match tree.map(|tree| &tree.content) {
                Some(Content::List(nodes)) => nodes.as_slice(),
                _ => &[],
            };
            items.iter_mut().enumerate().for_each(|(index, item)| mask(item, nodes.get(index)));
        }
        _ if matches!(tree, Some(Node { content: Content::Scalar(Scalar { secret: true, .. }), .. })) => {
            *value = Value::from(MASK);
        }
        Value::String(text) => *text = without_credentials(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn write(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(entries) if depth == 0 && entries.is_empty() => text.push_str("{}\n"),
        Value::Object(entries) => entries.iter().for_each(|(key, value)| entry(text, &scalar(key), value, depth)),
        Value::Array(items) => items.iter().for_each(|item| entry(text, "-", item, depth)),
        single => text.push_str(&format!("{}\n", single_value(single))),
    }
}

/// `key: value`, or an item of a list with `-` for its key.
fn entry(text: &mut String, key: &str, value: &Value, depth: usize) {
    text.push_str(&"  ".repeat(depth));
    text.push_str(key);
    if key != "-" {
        text.push(':');
    }
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            text.push('\n');
            write(text, value, depth + 1);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            write(text, value, depth + 1);
        }
        single => text.push_str(&format!(" {}\n", single_value(single))),
    }
}

fn single_value(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => scalar(&text.replace("$$", "$$$$").replace("${", "$${")),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        other => other.to_string(),
    }
}

/// A text as a YAML scalar: as it is where that can't be taken for anything else, in quotes otherwise.
fn scalar(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | ',' | '=');
    let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && text.chars().all(harmless)
        && !text.ends_with(':')
        && Scalar { text: text.to_owned(), ..Scalar::default() }.plain() == Plain::Text;
    if plain { text.to_owned() } else { Value::from(text).to_string() }
}

/// One value below another, for those that are put together here.
pub(super) fn insert(value: &mut Value, key: &str, below: Value) {
    value.as_object_mut().get_or_insert(&mut Map::new()).insert(key.to_owned(), below);
}
