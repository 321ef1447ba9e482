//! A record, as pages show it: decoded where it can be, and no larger than there is room for.

use maud::{Markup, html};

use super::page::encoded;
use super::room::Room;
use crate::api::masks::Seen;
use crate::payload::{Payload, inline};
use crate::record::OwnedRecord;

/// So much of a value is shown, as it is sent …
pub(super) const VALUE: usize = 64 * 1024;
/// … and so much of its key and of each header, and of all headers.
const KEY: usize = 4 * 1024;
const HEADERS: usize = 24 * 1024;

/// Where a record is shown.
pub(super) fn address(topic: &str, partition: i32, offset: i64) -> String {
    format!("/topics/{}/{partition}/{offset}", encoded(topic))
}

/// A text, cut to what there is room for.
pub(super) fn cut(text: &str, bytes: usize, whole: &Markup) -> Markup {
    let shown = Room::of(bytes).take(text);
    html! { (shown) @if shown.len() < text.len() { "… (" (whole) ")" } }
}

/// The record: decoded where it can be, hexadecimal where it can't. Of its value so many bytes, as they are sent.
pub(super) fn content(seen: &Seen<'_>, whole: &Markup, room: usize) -> Markup {
    let record = &seen.record;
    let payload = record.value.as_deref().map(|value| (value.len(), Payload::of(value)));
    let headers = headers(record);
    html! {
        h2 { "The record" }
        @if !seen.masked.is_empty() { p.notice { "Masked, but for admins: " (seen.masked.join(", ")) "." } }
        dl {
            dt { "Key" } dd { @match record.key.as_deref() { Some(key) => code { (cut(&inline(key), KEY, whole)) }, None => "none" } }
            @for (name, value) in &headers {
                dt { (cut(name, KEY, whole)) } dd { @match value { Some(value) => code { (cut(value, KEY, whole)) }, None => "null" } }
            }
        }
        @let left = record.headers.len() - headers.len();
        @if left > 0 { p.notice { (left) " more headers: " (whole) "." } }
        @match &payload {
            Some((bytes, payload)) => {
                p.faint { (payload.kind) ", " (bytes) " bytes" }
                @let mut left = Room::of(room);
                @let lines: Vec<&str> = payload.lines.iter().map_while(|line| left.line(line)).collect();
                pre.value tabindex="0" { @for line in &lines { (line) "\n" } }
                @let is_whole = lines.len() == payload.lines.len() && lines.last().map(|line| line.len()) == payload.lines.last().map(String::len);
                @if !is_whole { p.notice { "Its first " (room / 1024) " KiB: " (whole) "." } }
            },
            None if seen.hides_value => { p.empty { "Its value is not JSON, so nobody knows whether a masked field is in it: it is hidden as a whole." } },
            None => { p.empty { "No value: it is a tombstone." } },
        }
    }
}

/// The headers that there is room for, as text.
fn headers(record: &OwnedRecord) -> Vec<(String, Option<String>)> {
    let mut room = HEADERS;
    let text = |(name, value): &(Vec<u8>, Option<Vec<u8>>)| {
        let (name, value) = (inline(name), value.as_deref().map(inline));
        // Each takes what stands around it as well.
        let size = Room::size(&name).min(KEY) + value.as_deref().map_or(0, |value| Room::size(value).min(KEY)) + 64;
        room = room.checked_sub(size)?;
        Some((name, value))
    };
    record.headers.iter().map_while(text).collect()
}
