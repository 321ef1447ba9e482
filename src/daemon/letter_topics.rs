//! The topics for dead letters: that they are there, and may be written, before anything is read whose letters they are for.
//!
//! Those of the router's own topics are looked for before the source starts; those of topics that a pattern finds when it finds them, by
//! the source's thread, which then waits for the answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{DaemonContext, DaemonError};
use crate::handler::{Router, Selector, TopicTable, Unhandled};
use crate::kafka::{AdminError, Admission, Admit, KafkaAdmin, KafkaConfig, REFUSALS, missing};
use crate::record::Topic;

/// Pause between two looks while no broker answers.
const RETRY: Duration = Duration::from_secs(1);

/// What to do about a dead-letter topic that does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Deserialize, serde::Serialize, schemars::JsonSchema))]
#[cfg_attr(feature = "cli", serde(rename_all = "snake_case"))]
pub enum MissingDeadLetterTopic {
    /// The daemon doesn't start, and says which topic to create. One that runs leaves a topic alone that a pattern finds, and says so too.
    #[default]
    Refuse,
    /// It is created, with as many partitions as the topic that its letters come from.
    Create,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct LetterTopics {
    pub(super) daemon: String,
    pub(super) kafka: KafkaConfig,
    pub(super) missing: MissingDeadLetterTopic,
}

/// What came of looking for a topic.
enum Looked {
    There,
    /// No answer: look again.
    Unknown(AdminError),
    /// Somebody has to change something.
    Refused(String),
}

impl LetterTopics {
    /// Finds, or creates, those that are known from the start. Waits while no broker answers; `false` if a stop came first.
    pub(super) async fn find(&self, router: &Router, context: &DaemonContext) -> Result<bool, DaemonError> {
        let mut wanted = self.known(router);
        if wanted.is_empty() {
            return Ok(true);
        }
        let mut admin = KafkaAdmin::new(&self.kafka).map_err(DaemonError::config)?;
        let mut refusals = 0;
        while let Some((source, letters)) = wanted.last().cloned() {
            context.health().heartbeat();
            let looked = tokio::select! {
                biased;
                () = context.stopped() => return Ok(false),
                looked = self.look(&admin, &source, &letters) => looked,
            };
            match looked {
                Looked::There => drop(wanted.pop()),
                Looked::Refused(say) => return Err(DaemonError::config(say)),
                Looked::Unknown(error) => {
                    if let AdminError::NotLetIn(_) = error {
                        refusals += 1;
                        if refusals == REFUSALS {
                            return Err(DaemonError::config(error));
                        }
                        // One that was refused says so only now and then.
                        admin = KafkaAdmin::new(&self.kafka).map_err(DaemonError::config)?;
                    }
                    warn!(daemon = self.daemon, topic = letters.as_str(), %error, "no broker answers about the topic, trying again");
                    context.health().not_ready(error.to_string());
                    tokio::select! {
                        biased;
                        () = context.stopped() => return Ok(false),
                        () = sleep(RETRY) => {}
                    }
                }
            }
        }
        Ok(true)
    }

    /// What is read, and where its letters go.
    fn known(&self, router: &Router) -> Vec<(Selector, Topic)> {
        let routes = router.settings().filter_map(|(selector, route)| {
            let letters = match &selector {
                Selector::Topic(topic) => route.dead_letter_topic(topic),
                // One that is to be created gets the partitions of the first topic that is found.
                Selector::Pattern(_) if self.missing == MissingDeadLetterTopic::Create => None,
                Selector::Pattern(_) => route.named_letters().cloned(),
            };
            Some((selector, letters?))
        });
        routes.collect()
    }

    /// Answers for topics that a pattern finds, on threads that may be blocked. To be called on the runtime that they wait for.
    pub(super) fn admission(self, router: &Router) -> Option<Arc<Admit>> {
        router.patterns().next()?;
        let (routes, runtime) = (router.unhandled(), Handle::current());
        Some(Arc::new(move |topics: &[Topic]| runtime.block_on(self.admit(&routes, topics))))
    }

    async fn admit(&self, routes: &TopicTable<Unhandled>, topics: &[Topic]) -> Vec<Admission> {
        let mut answers = Vec::with_capacity(topics.len());
        let mut admin = None;
        let mut silent: Option<String> = None;
        for topic in topics {
            let Some(letters) = routes.find(topic).one().and_then(|unhandled| unhandled.letters_of(topic)) else {
                answers.push(Admission::Granted);
                continue;
            };
            let source = Selector::Topic(topic.clone());
            let looked = match (&silent, &admin) {
                (Some(say), _) => Err(say.clone()),
                (None, Some(admin)) => Ok(self.look(admin, &source, &letters).await),
                (None, None) => match KafkaAdmin::new(&self.kafka) {
                    Ok(new) => Ok(self.look(admin.insert(new), &source, &letters).await),
                    Err(error) => Err(error.to_string()),
                },
            };
            answers.push(match looked {
                Ok(Looked::There) => Admission::Granted,
                Ok(Looked::Refused(say)) => Admission::Refused(say),
                Ok(Looked::Unknown(error)) => Admission::Unknown(silent.insert(error.to_string()).clone()),
                // Nor would they answer about the others.
                Err(say) => Admission::Unknown(say),
            });
        }
        answers
    }

    async fn look(&self, admin: &KafkaAdmin, source: &Selector, letters: &Topic) -> Looked {
        match patiently(|| admin.writable(letters)).await {
            Ok(Some(_)) => return Looked::There,
            Ok(None) if self.missing == MissingDeadLetterTopic::Refuse => {
                return Looked::Refused(format!(
                    "topic `{letters}` for the dead letters of `{}` does not exist: create it, name another one with `dead_letter`, \
                     or let the daemon create it with `missing_dead_letter_topic`",
                    source.as_str()
                ));
            }
            Ok(None) => {}
            Err(error) => return Looked::unanswered(error),
        }
        let partitions = match source {
            Selector::Topic(source) => match patiently(|| admin.partitions(source)).await {
                Ok(Some(partitions)) => partitions,
                // It would get the letters of a topic that may be made with more.
                Ok(None) => return Looked::Refused(missing(source)),
                Err(error) => return Looked::unanswered(error),
            },
            Selector::Pattern(_) => 1,
        };
        match admin.create(letters, partitions).await {
            Ok(()) => {
                info!(daemon = self.daemon, topic = letters.as_str(), partitions, "dead-letter topic created");
                Looked::There
            }
            Err(error) => Looked::unanswered(error),
        }
    }
}

/// How many partitions a topic has. It is asked for a few times where it is missing: a broker learns of a new one a moment later than
/// another.
async fn patiently<A>(ask: impl Fn() -> A) -> Result<Option<usize>, AdminError>
where
    A: Future<Output = Result<Option<usize>, AdminError>>,
{
    for _ in 0..2 {
        if let Some(partitions) = ask().await? {
            return Ok(Some(partitions));
        }
        sleep(RETRY / 3).await;
    }
    ask().await
}

impl Looked {
    /// What is worth another look, and what is not.
    fn unanswered(error: AdminError) -> Self {
        match error {
            error @ (AdminError::Unavailable(_) | AdminError::NotLetIn(_)) => Self::Unknown(error),
            error => Self::Refused(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// What is answered in the end, and after how many questions, where a broker learns of the topic before this one.
    async fn asked(learns: u32) -> (Option<usize>, u32) {
        let questions = Cell::new(0);
        let ask = || {
            questions.set(questions.get() + 1);
            std::future::ready(Ok((questions.get() >= learns).then_some(4)))
        };
        (patiently(ask).await.expect("it answers"), questions.get())
    }

    #[tokio::test(start_paused = true)]
    async fn topic_that_a_broker_learns_of_a_moment_later_is_not_missing() {
        assert_eq!(asked(1).await, (Some(4), 1));
        assert_eq!(asked(3).await, (Some(4), 3));
        assert_eq!(asked(4).await, (None, 3));
    }
}
