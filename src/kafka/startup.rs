//! The topics: are they there, and may we read them? Asked before the group is joined, and again as long as a trouble stands; where there
//! are patterns, from time to time too, for what they may find.
//!
//! The answer tells more than itself: that the brokers are reached, and let us in.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode as Code;
use tracing::info;

use super::client::Client;
use super::config::GroupProtocol;
use super::describe::{Described, describe, list};
use super::errand::Errand;
use super::faults;
use super::obstacles::Obstacle;
use super::rebalance::{Change, Rebalances};
use super::selection::{Found, Outcome, Rest, SURE, Search};
use super::session::{Halt, Surroundings};
use super::sight::{Regained, Sight};
use super::trouble::Until;
use crate::pipeline::source::{Event, SourceError};
use crate::record::Topic;

/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause before it is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Startup {
    stage: Stage,
    joined: bool,
    missing: u32,
    sight: Sight,
    /// When to look for new topics.
    refresh: Instant,
}

#[derive(Debug)]
enum Stage {
    Due(Instant),
    Asking(Errand<Answer>),
    /// The group is left, to be joined anew once nothing is assigned any more.
    Leaving,
    /// Nothing to ask, as far as is known.
    Content,
}

/// What a look brings.
#[derive(Debug)]
struct Answer {
    finding: Finding,
    /// For the patterns, if there are any.
    found: Option<Found>,
}

/// Of the topics that should be there.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    AllThere,
    Missing(Topic),
    /// Of these topics we see something, but not what we need.
    Forbidden(Vec<Topic>),
    Unreachable,
}

impl Startup {
    /// At once.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { stage: Stage::Due(now), joined: false, missing: 0, sight: Sight::default(), refresh: now }
    }

    /// When to look again at the latest.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Due(at) => Some(at),
            _ => None,
        }
    }

    /// Something is wrong with a topic: asks what.
    pub(super) fn look_again(&mut self) {
        self.sight.doubt();
        if matches!(self.stage, Stage::Content) {
            self.stage = Stage::Due(Instant::now());
        }
    }

    /// The group has given us partitions, or taken some.
    pub(super) fn rebalanced(&mut self) {
        self.sight.rebalanced(Instant::now());
    }

    /// Goes as far as it can without waiting. `is_free`: nothing is assigned, nor is a rebalance under way.
    pub(super) fn advance(
        &mut self,
        client: &Arc<Client>,
        rebalances: &mut Rebalances,
        around: &mut Surroundings,
        is_free: bool,
    ) -> Result<(), Halt> {
        if matches!(self.stage, Stage::Leaving) && is_free {
            self.subscribe(client, around)?;
            self.stage = Stage::Content;
        }
        if matches!(self.stage, Stage::Content) && around.mailbox.is_in_trouble() {
            self.stage = later();
        }
        if matches!(self.stage, Stage::Content) && around.selection.has_patterns() && Instant::now() >= self.refresh {
            self.stage = Stage::Due(Instant::now());
        }
        if matches!(self.stage, Stage::Due(at) if Instant::now() >= at) {
            let (client, search) = (Arc::clone(client), around.selection.search());
            let errand = Errand::run("kafka-topics", &around.wake, move || ask(&client, &search));
            self.stage = errand.map_or_else(|_| later(), Stage::Asking);
        }
        let Stage::Asking(errand) = &self.stage else { return Ok(()) };
        let Some(answer) = errand.answer() else { return Ok(()) };
        self.stage = later();
        let Some(Answer { finding, found }) = answer else { return Ok(()) };
        if finding != Finding::Unreachable {
            around.was_reached = true;
            around.heard = Instant::now();
            client.obstacles().clear();
        }
        let mut rest = Rest::Nothing;
        match found.map(|found| around.selection.take(found, Instant::now())) {
            None => {}
            Some(Outcome::Taken { changed, is_back, rest: left }) => {
                rest = left;
                self.sight.see_found(is_back, rest == Rest::Missing, Instant::now());
                if changed {
                    around.forget_given_up();
                }
                if changed && self.joined {
                    self.subscribe(client, around)?;
                }
            }
            Some(Outcome::Refused(say)) => return Err(Halt::Fail(SourceError::Misconfigured(say))),
            Some(Outcome::Unknown(say)) => {
                around.mailbox.trouble(Until::Answered, say);
                return Ok(());
            }
        }
        match finding {
            Finding::AllThere => {
                around.mailbox.answered();
                self.refresh = Instant::now() + until_refresh(around.config.topic_refresh, SystemTime::now());
                self.stage = match rest {
                    Rest::Nothing => Stage::Content,
                    Rest::Missing => Stage::Due(Instant::now() + AGAIN / 3),
                    Rest::Unanswered => later(),
                };
                // Whether everything is in sight is known in a moment.
                if self.joined && rest == Rest::Missing {
                    return Ok(());
                }
                self.join(client, rebalances, around)
            }
            Finding::Missing(topic) => {
                self.missing += 1;
                // A topic that is deleted under a running daemon may come back; one that never was there is a mistake.
                if self.missing < SURE && !around.was_assigned {
                    self.stage = Stage::Due(Instant::now() + AGAIN / 3);
                    return Ok(());
                }
                self.sight.lose(Instant::now());
                around.mistake(faults::missing(&topic))
            }
            Finding::Forbidden(topics) => {
                self.sight.lose(Instant::now());
                around.mistake(faults::forbidden(&topics))
            }
            Finding::Unreachable => match client.obstacles().last() {
                Some(Obstacle::Refused(say)) if !around.was_reached => Err(Halt::Refused(say)),
                obstacle => {
                    around.mailbox.trouble(Until::Answered, faults::unreachable(obstacle, &around.config));
                    Ok(())
                }
            },
        }
    }

    /// Joins the group; or, if it is a member already, has it look at the topics again.
    fn join(&mut self, client: &Client, rebalances: &mut Rebalances, around: &Surroundings) -> Result<(), Halt> {
        let regained = self.sight.regain();
        match regained {
            Regained::Nothing if self.joined => Ok(()),
            // Under KIP-848 the brokers assign, and they see everything.
            Regained::Rebalance if self.joined && around.config.protocol != GroupProtocol::Consumer => {
                info!("the group is joined anew, since it rebalanced while topics were out of sight");
                rebalances.push(Change::Leave);
                self.stage = Stage::Leaving;
                Ok(())
            }
            _ => self.subscribe(client, around),
        }
    }

    /// To what is to be read now.
    fn subscribe(&mut self, client: &Client, around: &Surroundings) -> Result<(), Halt> {
        let topics = around.selection.topics();
        let names: Vec<&str> = topics.iter().map(Topic::as_str).collect();
        if names.is_empty() {
            stand_by(self.joined, client, around);
        } else {
            client
                .consumer()
                .subscribe(&names)
                .map_err(|error| Halt::Rebuild(format!("the topics could not be subscribed: {error}")))?;
        }
        self.joined = true;
        self.missing = 0;
        Ok(())
    }
}

impl Surroundings {
    /// What can't work as it is set up ends the source, but only as long as nothing ever worked: later it was somebody else's change,
    /// which may be undone.
    pub(super) fn mistake(&self, say: String) -> Result<(), Halt> {
        if !self.was_assigned {
            return Err(Halt::Fail(SourceError::Misconfigured(say)));
        }
        self.mailbox.trouble(Until::Answered, say);
        Ok(())
    }
}

/// There is nothing for the patterns: the group needs no member that reads nothing.
fn stand_by(joined: bool, client: &Client, around: &Surroundings) {
    if joined {
        client.consumer().unsubscribe();
    } else {
        around.mailbox.tell(Event::Assigned(Vec::new()));
        around.mailbox.assigned();
    }
}

/// Looks at everything that is read, or may be.
fn ask(client: &Client, search: &Search) -> Answer {
    let client = client.consumer().client();
    let unreachable = Answer { finding: Finding::Unreachable, found: None };
    let Ok(mut described) = describe(client, &search.named(), PATIENCE) else { return unreachable };
    if !search.has_patterns() {
        return Answer { finding: find(&described), found: None };
    }
    let Ok(listed) = list(client, PATIENCE) else { return unreachable };
    let known: Vec<Topic> = listed.topics.iter().filter(|topic| search.knows(topic)).cloned().collect();
    let rights = listed.rights(client, &known).into_iter();
    described.extend(rights.map(|(topic, rights)| Described {
        topic,
        partitions: Ok(1),
        rights: Some(rights),
        id: None,
    }));
    let finding = find(&described);
    // Where the daemon can't start anyway, nothing should be made for it.
    let is_vain = finding != Finding::AllThere && !search.is_repeated();
    let found = (!is_vain).then(|| {
        search.find(&listed.topics, |new| {
            let rights = listed.rights(client, new);
            let is_forbidden = |topic| rights.iter().any(|(known, rights)| known == topic && !rights.read);
            new.iter().filter(|topic| !is_forbidden(*topic)).cloned().collect()
        })
    });
    Answer { finding, found }
}

/// How long until the clock shows a multiple of `period`: so all members of the group look at the same time, and a new topic costs it one
/// rebalance, not one for each.
fn until_refresh(period: Duration, now: SystemTime) -> Duration {
    let period = period.as_nanos().max(1);
    let passed = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos()) % period;
    Duration::from_nanos(u64::try_from(period - passed).unwrap_or(u64::MAX))
}

fn later() -> Stage {
    Stage::Due(Instant::now() + AGAIN)
}

/// What the brokers' answer comes down to.
fn find(topics: &[Described]) -> Finding {
    let is_forbidden = |described: &&Described| match described.partitions {
        Err(code) => code == Code::TopicAuthorizationFailed,
        Ok(_) => described.rights.is_some_and(|rights| !rights.read),
    };
    let forbidden: Vec<Topic> = topics.iter().filter(is_forbidden).map(|described| described.topic.clone()).collect();
    if !forbidden.is_empty() {
        return Finding::Forbidden(forbidden);
    }
    // Any other error is a passing one: the group can be joined meanwhile.
    let unknown = [Code::UnknownTopicOrPartition, Code::UnknownTopic, Code::InvalidTopic];
    let missing = topics.iter().find(|described| described.partitions.is_err_and(|code| unknown.contains(&code)));
    missing.map_or(Finding::AllThere, |described| Finding::Missing(described.topic.clone()))
}

#[cfg(test)]
mod tests {
    use super::super::native::Rights;
    use super::*;

    fn described(topic: &str, partitions: Result<usize, Code>, read: Option<bool>) -> Described {
        Described {
            topic: Topic::from(topic),
            partitions,
            rights: read.map(|read| Rights { read, write: false }),
            id: None,
        }
    }

    #[test]
    fn all_topics_that_may_not_be_read_are_named_at_once() {
        let answer = vec![
            described("fine", Ok(1), Some(true)),
            described("hidden", Err(Code::TopicAuthorizationFailed), None),
            described("seen", Ok(1), Some(false)),
            described("missing", Err(Code::UnknownTopicOrPartition), None),
        ];
        assert_eq!(find(&answer), Finding::Forbidden(vec!["hidden".into(), "seen".into()]));
    }

    #[test]
    fn brokers_that_tell_no_rights_are_believed_to_grant_them() {
        assert_eq!(find(&[described("fine", Ok(1), None)]), Finding::AllThere);
    }

    #[test]
    fn members_look_for_topics_at_the_same_time() {
        let at = |millis| until_refresh(Duration::from_secs(30), UNIX_EPOCH + Duration::from_millis(millis));
        assert_eq!([0, 1, 29_999, 90_000].map(at), [30_000, 29_999, 1, 30_000].map(Duration::from_millis));
    }

    #[test]
    fn an_error_that_passes_keeps_nobody_from_joining() {
        assert_eq!(find(&[described("busy", Err(Code::RequestTimedOut), None)]), Finding::AllThere);
    }
}
