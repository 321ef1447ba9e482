//! Which topics are out of our sight, and whether the group rebalanced meanwhile.
//!
//! Owner: a session's start. The member that leads a classic rebalance assigns nothing of a topic that it does not see at that moment, and
//! nothing brings about another one: librdkafka takes the topic for unchanged when it sees it again. So whoever was part of such a
//! rebalance has to join the group anew.

use std::time::{Duration, Instant};

/// For how long a topic may have been out of sight before that is noticed.
const UNNOTICED: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// The group's client may have lost sight of a topic, and would look again only minutes later.
    is_lost: bool,
    /// Since when a topic that is read was out of sight, as far as is known.
    blind: Option<Instant>,
    /// Since when one that a pattern has found is: it may be gone, and nothing is to be made good then.
    unseen: Option<Instant>,
    /// When partitions were given or taken last.
    rebalanced: Option<Instant>,
}

/// What the group's client has to do once everything is in sight.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Regained {
    /// Nothing: it saw everything all along.
    Nothing,
    /// To look at the topics again.
    Sight,
    /// The same, and the group may have rebalanced without a topic.
    Rebalance,
}

impl Sight {
    /// Something is wrong with a topic.
    pub(super) fn doubt(&mut self) {
        self.is_lost = true;
    }

    /// A topic that is read is out of sight.
    pub(super) fn lose(&mut self, now: Instant) {
        self.is_lost = true;
        self.blind.get_or_insert(now);
    }

    /// Topics that patterns have found: whether one is back that was out of sight, and whether one still is, or is gone.
    pub(super) fn see_found(&mut self, is_back: bool, is_missing: bool, now: Instant) {
        if is_back && let Some(since) = self.unseen {
            self.is_lost = true;
            self.blind = Some(self.blind.map_or(since, |blind| blind.min(since)));
        }
        self.unseen = is_missing.then(|| self.unseen.unwrap_or(now));
    }

    /// The group has given us partitions, or taken some.
    pub(super) fn rebalanced(&mut self, now: Instant) {
        self.rebalanced = Some(now);
    }

    /// Everything that is read is in sight.
    pub(super) fn regain(&mut self) -> Regained {
        let (is_lost, blind) = (std::mem::take(&mut self.is_lost), self.blind.take());
        let was_blind = self.rebalanced.zip(blind).is_some_and(|(at, since)| at + UNNOTICED >= since);
        match (is_lost, was_blind) {
            (false, _) => Regained::Nothing,
            (true, false) => Regained::Sight,
            (true, true) => Regained::Rebalance,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now) + Duration::from_secs(seconds)
    }

    /// One whose last rebalance was then.
    fn rebalanced(seconds: u64) -> Sight {
        let mut sight = Sight::default();
        sight.rebalanced(at(seconds));
        sight
    }

    #[test]
    fn a_rebalance_counts_that_fell_into_the_dark_or_shortly_before_it_was_noticed() {
        for (last, expected) in [(105, Regained::Rebalance), (95, Regained::Rebalance), (80, Regained::Sight)] {
            let mut sight = rebalanced(last);
            sight.lose(at(100));
            sight.lose(at(200));
            assert_eq!(sight.regain(), expected, "{last}");
            assert_eq!(sight.regain(), Regained::Nothing, "it is made good");
        }
        let mut sight = rebalanced(100);
        sight.doubt();
        assert_eq!(sight.regain(), Regained::Sight, "all topics were there");
    }

    #[test]
    fn a_topic_that_a_pattern_has_found_counts_once_it_is_back() {
        let mut sight = rebalanced(101);
        sight.see_found(false, true, at(100));
        sight.see_found(false, true, at(130));
        sight.see_found(true, false, at(131));
        assert_eq!(sight.regain(), Regained::Rebalance);
        sight.see_found(true, false, at(132));
        assert_eq!(sight.regain(), Regained::Nothing, "it was not missing");
    }

    #[test]
    fn a_topic_that_is_gone_is_no_reason_to_join_anew() {
        let mut sight = rebalanced(101);
        sight.see_found(false, true, at(100));
        sight.see_found(false, false, at(101));
        assert_eq!(sight.regain(), Regained::Nothing);
    }
}
