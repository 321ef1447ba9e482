//! Topics: those that the daemons here read, their partitions, and the records in them.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::page::{Page, ago, encoded, grouped, not_shown, shell, with_time};
use super::record::{VALUE as VALUE_SHOWN, address, content};
use crate::api::access::Identity;
use crate::api::daemons::steering::Destination;
use crate::api::endpoint::{Asked, Named};
use crate::api::masks::Sight;
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::api::topics::{
    PartitionName, Place, RecordPlace, TopicName, TopicShown, extents, page, record as one, shown,
};
use crate::payload::inline;
use crate::record::Timestamp;
use crate::records::{Extent, Found, RecordsPage};

/// So many characters of a key, and of a value, stand in a row …
const KEY: usize = 40;
const VALUE: usize = 160;
/// … and so many bytes of either are looked at for them.
const LOOK: usize = 1_024;
/// Below as many records the links from page to page stand there, too.
const LONG: usize = 10;

pub(super) async fn topics(State(api): State<Api>, Extension(identity): Extension<Identity>) -> Page {
    let topics = shown(&api);
    let body = html! {
        h1 { "Topics" }
        @if topics.is_empty() { p.empty { "No daemon of this process reads a topic whose records can be shown, or none has begun yet." } }
        @else { div.scroll.narrow { table {
            thead { tr { th { "Topic" } th { "Read by" } } }
            tbody { @for TopicShown { topic, daemons } in &topics { tr {
                td { a href={ "/topics/" (encoded(topic)) } { (topic) } }
                td { @for (index, name) in daemons.iter().enumerate() { @if index > 0 { ", " } a href={ "/daemons/" (encoded(name)) } { (name) } } }
            } } }
        } } }
    };
    Page(shell(&api, &identity, "Topics", "/topics", body))
}

pub(super) async fn topic(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(TopicName { topic }): Named<TopicName>,
) -> Response {
    let extents = match extents(&api, &topic).await {
        Ok(extents) => extents,
        Err(problem) => return not_shown(&api, &identity, &problem, "/topics", "the topics"),
    };
    let row = |Extent { partition, offsets, .. }: &Extent| {
        let address = format!("/topics/{}/{partition}", encoded(&topic));
        html! { tr {
            td.n { (partition) }
            @match offsets {
                Some((first, end)) => { td.n { (first) } td.n { (end) } td.n { (grouped(u64::try_from(end.0 - first.0).unwrap_or(0))) } },
                None => td.warning-text colspan="3" { "no broker answers for it now" },
            }
            td { a href={ (address) "?from=beginning" } { "the first ones" } " · " a href=(address) { "the last ones" } }
        } }
    };
    let body = html! {
        h1 { (topic) }
        div.scroll.narrow { table {
            thead { tr { th.n { "Partition" } th.n { "First" } th.n { "End" } th.n { "Offsets" } th { "Records" } } }
            tbody { @for extent in &extents { (row(extent)) } }
        } }
        p { a href="/topics" { "All topics" } }
    };
    Page(shell(&api, &identity, &topic, "/topics", body)).into_response()
}

/// Where a page's address has it begin: as a form says it, or as links do.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Wanted {
    from: Option<String>,
    before: Option<i64>,
}

impl Wanted {
    fn place(&self) -> Result<Place, Problem> {
        let from = self.from.as_deref().map(str::trim).filter(|from| !from.is_empty());
        let to = from.map(str::parse::<Destination>).transpose().map_err(Problem::bad_request)?;
        Ok(match (to, self.before) {
            (None | Some(Destination::End), before) => Place { before, ..Place::default() },
            (Some(Destination::Beginning), _) => Place { offset: Some(0), ..Place::default() },
            (Some(Destination::Offset(offset)), _) => Place { offset: Some(offset), ..Place::default() },
            (Some(Destination::Time(time)), _) => Place { time: Some(time), ..Place::default() },
        })
    }
}

pub(super) async fn records(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(name): Named<PartitionName>,
    Asked(wanted): Asked<Wanted>,
) -> Response {
    let found = match wanted.place() {
        Ok(place) => page(&api, &name, &place).await,
        Err(wrong) => Err(wrong),
    };
    let back = format!("/topics/{}", encoded(&name.topic));
    match found {
        Ok(found) => {
            let title = format!("{}[{}]", name.topic, name.partition);
            let body = listing(&name, &wanted, &found, Sight::of(&api, &identity));
            Page(shell(&api, &identity, &title, "/topics", body)).into_response()
        }
        Err(problem) => not_shown(&api, &identity, &problem, &back, &name.topic),
    }
}

fn listing(name: &PartitionName, wanted: &Wanted, found: &RecordsPage, sight: Sight<'_>) -> Markup {
    let PartitionName { topic, partition } = name;
    let here = format!("/topics/{}/{partition}", encoded(topic));
    let RecordsPage { records, first, end, next, before, is_late, .. } = found;
    let ways = html! { p {
        a href={ (here) "?from=beginning" } { "First" } " · "
        @if let Some(before) = before { a href={ (here) "?before=" (before) } data-key="b" title="Key b" { "Before these" } } @else { span.faint { "nothing before these" } }
        " · " a href={ (here) "?from=" (next) } data-key="n" title="Key n" { @if next < end { "After these" } @else { "What has come since" } }
        " · " a href=(here) { "Last" }
    } };
    html! {
        h1 { a href={ "/topics/" (encoded(topic)) } { (topic) } "[" (partition) "]" }
        form.steer method="get" aria-label="Where to begin" {
            label { "From: beginning, end, an offset, or a time" input name="from" value=[wanted.from.as_deref()] placeholder="2026-11-26T18:00:00Z"; }
            button { "Show" }
        }
        p.faint { @if first < end { "Offsets " (first) " to " (end.0 - 1) "; " (records.len()) " records shown." } @else { "It holds nothing; the next record gets offset " (end) "." } }
        (ways)
        @if *is_late { p.notice.warning { "The brokers are slow: there may be more here than was read in time." } }
        @if records.is_empty() { p.empty { "No record is here: the partition ends, or these offsets have none." } }
        @else { div.scroll { table {
            thead { tr { th.n { "Offset" } th { "Time" } th { "Key" } th { "Value" } th.n { "Bytes" } th.n { "Headers" } } }
            tbody { @for record in records { (row(topic, *partition, record, sight)) } }
        } } }
        @if records.len() > LONG { (ways) }
    }
}

fn row(topic: &str, partition: i32, found: &Found, sight: Sight<'_>) -> Markup {
    let Found { offset, record, .. } = found;
    let seen = sight.see(record);
    let size = record.value.as_ref().map_or(0, Vec::len);
    html! { tr {
        td.n { a href=(address(topic, partition, offset.0)) { (offset) } }
        td { @match record.timestamp { Some(time) => (with_time(time.as_millis())), None => "–" } }
        @match &seen {
            Some(seen) => {
                td { (seen.record.key.as_deref().map_or("–".to_owned(), |key| cut(key, KEY))) }
                td.wide { @match seen.record.value.as_deref() {
                    Some(value) => code { (cut(value, VALUE)) },
                    None if seen.hides_value => span.faint { "hidden" },
                    None => span.faint { "tombstone" },
                } }
            },
            None => { td.faint { "hidden" } td.faint { "hidden" } },
        }
        td.n { (grouped(size as u64)) } td.n { (record.headers.len()) }
    } }
}

/// The begin of some bytes, as text.
fn cut(bytes: &[u8], most: usize) -> String {
    let end = bytes.len().min(LOOK);
    // Not within a character, or what is text would be none.
    let end = match std::str::from_utf8(bytes) {
        Ok(text) => text.floor_char_boundary(end),
        Err(_) => end,
    };
    let text = inline(&bytes[..end]);
    let mut shown: String = text.chars().take(most).collect();
    if shown.len() < text.len() || end < bytes.len() {
        shown.push('…');
    }
    shown
}

pub(super) async fn record(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(place): Named<RecordPlace>,
) -> Response {
    let RecordPlace { topic, partition, offset } = &place;
    let back = format!("/topics/{}/{partition}", encoded(topic));
    let Found { record, .. } = match one(&api, &place).await {
        Ok(found) => found,
        Err(problem) => {
            return not_shown(&api, &identity, &problem, &format!("{back}?from={offset}"), "the records around it");
        }
    };
    let whole = html! { a href={ "/api/v1" (back) "/records?offset=" (offset) "&limit=1" } { "the API has all of it" } ", and so has " code { "records" } };
    let title = format!("{topic}[{partition}]@{offset}");
    let body = html! {
        h1 { a href={ (back) "?from=" (offset) } { (topic) "[" (partition) "]" } "@" (offset) }
        dl { dt { "Time" } dd { @match record.timestamp.map(Timestamp::as_millis) { Some(time) => { (with_time(time)) " (" (ago(Some(time))) ")" }, None => "none" } } }
        @match Sight::of(&api, &identity).see(&record) {
            Some(seen) => (content(&seen, &whole, VALUE_SHOWN)),
            None => p.notice { "What stands in records is hidden from viewers." },
        }
        @for TopicShown { daemons, .. } in shown(&api).iter().filter(|shown| shown.topic == *topic) { @for daemon in daemons {
            p { a href={ "/daemons/" (encoded(daemon)) "?at=" (encoded(topic)) "/" (partition) "&offset=" (offset) } { "Have " (daemon) " skip it, or go on at it" } }
        } }
        p {
            @if *offset > 0 { a href={ (back) "?before=" (offset) } data-key="b" title="Key b" { "Those before it" } " · " }
            a href={ (back) "?from=" (offset + 1) } data-key="n" title="Key n" { "Those after it" }
        }
    };
    Page(shell(&api, &identity, &title, "/topics", body)).into_response()
}
