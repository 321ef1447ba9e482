//! A letter: all that is known of it, its record as it was, and what is done with it alone.

use axum::Extension;
use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::{address, hidden, when};
use crate::api::access::{Identity, Role};
use crate::api::endpoint::Named;
use crate::api::letters::shown::EditRequest;
use crate::api::letters::which::Which;
use crate::api::letters::{LetterPlace, show, write};
use crate::api::masks::{Seen, Sight};
use crate::api::problem::{Problem, asked_for};
use crate::api::state::Api;
use crate::api::ui::page::{Page, not_done, not_shown, shell};
use crate::api::ui::room::Room;
use crate::dead_letters::{Content, Mark, Shown};
use crate::payload::{Bytes, Payload, inline};
use crate::record::{OwnedRecord, Timestamp};

/// So much of a value is shown, and may be edited in a form, as it is sent …
const VALUE: usize = 64 * 1024;
/// … so much of its key and of each header, and of all headers …
const KEY: usize = 4 * 1024;
const HEADERS: usize = 24 * 1024;
/// … and so much of the error that it became a letter with.
const ERROR: usize = 8 * 1024;

pub(in crate::api::ui) async fn one(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(place): Named<LetterPlace>,
) -> Response {
    let address = address(&place.daemon, &place.topic);
    match show(&api, &place).await {
        Ok(shown) => {
            let title = format!("Letter {}:{} of {}", place.partition, place.offset, place.topic);
            let body = html! {
                h1 { "Letter " (place.partition) ":" (place.offset) " of " a href=(address) { (place.topic) } }
                (said(&shown, &place))
                @match Sight::of(&api, &identity).see(shown.entry.record()) {
                    Some(seen) => (content(&seen, &place)),
                    None => p.notice { "What stands in records is hidden from viewers." },
                }
                @if identity.role >= Role::Operator && shown.entry.letter().is_some() { (actions(&address, &place, &shown, &identity)) }
            };
            Page(shell(&api, &identity, &title, "/letters", body)).into_response()
        }
        Err(problem) => not_shown(&api, &identity, &problem, &address, &place.topic),
    }
}

/// Where all of it is, where a page has no room for it.
fn whole(place: &LetterPlace) -> Markup {
    let LetterPlace { partition, offset, .. } = place;
    let address = address(&place.daemon, &place.topic);
    html! { a href={ "/api/v1" (address) "/" (partition) "/" (offset) } { "the API has all of it" } ", and so has " code { "dlq show" } }
}

/// A text, cut to what there is room for.
fn cut(text: &str, bytes: usize, place: &LetterPlace) -> Markup {
    let shown = Room::of(bytes).take(text);
    html! { (shown) @if shown.len() < text.len() { "… (" (whole(place)) ")" } }
}

/// What it says of the failure, and what became of it.
fn said(shown: &Shown, place: &LetterPlace) -> Markup {
    let entry = &shown.entry;
    html! {
        dl {
            dt { "Written" } dd { (when(entry.written_at.map(Timestamp::as_millis))) }
            @match &entry.content {
                Content::Letter(letter) => {
                    dt { "Failed" } dd { (when(letter.failed_at.map(Timestamp::as_millis))) }
                    dt { "Record" } dd { (letter.origin) "@" (letter.offset)
                        @if let Some(time) = letter.timestamp { ", of " (when(Some(time.as_millis()))) } }
                    dt { "Reason" } dd { (letter.reason.name()) }
                    dt { "Error" } dd { pre { (cut(&letter.error, ERROR, place)) } }
                    dt { "Attempts" } dd { (letter.attempts) ", re-driven " (letter.redrives) " times before" }
                    dt { "By" } dd { (letter.daemon) ", handler " (letter.handler) }
                },
                Content::Foreign { why, .. } => { dt { "No letter" } dd { (why) } },
            }
            dt { "Mark" } dd { @match (&shown.mark, entry.mark) {
                (Some(mark), _) => (became(mark)),
                (None, Some(kind)) => (kind.said()),
                (None, None) if shown.marks_left > 0 => { "not known yet: about " (shown.marks_left) " marks are left to read" },
                (None, None) => "none: it waits",
            } }
        }
    }
}

fn became(mark: &Mark) -> Markup {
    html! {
        (mark.kind.said())
        @if let Some(by) = &mark.by { " by " (by) }
        @if let Some(at) = mark.at() { " at " (when(Some(at.as_millis()))) }
        @if let Some(target) = &mark.target { " to " (target) }
        @if let Some(request) = &mark.request { " as request " code { (request) } }
        @if !mark.edited.is_empty() { " with another " (mark.edited.join(", ")) }
        @if let Some(reason) = &mark.reason { " because " (reason) }
    }
}

/// The record: decoded where it can be, hexadecimal where it can't.
fn content(seen: &Seen<'_>, place: &LetterPlace) -> Markup {
    let record = &seen.record;
    let payload = record.value.as_deref().map(|value| (value.len(), Payload::of(value)));
    let headers = headers(record);
    html! {
        h2 { "The record" }
        @if !seen.masked.is_empty() { p.notice { "Masked, but for admins: " (seen.masked.join(", ")) "." } }
        dl {
            dt { "Key" } dd { @match record.key.as_deref() { Some(key) => code { (cut(&inline(key), KEY, place)) }, None => "none" } }
            @for (name, value) in &headers {
                dt { (cut(name, KEY, place)) } dd { @match value { Some(value) => code { (cut(value, KEY, place)) }, None => "null" } }
            }
        }
        @let left = record.headers.len() - headers.len();
        @if left > 0 { p.notice { (left) " more headers: " (whole(place)) "." } }
        @match &payload {
            Some((bytes, payload)) => {
                p.faint { (payload.kind) ", " (bytes) " bytes" }
                @let mut room = Room::of(VALUE);
                @let lines: Vec<&str> = payload.lines.iter().map_while(|line| room.line(line)).collect();
                pre.value tabindex="0" { @for line in &lines { (line) "\n" } }
                @let is_whole = lines.len() == payload.lines.len() && lines.last().map(|line| line.len()) == payload.lines.last().map(String::len);
                @if !is_whole { p.notice { "Its first 64 KiB: " (whole(place)) "." } }
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

fn actions(address: &str, place: &LetterPlace, shown: &Shown, identity: &Identity) -> Markup {
    // It alone, whatever became of it.
    let which = Which {
        partition: Some(place.partition),
        offset: Some(place.offset),
        with_redriven: true,
        with_discarded: true,
        ..Which::default()
    };
    let value = shown.entry.record().value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
    html! {
        h2 { "What to do with it" }
        form.steer method="post" action={ (address) "/redrive" } {
            (hidden(&which))
            label { "To topic (empty: its own)" input name="to"; }
            label { "Why" input name="why" required; }
            button { "Re-drive it" }
        }
        form.steer method="post" action={ (address) "/discard" } {
            (hidden(&which))
            label { "Why" input name="why" required; }
            button.danger { "Discard it" }
        }
        @if identity.role >= Role::Admin {
            details {
                summary { "Edit its value, and re-drive it" }
                @if value.is_some_and(|value| Room::size(value) > VALUE) {
                    p.empty { "Its value is too large for a form: edit it by " code { "dlq edit" } " or the API." }
                } @else if let Some(value) = value {
                    form.edit method="post" action={ (address) "/" (place.partition) "/" (place.offset) "/edit" } {
                        // A browser takes the first line's end for none of it.
                        label { "Value" textarea name="value" rows="12" spellcheck="false" { "\n" (value) } }
                        label { "Why" input name="why" required; }
                        label { "It is written to its topic: type redrive" input.small name="confirm" required pattern="redrive" autocomplete="off"; }
                        button.danger { "Write the changed record" }
                    }
                } @else { p.empty { "Its value is not text: edit it by " code { "dlq edit" } " or the API." } }
            }
        }
    }
}

/// A changed value.
#[derive(Debug, Deserialize)]
pub(in crate::api::ui) struct EditForm {
    value: String,
    why: String,
    confirm: String,
}

pub(in crate::api::ui) async fn edit(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(place): Named<LetterPlace>,
    Form(form): Form<EditForm>,
) -> Response {
    let address = format!("{}/{}/{}", address(&place.daemon, &place.topic), place.partition, place.offset);
    let why = form.why.clone();
    match asked_for(place.wanted(&why), written(&api, &identity, &place, form)).await {
        Ok(()) => (Extension(place.changed(&why)), Redirect::to(&address)).into_response(),
        Err(problem) => not_done(&api, &identity, &problem, &address, "the letter"),
    }
}

async fn written(api: &Api, identity: &Identity, place: &LetterPlace, form: EditForm) -> Result<(), Problem> {
    let EditForm { value, why, confirm } = form;
    if confirm != "redrive" {
        return Err(Problem::bad_request("it was not confirmed by typing `redrive`"));
    }
    // Forms end their lines as no record does that was written without.
    let before = show(api, place).await?;
    let had_returns = before.entry.record().value.as_deref().is_some_and(|value| value.contains(&b'\r'));
    let value = if had_returns { value } else { value.replace("\r\n", "\n") };
    let request = EditRequest { value: Some(Bytes::Text(value)), tombstone: false, headers: None, reason: why };
    let edited = write(api, place, request.edit(identity)?).await?;
    if edited.written {
        Ok(())
    } else {
        Err(Problem::conflict("the same change was written before, and was not written again"))
    }
}
