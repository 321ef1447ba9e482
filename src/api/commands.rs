//! Commands over HTTP: what operators have ordered of daemons, and what each process has made of it.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::Role;
use super::daemons::shown::{Patterns, Scope};
use super::endpoint::{Asked, Endpoint, Named};
use super::fleet::{Member, Members};
use super::limit::Limit;
use super::problem::Problem;
use super::state::Api;
use crate::fleet::{Carried, Command, Stands, lacking};

/// Commands that are listed where nothing is said, and all that are kept.
pub(super) const USUAL: usize = 50;
const MOST: usize = 256;
const LIMIT: Limit = Limit { usual: USUAL, most: Some(MOST) };

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get::<CommandsShown, _>(
            "/api/v1/commands",
            Role::Viewer,
            "What operators have ordered of daemons, the latest first, and how many processes do so",
            all,
        )
        .with::<Part>(),
        Endpoint::get::<CommandShown, _>(
            "/api/v1/commands/{id}",
            Role::Viewer,
            "One of them, with what each process has made of it",
            one,
        )
        .with::<CommandId>(),
    ]
}

/// How many.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// So many, the latest; 50 where nothing is said.
    #[schemars(range(min = 1, max = 256))]
    limit: Option<usize>,
}

/// One of them.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct CommandId {
    /// Its `id`.
    pub(super) id: String,
}

/// What operators have ordered.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CommandsShown {
    /// Why some may be missing, or what has come of them may not be known; null where neither is so.
    pub(crate) trouble: Option<String>,
    /// They, the latest first; in `instances` those processes alone that run and have not acknowledged it.
    pub(crate) commands: Vec<CommandShown>,
}

/// A command.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CommandShown {
    /// Its name.
    pub(crate) id: String,
    /// When, in milliseconds since 1970 UTC.
    pub(crate) at: u64,
    pub(crate) daemon: String,
    /// In words.
    pub(crate) what: String,
    /// Who has ordered it …
    pub(crate) by: String,
    /// … and why.
    pub(crate) reason: String,
    /// Until when what was changed holds, in milliseconds since 1970 UTC; null where something was taken back, or is done once.
    pub(crate) until: Option<u64>,
    /// The process that was asked, as people call it.
    pub(crate) asked: String,
    /// Where the partition goes on, of a seek that is done.
    pub(crate) next: Option<i64>,
    /// Why it could not be done, or may be known to one process alone.
    pub(crate) trouble: Option<String>,
    /// How many processes have acknowledged it …
    pub(crate) acknowledged: usize,
    /// … of so many that run now, whether they did when it was ordered or have come since: what holds they read when they begin. Of what is done once those
    /// that it was meant for, and whoever has done it.
    pub(crate) of: usize,
    /// So many that it was meant for have ended since.
    #[serde(default)]
    pub(crate) ended: usize,
    /// What it came to in each of these, those that have ended last.
    pub(crate) instances: Vec<InInstance>,
}

/// What a command came to in a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InInstance {
    /// Its `id`.
    pub(crate) instance: String,
    /// As people call it.
    pub(crate) name: String,
    pub(crate) state: Acknowledgement,
    /// Why, where that is known.
    pub(crate) why: Option<String>,
}

/// What a process has made of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Acknowledgement {
    /// It is known to have heard of it, and does so.
    Acknowledged,
    /// It does not do so.
    Refused,
    /// It is not known to have heard of it.
    NotHeard,
    /// Nothing was heard of it for some time.
    Silent,
    /// It was meant for it, and it has ended.
    Gone,
}

impl Acknowledgement {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Refused => "refused",
            Self::NotHeard => "not heard",
            Self::Silent => "silent",
            Self::Gone => "gone",
        }
    }
}

impl CommandShown {
    fn of(command: &Command, members: &[Member], patterns: &mut Patterns) -> Self {
        let mut states = Instances::of(command, members, patterns).all();
        states.sort_by_key(|one| one.state == Acknowledgement::Gone);
        let count = |state| states.iter().filter(|one| one.state == state).count();
        let (acknowledged, ended) = (count(Acknowledgement::Acknowledged), count(Acknowledgement::Gone));
        let refused = command.answer.as_ref().and_then(|answer| answer.refused.clone());
        let alone = match &command.stands {
            Stands::HereAlone(why) => Some(why.clone()),
            _ => None,
        };
        Self {
            id: command.id.clone(),
            at: command.at,
            daemon: command.daemon.clone(),
            what: command.what.clone(),
            by: command.by.clone(),
            reason: command.reason.clone(),
            until: command.until,
            asked: command.asked.called(),
            next: command.answer.as_ref().and_then(|answer| answer.next),
            trouble: refused.or(alone),
            acknowledged,
            of: states.len() - ended,
            ended,
            instances: states,
        }
    }

    /// Without those that have acknowledged it, or have ended: of these there are many.
    fn short(mut self) -> Self {
        self.instances.retain(|one| !matches!(one.state, Acknowledgement::Acknowledged | Acknowledgement::Gone));
        self
    }
}

/// What is known of the processes that have to do with a command.
struct Instances<'a> {
    command: &'a Command,
    members: Vec<(&'a Member, Option<String>)>,
}

impl<'a> Instances<'a> {
    fn of(command: &'a Command, members: &'a [Member], patterns: &mut Patterns) -> Self {
        let about = Scope { topic: command.topic.clone(), partition: command.partition, key: None };
        let told: Vec<_> = members.iter().map(|member| &member.report.daemons[..]).collect();
        let lacking = lacking(&told, &command.daemon, &about, patterns);
        Self { command, members: members.iter().zip(lacking).collect() }
    }

    /// Those that it was meant for, and where it holds those that have come since.
    fn all(&self) -> Vec<InInstance> {
        let Command { meant, .. } = self.command;
        let come_since = self
            .members
            .iter()
            .map(|(member, _)| &member.report.instance)
            .filter(|instance| !self.command.is_done_once() && !meant.iter().any(|meant| meant.id == instance.id));
        let meant = meant.iter().map(|meant| self.of_one(&meant.id, meant.called()));
        meant.chain(come_since.map(|instance| self.of_one(&instance.id, instance.called()))).collect()
    }

    fn of_one(&self, id: &str, name: String) -> InInstance {
        let (state, why) = self.state(id);
        InInstance { instance: id.to_owned(), name, state, why }
    }

    fn state(&self, id: &str) -> (Acknowledgement, Option<String>) {
        use Acknowledgement::{Acknowledged, Gone, NotHeard, Refused, Silent};
        let Command { answer, stands, asked, .. } = self.command;
        // What has answered has heard of it, whatever became of it since.
        if let Some(Carried { instance: Some(by), next, refused, is_open }) = answer
            && by == id
        {
            return match (next, refused) {
                (Some(next), _) => (Acknowledged, Some(format!("goes on at {next}"))),
                (None, why) if *is_open => (NotHeard, why.clone()),
                (None, why) => (Refused, why.clone()),
            };
        }
        let Some((member, lacks)) = self.members.iter().find(|(member, _)| member.report.instance.id == id) else {
            return (Gone, Some("nothing is heard of it any more".to_owned()));
        };
        if member.is_silent {
            return (Silent, Some(format!("nothing was heard of it for {} s", member.heard / 1_000)));
        }
        let is_asked = asked.id == id;
        match stands {
            Stands::HereAlone(why) if !is_asked => return (NotHeard, Some(why.clone())),
            Stands::Here if !is_asked => return (Acknowledged, Some("it is another one's partition".to_owned())),
            Stands::Pending => return (NotHeard, None),
            Stands::At(offset) if member.report.steered.read.is_none_or(|read| read <= *offset) => {
                return (NotHeard, None);
            }
            _ => {}
        }
        match (lacks, answer) {
            (_, Some(Carried { instance: Some(_), .. })) => {
                (Acknowledged, Some("it is another one's partition".to_owned()))
            }
            (_, Some(Carried { refused: Some(why), is_open, .. })) => {
                (if *is_open { NotHeard } else { Refused }, Some(why.clone()))
            }
            // What is taken back may be of something that is there no more.
            (Some(lacks), _) if self.command.until.is_some() => (Refused, Some(lacks.clone())),
            (Some(_) | None, _) => (Acknowledged, None),
        }
    }
}

impl CommandsShown {
    /// The latest, as it is known by now.
    pub(super) async fn now(api: &Api, limit: usize) -> Self {
        let (commands, trouble) = api.fleet.commands().await;
        let Members { all, trouble: unseen } = Members::of(api, api.fleet.look().await);
        let mut patterns = Patterns::default();
        let shown = |command| CommandShown::of(command, &all, &mut patterns).short();
        let shown = commands.iter().take(limit).map(shown).collect();
        let unseen = unseen.filter(|_| !api.fleet.is_alone());
        Self { trouble: trouble.or(unseen), commands: shown }
    }
}

impl CommandShown {
    /// This one, with all processes.
    pub(super) async fn named(api: &Api, id: &str) -> Result<Self, Problem> {
        let (commands, _) = api.fleet.commands().await;
        let command = commands.iter().find(|command| command.id == id);
        let command = command.ok_or_else(|| {
            let why = format!("there is no command `{id}`, or no longer: the latest {MOST} are kept, and `/api/v1/commands` lists them");
            Problem::not_found(why)
        })?;
        let Members { all, .. } = Members::of(api, api.fleet.look().await);
        Ok(Self::of(command, &all, &mut Patterns::default()))
    }
}

async fn all(State(api): State<Api>, Asked(Part { limit }): Asked<Part>) -> Result<Json<CommandsShown>, Problem> {
    Ok(Json(CommandsShown::now(&api, LIMIT.of(limit)?).await))
}

async fn one(State(api): State<Api>, Named(CommandId { id }): Named<CommandId>) -> Result<Json<CommandShown>, Problem> {
    Ok(Json(CommandShown::named(&api, &id).await?))
}
