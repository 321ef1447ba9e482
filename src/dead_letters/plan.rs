//! What a re-drive would do, and where its records would come from and go to.

use super::letter::View;
use super::opened::{Opened, Pile};
use super::redrive::{Verdict, judge};
use super::register::Time;
use super::watch::Watch;
use super::{Counts, LettersError, Redrive};
use crate::record::Topic;

/// How many origins are told apart. Letters say theirs themselves, so there may be any number.
const ORIGINS: usize = 100;
/// After how many records somebody is told how far it is.
const TOLD: u64 = 500;

/// What a re-drive would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// How many letters, and what becomes of the others.
    pub counts: Counts,
    /// Where the selected ones' records go, in the order in which their origins were met.
    pub ways: Vec<Way>,
    /// Selected letters of further origins, of which a hundred are told apart.
    pub others: u64,
}

/// Records that come from one topic and go to one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Way {
    /// Where they were read.
    pub origin: Topic,
    /// Where they would be written.
    pub target: Topic,
    /// How many there are.
    pub letters: u64,
}

impl Plan {
    fn add(&mut self, origin: &str, target: Option<&Topic>) {
        if let Some(way) = self.ways.iter_mut().find(|way| way.origin.as_str() == origin) {
            way.letters += 1;
        } else if self.ways.len() < ORIGINS {
            let origin = Topic::from(origin);
            let target = target.unwrap_or(&origin).clone();
            self.ways.push(Way { origin, target, letters: 1 });
        } else {
            self.others += 1;
        }
    }
}

/// Looks at all letters, and writes nothing.
pub(super) fn plan(pile: &Pile<'_>, request: &Redrive, watch: &Watch) -> Result<Plan, LettersError> {
    let mut plan = Plan::default();
    let Opened { mut reader, marks, spans, .. } = pile.open(&request.filter, Time::any())?;
    reader.open(pile.topic, &spans)?;
    let mut seen = 0_u64;
    while let Some(record) = reader.next()? {
        let view = View::of(record.headers().collect());
        let mark = marks.of(record.partition(), record.offset());
        let verdict = judge(&record, &view, mark, &request.filter, Some(request.cap));
        plan.counts.count(verdict);
        if let (Verdict::Selected, Ok(view)) = (verdict, &view) {
            plan.add(view.topic, request.target.as_ref());
        }
        seen += 1;
        if seen.is_multiple_of(TOLD) {
            watch.tell(plan.counts)?;
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_told_apart_up_to_a_bound() {
        let mut plan = Plan::default();
        for number in 0..ORIGINS + 2 {
            plan.add(&format!("topic-{number}"), None);
            plan.add("topic-0", None);
        }
        assert_eq!((plan.ways.len(), plan.others), (ORIGINS, 2));
        let first = Way { origin: "topic-0".into(), target: "topic-0".into(), letters: ORIGINS as u64 + 3 };
        assert_eq!(plan.ways[0], first);
    }
}
