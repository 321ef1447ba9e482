//! What stands in the way of the reading, from when it is noticed until it is over. A pure part: the clock is its owner's.
//!
//! Owner: the mailbox. The newest trouble stands for all: one that is told again and again says no more, and what is told last is what
//! the probes say.

use std::time::{Duration, Instant};

/// How often a trouble that stands is told again.
const REMINDER: Duration = Duration::from_secs(30);

/// What shows that a trouble is over, beside the brokers' answer that the topics are there to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Nothing else.
    Answered,
    /// That no fetch fails any more; one that does is begun again after a second.
    Fetched,
    /// That no fetch brings what can't be read any more; one that does is begun again after ten seconds.
    Read,
    /// An assignment, or that it isn't heard of any more; librdkafka repeats itself after ten seconds.
    Assigned,
}

impl Until {
    /// How long it must have gone unnoticed.
    fn unnoticed(self) -> Duration {
        match self {
            Self::Answered => Duration::ZERO,
            Self::Fetched => Duration::from_secs(3),
            Self::Read | Self::Assigned => Duration::from_secs(15),
        }
    }
}

#[derive(Debug)]
struct Trouble {
    /// In words that say what to do.
    say: String,
    until: Until,
    noticed: Instant,
    told: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    standing: Option<Trouble>,
    /// Whether somebody is to hear of it.
    news: bool,
}

impl Troubles {
    /// A trouble is noticed. Whether there is something to tell.
    pub(super) fn notice(&mut self, until: Until, say: String, now: Instant) -> bool {
        match &mut self.standing {
            Some(known) if known.say == say && now < known.told + REMINDER => known.noticed = now,
            standing => {
                *standing = Some(Trouble { say, until, noticed: now, told: now });
                self.news = true;
            }
        }
        self.news
    }

    /// The brokers answer, and the topics are there to be read. Whether there is something to tell.
    pub(super) fn answered(&mut self, now: Instant) -> bool {
        self.end_where(|trouble| now >= trouble.noticed + trouble.until.unnoticed())
    }

    /// The group has taken this member in. Whether there is something to tell.
    pub(super) fn assigned(&mut self) -> bool {
        self.end_where(|trouble| trouble.until == Until::Assigned)
    }

    fn end_where(&mut self, is_over: impl FnOnce(&Trouble) -> bool) -> bool {
        self.news |= self.standing.take_if(|trouble| is_over(trouble)).is_some();
        self.news
    }

    /// Whether anything stands in the way.
    pub(super) fn is_any(&self) -> bool {
        self.standing.is_some()
    }

    /// What is to be told, once: the trouble, or that there is none any more.
    pub(super) fn take_news(&mut self) -> Option<Option<String>> {
        std::mem::take(&mut self.news).then(|| self.standing.as_ref().map(|trouble| trouble.say.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_trouble_that_stands_is_told_once_and_then_from_time_to_time() {
        let (mut troubles, start) = (Troubles::default(), Instant::now());
        let mut told = Vec::new();
        for second in 0..65 {
            troubles.notice(Until::Answered, "down".to_owned(), start + seconds(second));
            told.extend(troubles.take_news().map(|_| second));
        }
        assert_eq!(told, [0, 30, 60]);
    }

    #[test]
    fn another_trouble_is_told_at_once() {
        let (mut troubles, now) = (Troubles::default(), Instant::now());
        troubles.notice(Until::Answered, "down".to_owned(), now);
        troubles.notice(Until::Answered, "refused".to_owned(), now);
        assert_eq!(troubles.take_news(), Some(Some("refused".to_owned())));
        assert_eq!(troubles.take_news(), None);
    }

    #[test]
    fn each_trouble_ends_with_what_shows_that_it_is_over() {
        let now = Instant::now();
        for (until, unnoticed, by_assignment) in [
            (Until::Answered, 0, false),
            (Until::Fetched, 3, false),
            (Until::Read, 15, false),
            (Until::Assigned, 15, true),
        ] {
            let noticed = || {
                let mut troubles = Troubles::default();
                troubles.notice(until, "trouble".to_owned(), now);
                troubles.take_news();
                troubles
            };
            let mut troubles = noticed();
            assert_eq!(troubles.assigned(), by_assignment, "{until:?}");
            let mut troubles = noticed();
            assert!(unnoticed == 0 || !troubles.answered(now + seconds(unnoticed - 1)), "{until:?}");
            assert!(troubles.answered(now + seconds(unnoticed)), "{until:?}");
            assert_eq!((troubles.take_news(), troubles.is_any()), (Some(None), false));
        }
    }

    #[test]
    fn an_end_that_nobody_waits_for_is_not_told() {
        let mut troubles = Troubles::default();
        assert!(!troubles.answered(Instant::now()) && !troubles.assigned());
        assert_eq!(troubles.take_news(), None);
    }
}
