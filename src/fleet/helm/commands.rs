//! Commands: what operators have ordered of daemons, and what has come of it, so that whoever is asked knows of all of them.
//!
//! They stand in places of the log as deeds do. Who has heard of one is not written down: each process tells how far it has read the log, and the command says
//! where its orders stand there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Helm;
use super::places::{Places, Told};
use crate::api::{Instance, called};

/// So many processes are remembered of those that a command was meant for.
const MEANT: usize = 200;
/// Characters of what somebody has written that are kept.
const TEXT: usize = 500;

/// What an operator has ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Command {
    /// Its name.
    pub(crate) id: String,
    /// When, in milliseconds since 1970 UTC.
    pub(crate) at: u64,
    pub(crate) daemon: String,
    /// In words.
    pub(crate) what: String,
    /// The topic that it is about, where it is about one alone …
    #[serde(default)]
    pub(crate) topic: Option<String>,
    /// … and the partition of it.
    #[serde(default)]
    pub(crate) partition: Option<i32>,
    /// Who has ordered it …
    pub(crate) by: String,
    /// … and why.
    pub(crate) reason: String,
    /// Until when what was changed holds; null where something was taken back, or is done once.
    pub(crate) until: Option<u64>,
    /// The process that was asked.
    pub(crate) asked: Instance,
    /// The processes that were heard of then, the one that was asked first: two hundred at most.
    pub(crate) meant: Vec<Meant>,
    /// Whether it stands for all of them.
    pub(crate) stands: Stands,
    /// What came of it, where it is done once.
    #[serde(default)]
    pub(crate) answer: Option<Carried>,
}

/// A process that a command was meant for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Meant {
    /// Its `id`.
    pub(crate) id: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
}

/// Whether an order stands for all processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stands {
    /// It is being written.
    Pending,
    /// At this offset of the topic of orders: who has read on behind it has heard of it.
    At(i64),
    /// It was so already, so nobody had to hear of it.
    Already,
    /// The process that was asked has done it by itself.
    Here,
    /// It could not be written: why it is the business of the one that was asked alone.
    HereAlone(String),
}

/// What came of an order that is done once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Carried {
    /// The process that has answered; null where none has.
    pub(crate) instance: Option<String>,
    /// Where the partition goes on.
    pub(crate) next: Option<i64>,
    /// Why it doesn't.
    pub(crate) refused: Option<String>,
    /// It may do so yet.
    pub(crate) is_open: bool,
}

/// They, in the log's places.
pub(super) type Commands = Places<Command>;

/// What it means that some can't be told.
pub(super) const UNTOLD: &str = "the others do not hear of what was ordered here, though they may do it";

impl Meant {
    pub(in crate::fleet) fn of(Instance { id, host, pid, .. }: &Instance) -> Self {
        Self { id: id.clone(), host: host.clone(), pid: *pid }
    }

    /// Its name, for people.
    pub(crate) fn called(&self) -> String {
        called(&self.host, self.pid)
    }
}

impl Command {
    /// Whether it is over once it is done: whoever comes later has nothing to do with it.
    pub(crate) fn is_done_once(&self) -> bool {
        self.answer.is_some() || matches!(self.stands, Stands::Pending | Stands::Here)
    }

    /// As much of it as is kept.
    fn short(mut self) -> Self {
        let alone = match &mut self.stands {
            Stands::HereAlone(why) => Some(why),
            _ => None,
        };
        let refused = self.answer.as_mut().and_then(|answer| answer.refused.as_mut());
        let texts = [&mut self.daemon, &mut self.what, &mut self.by, &mut self.reason].into_iter();
        // No topic's name is as long.
        for text in texts.chain(&mut self.topic).chain(alone).chain(refused) {
            *text = crate::payload::shortened(text, TEXT);
        }
        self.meant.truncate(MEANT);
        self
    }
}

impl Told for Command {
    const KIND: &'static str = "command";
    const WHAT: &'static str = "what was ordered";

    fn at(&self) -> u64 {
        self.at
    }

    fn name(&self) -> Option<&str> {
        Some(&self.id)
    }
}

impl Helm {
    /// Something was ordered here, or more is known of it.
    pub(in crate::fleet) fn commanded(&self, command: Command) {
        self.shared.commands.tell(command.short(), &self.shared.topic);
    }

    /// What was ordered in all processes, the latest first, and why some of it may not be known.
    pub(in crate::fleet) fn commands(&self) -> (Vec<Command>, Option<String>) {
        let mut all = self.shared.commands.all();
        all.sort_by(|one, other| (other.at, &other.id).cmp(&(one.at, &one.id)));
        (all, self.shared.commands.trouble.known())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_somebody_sends_little_of_it_is_kept() {
        let (long, asked) = (|| "ä".repeat(100_000), Instance::this("shop", None));
        let answer = Carried { instance: None, next: None, refused: Some(long()), is_open: false };
        let command = Command {
            id: "1".to_owned(),
            at: 0,
            daemon: long(),
            what: long(),
            topic: Some(long()),
            partition: None,
            by: long(),
            reason: long(),
            until: None,
            meant: vec![Meant::of(&asked); 1_000],
            asked,
            stands: Stands::HereAlone(long()),
            answer: Some(answer),
        };
        let kept = serde_json::to_vec(&command.short()).expect("it is written").len();
        assert!(kept < 64 * 1024, "{kept} bytes");
    }
}
