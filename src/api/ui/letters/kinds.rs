//! What waits, by the topics that its records are of and how they failed.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::{Pairs, address, conditions};
use crate::api::access::Identity;
use crate::api::endpoint::{Asked, Named};
use crate::api::letters::LettersName;
use crate::api::letters::kinds::{KindShown, KindsShown, count};
use crate::api::letters::which::Which;
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::api::ui::page::{Page, ago, grouped, not_shown, shell};

pub(in crate::api::ui) async fn kinds(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(name): Named<LettersName>,
    Asked(pairs): Asked<Pairs>,
) -> Response {
    let (address, topic) = (address(&name.daemon, &name.topic), &name.topic);
    match counted(&api, &identity, &name, pairs).await {
        Ok((which, found)) => {
            let body = body(topic, &address, &which, &found);
            Page(shell(&api, &identity, &format!("{topic} by kind"), "/letters", body)).into_response()
        }
        Err(problem) => not_shown(&api, &identity, &problem, "/letters", "dead letters"),
    }
}

async fn counted(
    api: &Api,
    identity: &Identity,
    name: &LettersName,
    pairs: Pairs,
) -> Result<(Which, KindsShown), Problem> {
    let (_, which) = conditions(pairs)?;
    let found = count(api, identity, name, &which).await?;
    Ok((which, found))
}

fn body(topic: &str, address: &str, which: &Which, found: &KindsShown) -> Markup {
    let KindsShown { kinds, others, no_letters, left, marks_left, .. } = found;
    html! {
        h1 { "Dead letters in " a href={ (address) "?" (which.query()) } { (topic) } ", by kind" }
        (waiting(found.waiting, *marks_left))
        @if *which != Which::default() { p.faint { "Those alone that meet the list's conditions. " a href={ (address) "/kinds" } { "Of all that wait" } } }
        @if *left > 0 && *marks_left == 0 { p.notice.warning { (grouped(*left)) " more were not looked at in time: these are the oldest. Work that counts a re-drive looks at all." } }
        @if kinds.is_empty() && *no_letters == 0 {
            @if *marks_left == 0 { p.empty { "None is there." } }
        } @else { div.scroll.narrow { table {
            thead { tr { th { "Record's topic" } th { "Reason" } th.n { "Letters" } th { "First" } th { "Last" } } }
            tbody {
                @for kind in kinds { (row(kind, address, which)) }
                @if *others > 0 { tr { td.faint { "others" } td { "–" } td.n { (grouped(*others)) } td { "–" } td { "–" } } }
                @if *no_letters > 0 { tr { td.warning-text { "no letters" } td { "–" } td.n { (grouped(*no_letters)) } td { "–" } td { "–" } } }
            }
        } } }
    }
}

/// How many wait.
pub(super) fn waiting(waiting: Option<u64>, marks_left: u64) -> Markup {
    html! { p {
        @match waiting {
            Some(1) => { b { "1 letter waits" } ": it was neither re-driven nor discarded." },
            Some(letters) => { b { (grouped(letters)) " letters wait" } ": they were neither re-driven nor discarded." },
            None => { "How many wait is not known yet: about " (grouped(marks_left)) " marks are left to be read. Ask again." },
        }
    } }
}

fn row(KindShown { origin, reason, letters, first, last }: &KindShown, address: &str, which: &Which) -> Markup {
    let narrowed = Which { origin: Some(origin.clone()), reason: Some((*reason).to_owned()), ..which.clone() };
    html! { tr {
        td { a href={ (address) "?" (narrowed.query()) } { (origin) } } td { (reason) }
        td.n { (grouped(*letters)) } td { (ago(*first)) } td { (ago(*last)) }
    } }
}
