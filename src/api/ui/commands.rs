//! Commands: what operators have ordered of daemons, and who has acknowledged it.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::page::{Page, ago, encoded, not_shown, shell, time, with_time};
use crate::api::access::Identity;
use crate::api::commands::{Acknowledgement, CommandId, CommandShown, CommandsShown, InInstance, USUAL};
use crate::api::endpoint::Named;
use crate::api::state::Api;
use crate::record::Timestamp;

/// So many processes are named in a row.
const NAMED: usize = 3;

pub(super) async fn commands(State(api): State<Api>, Extension(identity): Extension<Identity>) -> Page {
    let CommandsShown { trouble, commands } = CommandsShown::now(&api, USUAL).await;
    let body = html! {
        h1 { "Commands" }
        @if let Some(trouble) = &trouble { p.notice.warning { "Some may be missing here: " (trouble) } }
        @if commands.is_empty() {
            p.empty { "Nothing was ordered yet. What operators pause, resume, limit, scale, skip, seek or take back stands here, with who has acknowledged it." }
        } @else {
            p.faint { "The latest " (commands.len()) ", of at most 256 that are kept. What holds of it is among the " a href="/overrides" { "overrides" } "; what else was done is in the audit log." }
            div.scroll { table {
                thead { tr { th { "When" } th { "Acknowledged" } th { "Daemon" } th { "Command" } th { "Not by" } th { "Why" } th { "Who" } th { "Holds for" } } }
                tbody { @for command in &commands { (row(command)) } }
            } }
        }
    };
    Page(shell(&api, &identity, "Commands", "/commands", body))
}

fn row(command: &CommandShown) -> Markup {
    let is_whole = command.of > 0 && command.acknowledged == command.of;
    html! { tr class=[(!is_whole || command.trouble.is_some()).then_some("warning")] {
        td { a href={ "/commands/" (encoded(&command.id)) } { (ago(Some(command.at))) } }
        td class={ "state " (if is_whole { "good" } else { "warning-text" }) } { (command.acknowledged) " of " (command.of) @if command.ended > 0 { span.faint { ", " (command.ended) " ended" } } }
        td { a href={ "/daemons/" (encoded(&command.daemon)) } { (command.daemon) } }
        td { (command.what) @if let Some(next) = command.next { ": goes on at " (next) } }
        td.wide {
            @if command.instances.is_empty() { span.faint { "–" } }
            @for (index, one) in command.instances.iter().take(NAMED).enumerate() {
                @if index > 0 { "; " }
                (one.name) " " (tone(one)) @if let Some(why) = &one.why { ": " (why) }
            }
            @if command.instances.len() > NAMED { "; and " (command.instances.len() - NAMED) " more" }
        }
        td.wide { (command.reason) }
        td { (command.by) }
        td { (holds(command)) }
    } }
}

fn holds(command: &CommandShown) -> Markup {
    let now = Timestamp::now().as_millis();
    html! { @match command.until {
        None => "–",
        Some(until) if until <= now => { span.faint { "over" } },
        Some(until) => { (time(until - now)) },
    } }
}

fn tone(one: &InInstance) -> Markup {
    let class = match one.state {
        Acknowledgement::Acknowledged => "good",
        Acknowledgement::Refused => "bad-text",
        Acknowledgement::NotHeard | Acknowledgement::Silent => "warning-text",
        Acknowledgement::Gone => "faint",
    };
    html! { span class={ "state " (class) } { (one.state.name()) } }
}

pub(super) async fn command(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(CommandId { id }): Named<CommandId>,
) -> Response {
    let command = match CommandShown::named(&api, &id).await {
        Ok(command) => command,
        Err(problem) => return not_shown(&api, &identity, &problem, "/commands", "the commands"),
    };
    let title = format!("{}: {}", command.daemon, command.what);
    let body = html! {
        h1 { a href={ "/daemons/" (encoded(&command.daemon)) } { (command.daemon) } ": " (command.what) }
        @if let Some(trouble) = &command.trouble { p.notice.warning { (trouble) } }
        dl {
            dt { "Ordered" } dd { (with_time(command.at)) " (" (ago(Some(command.at))) ")" }
            dt { "By" } dd { (command.by) ": " (command.reason) }
            dt { "Asked" } dd { (command.asked) }
            @if command.until.is_some() { dt { "Holds for" } dd { (holds(&command)) } }
            @if let Some(next) = command.next { dt { "Goes on at" } dd { (next) } }
            dt { "Acknowledged" } dd { (command.acknowledged) " of " (command.of) @if command.of == 1 { " process" } @else { " processes" } @if command.ended > 0 { "; " (command.ended) " that it was meant for have ended since" } }
        }
        div.scroll.narrow { table {
            thead { tr { th { "Process" } th { "State" } th { "Why" } } }
            tbody { @for one in &command.instances { tr {
                td { a href={ "/fleet/" (encoded(&one.instance)) } { (one.name) } } td { (tone(one)) } td.wide { (one.why.as_deref().unwrap_or("–")) }
            } } }
        } }
        p { a href="/commands" { "All commands" } }
    };
    Page(shell(&api, &identity, &title, "/commands", body)).into_response()
}
