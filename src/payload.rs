//! Bytes of records: for programs without loss, for people as what they seem to be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// Bytes in JSON: as `text` where they are UTF-8, as `base64` where they aren't.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Bytes {
    Text(String),
    Base64(String),
}

impl Bytes {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        std::str::from_utf8(bytes)
            .map_or_else(|_| Self::Base64(STANDARD.encode(bytes)), |text| Self::Text(text.to_owned()))
    }

    /// The bytes; `None` where what is said to be base64 isn't.
    pub(crate) fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.into_bytes()),
            Self::Base64(text) => STANDARD.decode(text).ok(),
        }
    }
}

/// The text with its control characters as escapes.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() || is_invisible(char) {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// Whether a character changes how others are shown.
fn is_invisible(char: char) -> bool {
    matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Bytes within a line: as text where they are some, otherwise in hexadecimal digits.
pub(crate) fn inline(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => harmless(text),
        Err(_) => bytes.iter().fold("0x".to_owned(), |shown, byte| shown + &format!("{byte:02x}")),
    }
}

/// Bytes of a value, laid out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    /// What they seem to be.
    pub(crate) kind: &'static str,
    /// Harmless ones.
    pub(crate) lines: Vec<String>,
}

impl Payload {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let lines = |text: &str| text.lines().map(harmless).collect();
        match std::str::from_utf8(bytes) {
            // Not read into a value and written again: numbers, and the order and the doubles of keys, stay as they are.
            Ok(text) if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
                Self { kind: "JSON", lines: lines(&indented(text)) }
            }
            Ok(text) if !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) => {
                Self { kind: "text", lines: lines(text) }
            }
            _ => Self { kind: "binary", lines: bytes.chunks(16).enumerate().map(dumped).collect() },
        }
    }
}

/// Beyond this depth nothing is indented further: what is nested a million times would take more memory than there is.
const DEEPEST: usize = 32;

/// JSON with a line for each member.
fn indented(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    let begin = |text: &mut String, depth: usize| {
        text.push('\n');
        text.push_str(&"  ".repeat(depth.min(DEEPEST)));
    };
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        if is_string {
            text.push(c);
            (is_string, is_escaped) = (is_escaped || c != '"', !is_escaped && c == '\\');
            continue;
        }
        match c {
            c if c.is_ascii_whitespace() => {}
            '{' | '[' => {
                text.push(c);
                while chars.next_if(char::is_ascii_whitespace).is_some() {}
                match chars.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => text.push(end),
                    None => {
                        depth += 1;
                        begin(&mut text, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                begin(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                begin(&mut text, depth);
            }
            ':' => text.push_str(": "),
            c => {
                is_string = c == '"';
                text.push(c);
            }
        }
    }
    text
}

/// A line of a dump: offset, hexadecimal digits, ASCII.
fn dumped((line, bytes): (usize, &[u8])) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let ascii: String = bytes
        .iter()
        .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' })
        .collect();
    format!("{:08x}  {:<47}  |{ascii}|", line * 16, digits.join(" "))
}

/// The first so many characters of a text, and that there were more.
#[cfg(feature = "api")]
pub(crate) fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: impl AsRef<[u8]>) -> (&'static str, String) {
        let Payload { kind, lines } = Payload::of(bytes.as_ref());
        (kind, lines.join("\n"))
    }

    #[test]
    fn json_is_laid_out_and_otherwise_as_it_was() {
        let json = r#" {"b":[1.0,12345678901234567890123,{}, [ ] ],"a" : "x, \"y\": {z}\\","a":null}"#;
        let expected = r#"{
  "b": [
    1.0,
    12345678901234567890123,
    {},
    []
  ],
  "a": "x, \"y\": {z}\\",
  "a": null
}"#;
        assert_eq!(lines(json), ("JSON", expected.to_owned()));
        assert_eq!(lines("7"), ("JSON", "7".to_owned()));
    }

    #[test]
    fn json_that_is_nested_deeply_takes_no_more_than_a_multiple_of_its_size() {
        let depth = 100_000;
        let (kind, text) = lines("[".repeat(depth) + &"]".repeat(depth));
        assert_eq!(kind, "JSON");
        assert!(text.len() < depth * 2 * (2 * DEEPEST + 2), "{}", text.len());
    }

    #[test]
    fn text_is_shown_by_its_lines_and_steers_no_terminal() {
        assert_eq!(lines("{\"id\":"), ("text", "{\"id\":".to_owned()));
        assert_eq!(lines("a\tb\n\u{202e}c"), ("text", "a\\tb\n\\u{202e}c".to_owned()));
        assert_eq!(lines(""), ("text", String::new()));
        assert_eq!(lines("\"\u{202e}\""), ("JSON", "\"\\u{202e}\"".to_owned()));
    }

    #[test]
    fn all_else_is_dumped() {
        let (kind, dump) = lines([&b"\x1b[2J {\x00\xff"[..], &[b'a'; 10]].concat());
        let expected = "00000000  1b 5b 32 4a 20 7b 00 ff 61 61 61 61 61 61 61 61  |.[2J {..aaaaaaaa|\n\
                        00000010  61 61                                            |aa|";
        assert_eq!((kind, dump.as_str()), ("binary", expected));
    }

    #[test]
    fn bytes_reach_programs_without_loss_and_lines_without_harm() {
        let json = |bytes: &[u8]| serde_json::to_string(&Bytes::of(bytes)).expect("it can be written");
        assert_eq!(json(b"ada\x1b"), r#"{"text":"ada\u001b"}"#);
        assert_eq!(json(&[0xff, 0x00]), r#"{"base64":"/wA="}"#);
        assert_eq!((inline(b"a\x1b[2J").as_str(), inline(&[0xff, 0x00]).as_str()), ("a\\u{1b}[2J", "0xff00"));
    }
}
