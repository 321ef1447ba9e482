//! Overrides: what operators have changed of the daemons, and how it is taken back.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::Told;
use super::page::{Page, encoded, shell, time, with_time};
use super::steering::Done;
use crate::api::access::{Identity, Role};
use crate::api::endpoint::{Asked, Filled, Named};
use crate::api::overrides::{Lifted, OverrideId, OverridesShown};
use crate::api::state::Api;
use crate::fleet::Standing;
use crate::record::Timestamp;

/// So many of a daemon stand on its page.
const SHOWN: usize = 20;

pub(super) async fn overrides(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Asked(told): Asked<Told>,
) -> Page {
    let body = html! {
        h1 { "Overrides" }
        (told.notice(&api, &identity))
        // Without what is live: a form that somebody fills in must not vanish.
        (fragment(&api, identity.role >= Role::Operator))
    };
    Page(shell(&api, &identity, "Overrides", "/overrides", body))
}

/// Those of one daemon, on its page.
pub(super) fn of_daemon(api: &Api, daemon: &str) -> Markup {
    let OverridesShown { overrides, .. } = OverridesShown::now(api);
    let overrides: Vec<&Standing> = overrides.iter().filter(|known| known.of.daemon == daemon).collect();
    html! {
        @if !overrides.is_empty() {
            h2 { "Overrides (" (overrides.len()) ")" }
            (table(&overrides[..overrides.len().min(SHOWN)], false))
            @if overrides.len() > SHOWN { p.faint { "The latest " (SHOWN) " are shown: " a href="/overrides" { "all overrides" } "." } }
        }
    }
}

fn fragment(api: &Api, may_lift: bool) -> Markup {
    let OverridesShown { alone, trouble, overrides } = OverridesShown::now(api);
    html! {
        @if let Some(trouble) = &trouble { p.notice.warning { "Some may be missing here: " (trouble) } }
        @if let Some(why) = &alone { p.notice { "What is changed here holds in this process alone, until its end: " (why) "." } }
        @if overrides.is_empty() {
            p.empty {
                "Nothing is changed. What operators pause, limit or scale stands here with who, why and until when, and holds "
                @if alone.is_none() { "in all processes, through restarts and rebalances." } @else { "through restarts of daemons and rebalances." }
            }
        } @else {
            (table(&overrides.iter().collect::<Vec<_>>(), may_lift))
            (for_good(&overrides))
        }
    }
}

/// The same as a part of the configuration.
#[cfg(feature = "cli")]
fn for_good(overrides: &[Standing]) -> Markup {
    html! { details {
        summary { "As a part of the configuration, to have it for good" }
        pre.value tabindex="0" { (crate::config::overrides_as_yaml(overrides)) }
    } }
}

#[cfg(not(feature = "cli"))]
fn for_good(_: &[Standing]) -> Markup {
    html! {}
}

fn table(overrides: &[&Standing], may_lift: bool) -> Markup {
    let now = Timestamp::now().as_millis();
    html! {
        div.scroll { table {
            thead { tr {
                th { "Daemon" } th { "Change" } th { "Who" } th { "Why" } th { "Since" } th { "Ends in" }
                @if may_lift { th { "Take back" } }
            } }
            tbody { @for Standing { of, here_alone } in overrides { tr class=[here_alone.then_some("warning")] {
                td { (of.daemon) }
                td { (of.change) @if *here_alone { " " b.warning-text { "in this process alone" } } }
                td { (of.by) }
                td.wide { (of.reason) }
                td { (with_time(of.at)) }
                td { (time(of.until.saturating_sub(now))) }
                @if may_lift { td { form.inline method="post" action={ "/overrides/" (encoded(&of.id)) "/lift" } {
                    input name="reason" required placeholder="Why" aria-label={ "Why " (of.change) " is taken back" };
                    button { "Lift" }
                } } }
            } } }
        } }
    }
}

/// Why it is taken back.
#[derive(Debug, Deserialize)]
pub(super) struct LiftForm {
    reason: String,
}

pub(super) async fn lift(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(OverrideId { id }): Named<OverrideId>,
    Filled(LiftForm { reason }): Filled<LiftForm>,
) -> Response {
    let lifted = Lifted::one(&api, &identity, &id, &reason).await.map(|lifted| Done::new(lifted.told(), reason));
    Done::back(lifted, &api, &identity, ("/overrides", "the overrides"))
}
