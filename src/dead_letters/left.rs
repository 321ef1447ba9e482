//! Letters that are left where they are since nothing can be done with them, and what a pass has learned of that.
//!
//! Owner: the pass, through all its attempts. One letter that can't be written ends no re-drive: it is passed over, counted and told.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::LettersError;
use crate::record::{Offset, Partition, Topic};

/// A letter that was left where it is: it has no mark, so the next one who asks for it meets it again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Left {
    /// Its partition of the letters' topic.
    pub partition: Partition,
    /// Its offset there.
    pub offset: Offset,
    /// Why nothing could be done with it.
    pub why: LettersError,
}

/// Whoever hears of letters that are left; nobody by default.
#[derive(Clone, Default)]
pub(super) struct Ear(Option<Arc<Hear>>);

type Hear = dyn Fn(&Left) + Send + Sync;

impl Ear {
    pub(super) fn of(hear: impl Fn(&Left) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hear)))
    }

    pub(super) fn tell(&self, left: &Left) {
        if let Some(hear) = &self.0 {
            hear(left);
        }
    }
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ear").field(&self.0.is_some()).finish()
    }
}

/// What stood in the way so far.
#[derive(Debug, Default)]
pub(super) struct Obstacles {
    /// Letters whose records the brokers have refused once they were sent.
    refused: HashMap<(Partition, Offset), LettersError>,
    /// Topics that no record can go to.
    closed: HashMap<Topic, LettersError>,
    /// The size of the smallest record that each topic has refused.
    too_large: HashMap<Topic, usize>,
}

impl Obstacles {
    /// Notes what an attempt has ended with. Whether another one can pass it over: not where it says nothing new.
    pub(super) fn learn(&mut self, error: &LettersError) -> bool {
        match error {
            LettersError::TooLarge { partition, offset, .. } => {
                self.refused.insert((*partition, *offset), error.clone()).is_none()
            }
            LettersError::UnknownTopic(target) => self.close(target, error),
            _ => false,
        }
    }

    /// Nothing can be written to this topic.
    pub(super) fn close(&mut self, target: &Topic, why: &LettersError) -> bool {
        self.closed.insert(target.clone(), why.clone()).is_none()
    }

    /// A record of this size is too large for its topic.
    pub(super) fn is_too_large(&mut self, target: &Topic, size: usize) {
        let smallest = self.too_large.entry(target.clone()).or_insert(size);
        *smallest = size.min(*smallest);
    }

    /// Why a letter can't be written, as far as that is known.
    pub(super) fn of(&mut self, place: (Partition, Offset), target: &Topic, size: usize) -> Option<LettersError> {
        if let Some(why) = self.refused.get(&place).cloned() {
            self.is_too_large(target, size);
            return Some(why);
        }
        self.closed.get(target).cloned()
    }

    /// Whether a record as small was refused before. It may get through all the same, as one that is compressed better.
    pub(super) fn suspects(&self, target: &Topic, size: usize) -> bool {
        self.too_large.get(target).is_some_and(|smallest| size >= *smallest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_known_and_what_is_as_large_is_suspected() {
        let mut obstacles = Obstacles::default();
        let (orders, bills) = (Topic::from("orders"), Topic::from("bills"));
        let place = |offset| (Partition(0), Offset(offset));
        let large = |offset| LettersError::TooLarge {
            partition: Partition(0),
            offset: Offset(offset),
            target: Topic::from("orders"),
        };
        assert!(obstacles.learn(&large(7)));
        assert!(!obstacles.learn(&large(7)), "it is known, so the next attempt would end there too");
        assert!(!obstacles.learn(&LettersError::Replaced));
        assert!(!obstacles.suspects(&orders, 100), "how large it was is not known yet");
        assert_eq!(obstacles.of(place(7), &orders, 100), Some(large(7)));
        assert_eq!(obstacles.of(place(8), &orders, 100), None);
        let suspected = |size| obstacles.suspects(&orders, size);
        assert_eq!((suspected(99), suspected(100), obstacles.suspects(&bills, 100)), (false, true, false));
        let gone = LettersError::UnknownTopic(bills.clone());
        assert!(obstacles.learn(&gone) && !obstacles.learn(&gone));
        assert_eq!(obstacles.of(place(9), &bills, 1), Some(gone));
    }
}
