//! Where a partition is to go on: first what that means is told, as a count, and it is done once that is typed.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::page::{Page, encoded, grouped, not_done, shell};
use super::steering::{Done, partition};
use crate::api::access::Identity;
use crate::api::audit::Detail;
use crate::api::daemons::DaemonName;
use crate::api::daemons::stake::Stake;
use crate::api::daemons::steering::{Destination, Wish};
use crate::api::endpoint::{Filled, Named};
use crate::api::problem::{Problem, asked_for};
use crate::api::state::Api;

/// What is typed where nobody knows how many records it is about.
const WORD: &str = "seek";
/// So many records more than were told, and a tenth of them, may have come until it was typed.
const ALLOWED: u64 = 100;

/// Where a partition is to go on, and whether that is meant.
#[derive(Debug, Deserialize)]
pub(super) struct SeekForm {
    topic: String,
    partition: String,
    to: String,
    reason: String,
    /// What is to be typed, as it was told.
    #[serde(default)]
    asked: Option<String>,
    /// What was typed; none before it was told what.
    #[serde(default)]
    confirm: Option<String>,
}

pub(super) async fn seek(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Filled(form): Filled<SeekForm>,
) -> Response {
    let (back, wanted) = (format!("/daemons/{}", encoded(&daemon)), form.wanted());
    if form.confirm.is_none() {
        return match form.asks(&api, &daemon).await {
            Ok(body) => {
                let detail = Extension(Detail(format!("asked what it would do to {wanted}")));
                (detail, Page(shell(&api, &identity, "Seek", "", body))).into_response()
            }
            Err(problem) => not_done(&api, &identity, &problem.wanted(wanted), &back, &daemon),
        };
    }
    let did = asked_for(wanted, form.act(&api, &identity, &daemon)).await;
    Done::back(did, &api, &identity, (&back, &daemon))
}

impl SeekForm {
    /// As it was written, for the audit log.
    fn wanted(&self) -> String {
        let Self { topic, partition, to, reason, .. } = self;
        format!("seek {topic}[{partition}] to {to}: {reason}")
    }

    fn read(&self) -> Result<(i32, Destination), Problem> {
        Ok((partition(&self.partition)?, self.to.parse().map_err(Problem::bad_request)?))
    }

    async fn act(self, api: &Api, identity: &Identity, daemon: &str) -> Result<Done, Problem> {
        let asked = self.asked.as_deref().unwrap_or(WORD);
        if self.confirm.as_deref() != Some(asked) {
            return Err(Problem::bad_request(format!("it was not confirmed by typing `{asked}`")));
        }
        let (partition, to) = self.read()?;
        // What came in since it was told is none of what was meant.
        let grown = Stake::of(api, daemon, (&self.topic, partition), to).await.map(|stake| stake.records);
        if let (Ok(told), Some(now)) = (asked.parse::<u64>(), grown)
            && now > told.saturating_add(told / 10).saturating_add(ALLOWED)
        {
            return Err(Problem::conflict(format!("it is about {now} records by now, not {told}: ask again")));
        }
        let wish = Wish::new(identity, self.reason.clone(), None);
        let (place, next) = wish.seek(api, daemon, (self.topic, partition), to).await?;
        Ok(Done::new(format!("{place} goes on at {next}"), self.reason))
    }

    /// Tells what it would do, and asks whether that is meant.
    async fn asks(&self, api: &Api, daemon: &str) -> Result<Markup, Problem> {
        let (partition, to) = self.read()?;
        if self.reason.trim().is_empty() {
            return Err(Problem::bad_request("say why"));
        }
        let stake = Stake::of(api, daemon, (&self.topic, partition), to).await;
        let asked = stake.as_ref().map_or(WORD.to_owned(), |stake| stake.records.to_string());
        let hidden =
            [("topic", &self.topic), ("partition", &self.partition), ("to", &self.to), ("reason", &self.reason)];
        Ok(html! {
            h1 { "Seek " (self.topic) "[" (partition) "]" }
            @match &stake {
                Some(Stake { records, effect }) => { p { "If it goes on at " code { (self.to) } ", " b { (grouped(*records)) " records" } " " (effect.said()) "." } },
                None => { p.notice.warning { "It is not known how many records that is about: no process tells of that partition, or nothing of it is committed. Those behind " code { (self.to) } " are handled, again where they were; others never." } },
            }
            form.steer method="post" action={ "/daemons/" (encoded(daemon)) "/seek" } {
                @for (name, value) in hidden { input type="hidden" name=(name) value=(value); }
                input type="hidden" name="asked" value=(asked);
                label { "Type " (asked) input.small name="confirm" required pattern=(asked) autocomplete="off"; }
                button.danger { "Seek" }
            }
            p { a href={ "/daemons/" (encoded(daemon)) } { "Back to " (daemon) } ", without it" }
        })
    }
}
