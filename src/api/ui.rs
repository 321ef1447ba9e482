//! The web UI: pages for people, rendered here, readable without scripts, live by server-sent events.
//!
//! It shows what the API shows and does what the API does, by the same roles; everything that others have written goes through maud, which
//! escapes it. The invariant: a page loads nothing but from here, and runs no script but the one that is served here.

mod audit;
mod commands;
mod daemon;
mod doctor;
mod errors;
mod fleet;
mod letters;
mod links;
mod login;
mod overrides;
mod overview;
mod page;
mod record;
mod rendered;
mod room;
mod rows;
mod seek;
mod steering;
mod topics;
mod workers;

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use maud::{Markup, html};

use super::access::{Identity, Role};
use super::endpoint::Endpoint;
use super::problem::Problem;
use super::state::Api;
pub(super) use login::{LOGIN, LOGOUT, login, login_page, logout, token_of};
pub(super) use page::asset;
#[cfg(feature = "cli")]
pub(crate) use page::encoded;
use page::{Page, not_done, not_shown, shell};
pub(super) use rendered::Rendered;
use steering::{LimitForm, PauseForm, ResumeForm, SkipForm, WorkersForm, act};

/// How often a page is rendered anew.
const PERIOD: Duration = Duration::from_secs(1);
/// How often in one answer: browsers come back by themselves, before the connection's time is over.
const TIMES: u32 = 8;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::page("/", Role::Viewer, "Overview", overview::overview),
        Endpoint::page("/audit", Role::Operator, "Audit", audit::audit),
        Endpoint::page("/config", Role::Operator, "The configuration", configuration),
        Endpoint::page("/daemons/{daemon}", Role::Viewer, "A daemon", daemon::daemon),
        Endpoint::page("/live/overview", Role::Viewer, "The overview, each second", live_overview),
        Endpoint::page("/live/daemons/{daemon}", Role::Viewer, "A daemon, each second", daemon::live),
        Endpoint::form("/daemons/{daemon}/pause", Role::Operator, "Pauses it", act::<PauseForm>),
        Endpoint::form("/daemons/{daemon}/resume", Role::Operator, "Lets it go on", act::<ResumeForm>),
        Endpoint::form("/daemons/{daemon}/seek", Role::Operator, "Has it go on elsewhere", seek::seek),
        Endpoint::form("/daemons/{daemon}/limits", Role::Operator, "Limits its rate", act::<LimitForm>),
        Endpoint::form("/daemons/{daemon}/workers", Role::Operator, "Scales it", act::<WorkersForm>),
        Endpoint::form("/daemons/{daemon}/skip", Role::Operator, "Has a record passed over", act::<SkipForm>),
        Endpoint::page("/overrides", Role::Viewer, "What operators have changed", overrides::overrides),
        Endpoint::form("/overrides/{id}/lift", Role::Operator, "Takes it back", overrides::lift),
        Endpoint::page("/commands", Role::Viewer, "What operators have ordered", commands::commands),
        Endpoint::page("/commands/{id}", Role::Viewer, "One of their commands", commands::command),
        Endpoint::page("/topics", Role::Operator, "The topics that are read", topics::topics),
        Endpoint::page("/topics/{topic}", Role::Operator, "The partitions of a topic", topics::topic),
        Endpoint::page("/topics/{topic}/{partition}", Role::Operator, "Records of a partition", topics::records),
        Endpoint::page("/topics/{topic}/{partition}/{offset}", Role::Operator, "A record", topics::record),
        Endpoint::page("/workers", Role::Viewer, "The handlers that run", workers::workers),
        Endpoint::page("/live/workers", Role::Viewer, "The handlers that run, each second", workers::live),
        Endpoint::page("/errors", Role::Viewer, "Attempts that failed", errors::errors),
        Endpoint::page("/live/errors", Role::Viewer, "Attempts that failed, each second", errors::live),
        Endpoint::page("/fleet", Role::Viewer, "The processes that run the program", fleet::fleet),
        Endpoint::page("/live/fleet", Role::Viewer, "The processes that run the program, each second", fleet::live),
        Endpoint::page("/fleet/{instance}", Role::Viewer, "One of them", fleet::instance),
        Endpoint::page("/live/fleet/{instance}", Role::Viewer, "One of them, each second", fleet::live_instance),
        Endpoint::page("/doctor", Role::Operator, "What usually goes wrong", doctor::doctor),
        Endpoint::page("/live/doctor", Role::Operator, "What usually goes wrong, each second", doctor::live),
        Endpoint::form("/doctor", Role::Operator, "Has it look", doctor::look),
        Endpoint::page("/letters", Role::Viewer, "Dead letters", letters::all),
        Endpoint::page("/daemons/{daemon}/letters/{topic}", Role::Viewer, "Dead letters of a topic", letters::topic),
        Endpoint::page("/daemons/{daemon}/letters/{topic}/kinds", Role::Viewer, "Dead letters by kind", letters::kinds),
        Endpoint::page(
            "/daemons/{daemon}/letters/{topic}/{partition}/{offset}",
            Role::Viewer,
            "A dead letter",
            letters::one,
        ),
        Endpoint::form(
            "/daemons/{daemon}/letters/{topic}/redrive",
            Role::Operator,
            "Counts what a re-drive would do",
            letters::redrive,
        ),
        Endpoint::form(
            "/daemons/{daemon}/letters/{topic}/discard",
            Role::Operator,
            "Counts what a discard would do",
            letters::discard,
        ),
        Endpoint::form(
            "/daemons/{daemon}/letters/{topic}/{partition}/{offset}/edit",
            Role::Admin,
            "Writes the changed record of a letter",
            letters::edit,
        )
        .large(),
        Endpoint::page("/jobs/{job}", Role::Viewer, "Work on dead letters", letters::job),
        Endpoint::page("/live/jobs/{job}", Role::Viewer, "Work on dead letters, each second", letters::live_job),
        Endpoint::form("/jobs/{job}/execute", Role::Operator, "Does what was counted", letters::execute),
        Endpoint::form("/jobs/{job}/stop", Role::Operator, "Ends it", letters::stop),
        Endpoint::form("/jobs/{job}/resume", Role::Operator, "Goes on with it", letters::resume),
    ]
}

/// What the paths of live pages begin with.
pub(super) const LIVE: &str = "/live/";

/// What is rendered each second, once for all of a role who look at the same page. It is rendered for the role, not for one of them: so nobody is shown what
/// another one may see.
fn live(
    api: Api,
    &Identity { role, .. }: &Identity,
    page: &str,
    render: impl Fn(&Api, Role) -> Result<Markup, Problem> + Send + 'static,
) -> Response {
    let page = format!("{role} {page}");
    Sse::new(events(api, move |api| api.rendered.get(&page, || render(api, role)))).into_response()
}

pub(super) fn events(
    api: Api,
    render: impl Fn(&Api) -> Result<Markup, Problem> + Send + 'static,
) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((api, render, 0), async |(api, render, times)| {
        if times == TIMES {
            return None;
        }
        tokio::time::sleep(PERIOD).await;
        let markup = render(&api).unwrap_or_else(|problem| html! { p.notice.bad { (problem.detail()) } });
        let event = Event::default().retry(PERIOD).data(markup.into_string());
        Some((Ok(event), (api, render, times + 1)))
    })
}

async fn live_overview(State(api): State<Api>, Extension(identity): Extension<Identity>) -> Response {
    live(api, &identity, "overview", |api, _| Ok(overview::fragment(api)))
}

/// What is in the way of a page, before it could say so itself.
pub(super) fn problem(api: &Api, identity: &Identity, problem: &Problem, is_change: bool) -> Response {
    let told = if is_change { not_done } else { not_shown };
    told(api, identity, problem, "/", "the overview")
}

/// What a form leaves behind in the address: what it did.
#[derive(Debug, Default, serde::Deserialize)]
struct Told {
    #[serde(default)]
    done: Option<String>,
}

impl Told {
    /// What whoever looks has just done, if that is so: an address may be anybody's, and say anything.
    fn notice(&self, api: &Api, identity: &Identity) -> Markup {
        let done = self.done.as_deref().filter(|done| api.audit.has_just(identity, done));
        html! { @if let Some(done) = done { p.notice.done role="status" { (done) } } }
    }
}

async fn configuration(State(api): State<Api>, Extension(identity): Extension<Identity>) -> Page {
    let body = html! {
        h1 { "Configuration" }
        @match &api.configuration {
            Some(text) => {
                p.faint { "What is in force in this process, every default included; secrets are masked. As " code { "config print" } " has it." }
                pre.value tabindex="0" { (text) }
            },
            None => { p.empty { "This program has its configuration in its code: an " code { "App" } " with a file shows it here." } },
        }
    };
    Page(shell(&api, &identity, "Configuration", "/config", body))
}
