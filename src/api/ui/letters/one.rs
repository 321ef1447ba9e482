//! A letter: all that is known of it, its record as it was, and what is done with it alone.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::{address, hidden, when};
use crate::api::access::{Identity, Role};
use crate::api::endpoint::{Filled, Named};
use crate::api::letters::shown::EditRequest;
use crate::api::letters::which::Which;
use crate::api::letters::{LetterPlace, show, write};
use crate::api::masks::Sight;
use crate::api::problem::{Problem, asked_for};
use crate::api::state::Api;
use crate::api::ui::links::Links;
use crate::api::ui::page::{Page, not_done, not_shown, shell};
use crate::api::ui::record::{VALUE, content, cut};
use crate::api::ui::room::Room;
use crate::dead_letters::{Content, Mark, Shown};
use crate::payload::Bytes;
use crate::record::Timestamp;

/// A value of so many bytes may be edited in a form; and it takes no more than that as it is sent, together with what is shown of it.
const EDITED: usize = 64 * 1024;
const BOTH: usize = 148 * 1024;
/// So much of it is shown at least.
const SHOWN: usize = 8 * 1024;
/// So much of the error that it became a letter with is shown.
const ERROR: usize = 8 * 1024;

pub(in crate::api::ui) async fn one(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(place): Named<LetterPlace>,
) -> Response {
    let address = address(&place.daemon, &place.topic);
    match show(&api, &place).await {
        Ok(shown) => {
            let form = form_size(&shown).filter(|_| identity.role >= Role::Admin);
            let title = format!("Letter {}:{} of {}", place.partition, place.offset, place.topic);
            let body = html! {
                h1 { "Letter " (place.partition) ":" (place.offset) " of " a href=(address) { (place.topic) } }
                (said(&shown, &place, &Links::of(&api, identity.role)))
                @match Sight::of(&api, &identity).see(shown.entry.record()) {
                    Some(seen) => (content(&seen, &whole(&place), VALUE.min(BOTH - form.unwrap_or(0)))),
                    None => p.notice { "What stands in records is hidden from viewers." },
                }
                @if identity.role >= Role::Operator && shown.entry.letter().is_some() { (actions(&address, &place, &shown, (&identity, form.is_some()))) }
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

/// What it says of the failure, and what became of it.
fn said(shown: &Shown, place: &LetterPlace, links: &Links) -> Markup {
    let entry = &shown.entry;
    html! {
        dl {
            dt { "Written" } dd { (when(entry.written_at.map(Timestamp::as_millis))) }
            @match &entry.content {
                Content::Letter(letter) => {
                    dt { "Failed" } dd { (when(letter.failed_at.map(Timestamp::as_millis))) }
                    dt { "Record" } dd { (links.to((letter.origin.topic.as_str(), letter.origin.partition.0, letter.offset.0), &html! { (letter.origin) "@" (letter.offset) }))
                        @if let Some(time) = letter.timestamp { ", of " (when(Some(time.as_millis()))) } }
                    dt { "Reason" } dd { (letter.reason.name()) }
                    dt { "Error" } dd { pre { (cut(&letter.error, ERROR, &whole(place))) } }
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

/// How many bytes a form for its value takes, where there is room for one.
fn form_size(shown: &Shown) -> Option<usize> {
    let value = shown.entry.letter()?.record.value.as_deref().filter(|value| value.len() <= EDITED)?;
    Some(Room::size(std::str::from_utf8(value).ok()?)).filter(|size| size + SHOWN <= BOTH)
}

fn actions(address: &str, place: &LetterPlace, shown: &Shown, (identity, has_form): (&Identity, bool)) -> Markup {
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
                @if value.is_some() && !has_form {
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
    Filled(form): Filled<EditForm>,
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
