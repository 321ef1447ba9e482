//! Masks: fields of records that admins alone see.
//!
//! A name stands for every member of that name in a JSON value, key or header, at any depth and in any case, also within texts that are JSON themselves,
//! and for headers of that name. The invariant: of what a mask is for nothing is shown, however it is written. So a value that is no JSON is hidden as a
//! whole, since nobody knows what is in it.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::access::{Identity, Role};
use super::letters::which::Which;
use super::problem::Problem;
use super::state::Api;
use crate::record::OwnedRecord;

/// What stands where something is hidden.
const MASK: &str = "***";
/// So many texts within one another are looked into; what is within the last is hidden as a whole.
const DEPTH: usize = 8;

/// The names of fields that are hidden, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Masks(Vec<String>);

/// What somebody sees of records.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sight<'a> {
    Nothing,
    /// What these leave of them.
    Masked(&'a Masks),
    Everything,
}

/// A record as somebody sees it.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) record: Cow<'a, OwnedRecord>,
    /// The value is hidden as a whole: it is not that there is none.
    pub(super) hides_value: bool,
    /// The parts of which something is hidden: `key`, `value`, `header NAME`.
    pub(super) masked: Vec<String>,
}

impl<'a> Sight<'a> {
    /// What this one sees.
    pub(super) fn of(api: &'a Api, identity: &Identity) -> Self {
        Self::of_role(api, identity.role)
    }

    /// What those see who read the audit log: operators do.
    pub(super) fn of_audit(api: &'a Api) -> Self {
        Self::of_role(api, Role::Operator)
    }

    /// What those of a role see.
    pub(super) fn of_role(api: &'a Api, role: Role) -> Self {
        match role {
            Role::Viewer => Self::Nothing,
            Role::Operator if !api.masks.0.is_empty() => Self::Masked(&api.masks),
            Role::Operator | Role::Admin => Self::Everything,
        }
    }

    /// A record, if any of it is to be seen.
    pub(super) fn see(self, record: &OwnedRecord) -> Option<Seen<'_>> {
        match self {
            Self::Nothing => None,
            Self::Masked(masks) => Some(masks.see(record)),
            Self::Everything => Some(Seen { record: Cow::Borrowed(record), hides_value: false, masked: Vec::new() }),
        }
    }

    /// The conditions, without what they ask of records where that is hidden: that there is one is told.
    pub(super) fn conditions(self, which: &Which) -> Which {
        if self.allows(which).is_ok() {
            return which.clone();
        }
        let header = |header: &String| match (self, parted(header)) {
            (Self::Nothing, _) => MASK.to_owned(),
            (_, (name, Some(_))) => format!("{name}={MASK}"),
            (_, (name, None)) => name.to_owned(),
        };
        let (key, header) = (which.key.as_ref().map(|_| MASK.to_owned()), which.header.as_ref().map(header));
        Which { key, header, ..which.clone() }
    }

    /// Whether these conditions may be asked for: which letters meet them tells what stands in their records.
    ///
    /// # Errors
    /// What must not be told.
    pub(super) fn allows(self, which: &Which) -> Result<(), Problem> {
        let refused = |detail: String| Err(Problem::new(axum::http::StatusCode::FORBIDDEN, detail));
        let masks = match self {
            Self::Everything => return Ok(()),
            Self::Nothing if which.asks_of_records() => {
                let detail = "what stands in records is hidden from viewers, and no condition tells it: leave out `key` and `header`";
                return refused(detail.to_owned());
            }
            Self::Nothing => return Ok(()),
            Self::Masked(masks) => masks,
        };
        if let Some((name, value)) = which.header.as_deref().map(parted) {
            if masks.hides(name) {
                return refused(format!(
                    "the header `{name}` is masked, and no condition tells it: leave out `header`"
                ));
            }
            if value.and_then(|value| masks.json(value)).is_some_and(|json| json.is_masked) {
                return refused(
                    "a field of this header is masked, and no condition tells it: leave out `header`".to_owned(),
                );
            }
        }
        if which.key.as_deref().and_then(|key| masks.json(key)).is_some_and(|json| json.is_masked) {
            return refused("a field of this key is masked, and no condition tells it: leave out `key`".to_owned());
        }
        Ok(())
    }
}

/// A condition on a header: its name, and what it is to be.
fn parted(header: &str) -> (&str, Option<&str>) {
    header.split_once('=').map_or((header, None), |(name, value)| (name, Some(value)))
}

/// JSON of which some may be hidden.
struct Json {
    text: String,
    is_masked: bool,
}

impl Masks {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self(names.into_iter().map(|name| name.to_lowercase()).collect())
    }

    fn hides(&self, name: &str) -> bool {
        self.0.contains(&name.to_lowercase())
    }

    fn see<'a>(&self, record: &'a OwnedRecord) -> Seen<'a> {
        let mut seen = Seen { record: Cow::Borrowed(record), hides_value: false, masked: Vec::new() };
        if let Some(json) = record.key.as_deref().and_then(|key| self.json_of(key)).filter(|json| json.is_masked) {
            seen.record.to_mut().key = Some(json.text.into_bytes());
            seen.masked.push("key".to_owned());
        }
        match record.value.as_deref().map(|value| self.json_of(value)) {
            None => {}
            Some(Some(json)) if !json.is_masked => {}
            Some(Some(json)) => {
                seen.record.to_mut().value = Some(json.text.into_bytes());
                seen.masked.push("value".to_owned());
            }
            Some(None) => {
                seen.record.to_mut().value = None;
                seen.hides_value = true;
                seen.masked.push("value".to_owned());
            }
        }
        for (index, (name, value)) in record.headers.iter().enumerate() {
            let (name, Some(value)) = (String::from_utf8_lossy(name), value) else { continue };
            let shown = if self.hides(&name) {
                Some(MASK.to_owned())
            } else {
                self.json_of(value).filter(|json| json.is_masked).map(|json| json.text)
            };
            if let Some(shown) = shown {
                seen.record.to_mut().headers[index].1 = Some(shown.into_bytes());
                seen.masked.push(format!("header {name}"));
            }
        }
        seen
    }

    fn json_of(&self, bytes: &[u8]) -> Option<Json> {
        self.json(std::str::from_utf8(bytes).ok()?)
    }

    /// The text with masks; `None` where it is no JSON. What is not masked stays as it was written.
    fn json(&self, text: &str) -> Option<Json> {
        self.json_within(text, DEPTH)
    }

    /// The same, where so many texts within one another are looked into.
    fn json_within(&self, text: &str, depth: usize) -> Option<Json> {
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        let (mut shown, mut copied, mut at) = (String::with_capacity(text.len()), 0, 0);
        while let Some(begin) = text[at..].find('"').map(|found| at + found) {
            at = behind_string(text, begin);
            // What is no text, as half of a surrogate's pair, may be any name, and any JSON.
            let read = serde_json::from_str::<String>(&text[begin..at]).ok();
            if let Some(masked) = self.text(&text[begin..at], read.as_deref(), depth) {
                shown.extend([&text[copied..begin], &masked]);
                copied = at;
            }
            let colon = behind_blanks(text, at);
            // In JSON only a member's name stands before a colon.
            let is_name = text[colon..].starts_with(':');
            if !is_name || read.is_some_and(|name| !self.hides(&name)) {
                continue;
            }
            let value = behind_blanks(text, colon + 1);
            at = behind_value(text, value);
            shown.extend([&text[copied..value], "\"", MASK, "\""]);
            copied = at;
        }
        shown.push_str(&text[copied..]);
        Some(Json { text: shown, is_masked: copied > 0 })
    }

    /// What is to stand in place of a text in JSON, as it is written there; `None` where nothing of it is hidden. `read`: what it says, if that is text.
    fn text(&self, written: &str, read: Option<&str>, depth: usize) -> Option<String> {
        let hidden = || format!("\"{MASK}\"");
        let Some(text) = read else {
            // Without a quotation mark it has no members.
            let quotes = ["\\\"", "\\u0022"];
            return quotes.iter().any(|quote| written.contains(quote)).then(hidden);
        };
        if !text.trim_start().starts_with(['{', '[', '"']) {
            return None;
        }
        if depth == 0 {
            return serde_json::from_str::<IgnoredAny>(text).is_ok().then(hidden);
        }
        let json = self.json_within(text, depth - 1).filter(|json| json.is_masked)?;
        Some(serde_json::to_string(&json.text).unwrap_or_else(|_| hidden()))
    }
}

/// Where the blanks end that begin here.
fn behind_blanks(json: &str, at: usize) -> usize {
    json.len() - json[at..].trim_start_matches([' ', '\t', '\n', '\r']).len()
}

/// Where the string ends that begins here.
fn behind_string(json: &str, begin: usize) -> usize {
    let mut is_escaped = false;
    let end = json.bytes().enumerate().skip(begin + 1).find(|(_, byte)| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(json.len(), |(end, _)| end + 1)
}

/// Where the value ends that begins here.
fn behind_value(json: &str, begin: usize) -> usize {
    let (mut at, mut depth) = (begin, 0_usize);
    while let Some(byte) = json.as_bytes().get(at) {
        match byte {
            b'"' => at = behind_string(json, at),
            b'{' | b'[' => (at, depth) = (at + 1, depth + 1),
            // The end of what it stands in, where it is a number or a word.
            b'}' | b']' | b',' if depth == 0 => return at,
            b'}' | b']' => (at, depth) = (at + 1, depth - 1),
            b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            _ => {
                at += 1;
                continue;
            }
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn masks() -> Masks {
        Masks::new(vec!["Card".to_owned(), "pin".to_owned()])
    }

    fn masked(json: &str) -> String {
        masks().json(json).expect("it is JSON").text
    }

    #[test]
    fn members_are_hidden_wherever_they_stand_and_all_else_stays_as_it_was_written() {
        for (json, shown) in [
            (r#"{"id": 1.0, "card" : "4111", "by":"ada"}"#, r#"{"id": 1.0, "card" : "***", "by":"ada"}"#),
            (
                r#"{"CARD":{"pin":[1,{"x":"}"}]},"a":[{"pin":null},{"pin":-1e3}]}"#,
                r#"{"CARD":"***","a":[{"pin":"***"},{"pin":"***"}]}"#,
            ),
            (
                r#"{"pin":1,"pin":2 ,"c\u0061rd":"\"}","x":"card"}"#,
                r#"{"pin":"***","pin":"***" ,"c\u0061rd":"***","x":"card"}"#,
            ),
            (r#"{"\ud800":7,"pine":8}"#, r#"{"\ud800":"***","pine":8}"#),
            (r#"["card", "pin", {}]"#, r#"["card", "pin", {}]"#),
            ("7", "7"),
        ] {
            assert_eq!(masked(json), shown);
        }
        assert!(masks().json("{\"card\":").is_none());
    }

    #[test]
    fn what_is_nested_deeply_is_hidden_too() {
        let deep = "[".repeat(100_000) + "{\"pin\":7}" + &"]".repeat(100_000);
        assert!(masked(&deep).contains("{\"pin\":\"***\"}"));
        assert_eq!(masked(&format!("{{\"pin\":{deep}}}")), "{\"pin\":\"***\"}");
    }

    #[test]
    fn json_within_texts_is_hidden_too() {
        for (json, shown) in [
            (r#"{"body":"{\"id\": 1,\"card\":\"4111\"}"}"#, r#"{"body":"{\"id\": 1,\"card\":\"***\"}"}"#),
            (r#"["{\"a\":[{\"p\\u0069n\":7}]}", "{}"]"#, r#"["{\"a\":[{\"p\\u0069n\":\"***\"}]}", "{}"]"#),
            (r#""  [{\"card\":1}]""#, r#""  [{\"card\":\"***\"}]""#),
            // Text within a text, and where nobody would look for it.
            (r#"["\"{\\\"card\\\":1}\""]"#, r#"["\"{\\\"card\\\":\\\"***\\\"}\""]"#),
            (r#"{"{\"pin\":1}":2}"#, r#"{"{\"pin\":\"***\"}":2}"#),
            // What is no text may be any JSON.
            (r#"["{\"x\":\"\ud800\",\"card\":1}", "\ud800"]"#, r#"["***", "\ud800"]"#),
            // No JSON, and so none of its members.
            (r#"["card", "{card:1}", "[pin", "{\"card\":"]"#, r#"["card", "{card:1}", "[pin", "{\"card\":"]"#),
        ] {
            assert_eq!(masked(json), shown);
        }
        // As deep as somebody may write it: what nobody looks into any more is hidden as a whole.
        let mut deep = "{\"card\":4111}".to_owned();
        for _ in 0..12 {
            deep = serde_json::to_string(&[&deep]).expect("JSON");
            assert!(!masked(&deep).contains("4111"), "{deep}");
        }
    }

    #[test]
    fn json_of_headers_is_hidden_as_that_of_values_and_what_is_none_is_shown() {
        let record = OwnedRecord::new("{}")
            .with_header("event", "{\"card\":4111,\"id\":7}")
            .with_header("trace", "card=4111")
            .with_header("pin", "{}");
        let masks = masks();
        let seen = masks.see(&record);
        let headers: Vec<_> = seen.record.headers.iter().map(|(_, value)| value.as_deref().expect("a value")).collect();
        assert_eq!(headers, [&b"{\"card\":\"***\",\"id\":7}"[..], b"card=4111", b"***"]);
        assert_eq!(seen.masked, ["header event", "header pin"]);
        let asked = |header: &str| {
            let which = Which { header: Some(header.to_owned()), ..Which::default() };
            Sight::Masked(&masks).allows(&which).is_ok()
        };
        assert!(!asked("event={\"card\":4111}") && asked("event={\"id\":7}") && asked("event"));
    }

    #[test]
    fn value_that_is_no_json_is_hidden_and_keys_and_headers_only_where_they_are_named() {
        let record = OwnedRecord::new("card=4111").with_key("ada").with_header("Pin", "1234").with_header("trace", "x");
        let masks = masks();
        let seen = masks.see(&record);
        assert!(seen.hides_value && seen.record.value.is_none());
        assert_eq!(seen.record.key.as_deref(), Some(&b"ada"[..]));
        let headers: Vec<_> = seen.record.headers.iter().map(|(_, value)| value.as_deref().expect("a value")).collect();
        assert_eq!(headers, [&b"***"[..], b"x"]);
        assert_eq!(seen.masked, ["value", "header Pin"]);
        let of_json = OwnedRecord::new("{\"id\":7}").with_key("{\"card\":1}");
        let seen = masks.see(&of_json);
        assert_eq!((seen.record.value.as_deref(), seen.hides_value), (Some(&b"{\"id\":7}"[..]), false));
        assert_eq!(
            (seen.record.key.as_deref(), seen.masked),
            (Some(&b"{\"card\":\"***\"}"[..]), vec!["key".to_owned()])
        );
        let tombstone = OwnedRecord { value: None, ..OwnedRecord::new("") };
        assert!(masks.see(&tombstone).masked.is_empty());
    }

    /// The same as values, where doubles have gone.
    fn without(value: Value) -> Value {
        match value {
            Value::Array(all) => all.into_iter().map(without).collect(),
            Value::Object(all) => {
                let member = |(name, value): (String, Value)| {
                    let value = if masks().hides(&name) { json!("***") } else { without(value) };
                    (name, value)
                };
                Value::Object(all.into_iter().map(member).collect::<Map<_, _>>())
            }
            Value::String(text) => match serde_json::from_str::<Value>(&text) {
                Ok(within) if !within.is_number() => {
                    let shown = without(within.clone());
                    Value::String(if shown == within { text } else { shown.to_string() })
                }
                _ => Value::String(text),
            },
            other => other,
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let name = || prop_oneof!["card", "PIN", "c", "[a-z\"\\\\:,{}\\[\\] ]{0,4}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i32>().prop_map(Value::from),
            "[a-z\"\\\\:,{}\\[\\]\n ]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                inner.clone().prop_map(|value| Value::String(value.to_string())),
                prop::collection::hash_map(name(), inner, 0..5)
                    .prop_map(|all| Value::Object(all.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(crate::pipeline::properties())]

        #[test]
        fn any_json_is_masked_as_its_value_is(value in values(), is_laid_out: bool) {
            let text = if is_laid_out { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let shown = masked(&text.expect("it can be written"));
            prop_assert_eq!(serde_json::from_str::<Value>(&shown).expect("it is JSON still"), without(value));
        }
    }
}
