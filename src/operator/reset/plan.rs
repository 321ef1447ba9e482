//! What a reset does to each partition: pure.

use super::to::To;
use crate::operator::standing::{Place, between};
use crate::record::{Offset, TopicPartition};

/// A partition of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) place: TopicPartition,
    /// What is committed now.
    pub(super) committed: Option<Offset>,
    /// What is to be; none where it is left as it is.
    pub(super) to: Option<Offset>,
    /// At most so many records run again.
    pub(super) again: u64,
    /// At most so many records are passed over.
    pub(super) skipped: u64,
    /// Records above the commit that are remembered as finished: they run again where they are not passed over.
    pub(super) forgotten: u64,
    pub(super) note: Option<String>,
    /// Whether it isn't known what there is: the whole plan is then none.
    pub(super) is_unclear: bool,
}

/// What a place is looked up by, beside what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    None,
    /// The offset of the time, if there is a record; or why that isn't known.
    Time(Result<Option<Offset>, String>),
    /// What the other group has committed.
    Other(Option<Offset>),
}

impl Step {
    pub(super) fn of(place: &Place, to: &To, lookup: Lookup) -> Self {
        let left = Self {
            place: place.place.clone(),
            committed: place.committed.as_ref().map(|commit| commit.next.offset()),
            to: None,
            again: 0,
            skipped: 0,
            forgotten: 0,
            note: None,
            is_unclear: false,
        };
        let span = match &place.span {
            Ok(span) => *span,
            Err(trouble) => return Self { note: Some(trouble.say()), is_unclear: true, ..left },
        };
        let mut note = None;
        let wish = match (to, lookup) {
            (To::Earliest, _) => span.first,
            (To::Latest, _) => span.end,
            (To::Offset(offset), _) => *offset,
            (To::Shift(by), _) => match left.committed {
                Some(committed) => Offset(committed.0.saturating_add(*by)),
                None => {
                    return Self { note: Some("nothing is committed to count from: left as it is".to_owned()), ..left };
                }
            },
            (To::Time(_), Lookup::Time(Ok(Some(offset)))) => offset,
            (To::Time(_), Lookup::Time(Ok(None))) => {
                note = Some("no record is so young: the end".to_owned());
                span.end
            }
            (To::Time(_), Lookup::Time(Err(error))) => return Self { note: Some(error), is_unclear: true, ..left },
            (To::Group(_), Lookup::Other(Some(offset))) => offset,
            (To::Group(group), Lookup::Other(None)) => {
                let note = format!("group `{group}` has committed nothing for it: left as it is");
                return Self { note: Some(note), ..left };
            }
            (To::Time(_) | To::Group(_), _) => {
                return Self { note: Some("nobody looked it up".to_owned()), is_unclear: true, ..left };
            }
        };
        let goal = Offset(wish.0.clamp(span.first.0, span.end.0));
        if goal < wish {
            note = Some(format!("there is no offset {wish}: the end"));
        } else if goal > wish {
            note = Some(format!("offset {wish} is gone: the first that there is"));
        }
        // What is remembered above it is forgotten there too: whoever asks for a place wants what follows it to run.
        if left.committed == Some(goal) && place.finished_above() == 0 {
            return Self { note: note.or(Some("is there already: left as it is".to_owned())), ..left };
        }
        // What there is not is neither passed over nor run again.
        let from = left.committed.map_or(goal, |committed| Offset(committed.0.clamp(span.first.0, span.end.0)));
        Self {
            to: Some(goal),
            again: between(goal, from),
            skipped: between(from, goal),
            forgotten: place.finished_above(),
            note,
            ..left
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::standing::Trouble;
    use crate::operator::standing::tests::{place, with_finished};
    use crate::record::Timestamp;

    fn step(committed: Option<i64>, to: &To) -> Step {
        Step::of(&with_finished(place(0, committed, 10, 50), Ok(3)), to, Lookup::None)
    }

    /// To, run again, passed over, forgotten.
    fn numbers(step: &Step) -> (Option<i64>, u64, u64, u64) {
        (step.to.map(|to| to.0), step.again, step.skipped, step.forgotten)
    }

    #[test]
    fn each_place_says_what_runs_again_and_what_is_passed_over() {
        let of = |to: To| numbers(&step(Some(30), &to));
        assert_eq!(of(To::Earliest), (Some(10), 20, 0, 3));
        assert_eq!(of(To::Latest), (Some(50), 0, 20, 3));
        assert_eq!(of(To::Offset(Offset(25))), (Some(25), 5, 0, 3));
        assert_eq!(of(To::Shift(-4)), (Some(26), 4, 0, 3));
        assert_eq!(of(To::Shift(4)), (Some(34), 0, 4, 3));
    }

    #[test]
    fn a_place_that_there_is_not_becomes_the_nearest_and_says_so() {
        let said = |committed, to: To| {
            let step = step(committed, &to);
            (numbers(&step).0, step.note.unwrap_or_default())
        };
        assert_eq!(
            said(Some(30), To::Offset(Offset(3))),
            (Some(10), "offset 3 is gone: the first that there is".into())
        );
        assert_eq!(said(Some(30), To::Offset(Offset(51))), (Some(50), "there is no offset 51: the end".into()));
        assert_eq!(said(Some(30), To::Shift(i64::MAX)).0, Some(50));
        assert_eq!(said(Some(30), To::Shift(-100)).0, Some(10));
    }

    #[test]
    fn what_is_there_already_is_left_unless_it_remembers_finished_records() {
        let there = Step::of(&place(0, Some(30), 10, 50), &To::Shift(0), Lookup::None);
        assert_eq!(numbers(&there), (None, 0, 0, 0));
        assert_eq!(there.note.as_deref(), Some("is there already: left as it is"));
        assert_eq!(numbers(&step(Some(30), &To::Shift(0))), (Some(30), 0, 0, 3));
    }

    #[test]
    fn a_partition_without_a_commit_gets_one_unless_it_is_to_count_from_it() {
        assert_eq!(numbers(&step(None, &To::Latest)), (Some(50), 0, 0, 0));
        let counted = step(None, &To::Shift(-1));
        assert_eq!((counted.to, counted.is_unclear), (None, false));
        assert!(counted.note.is_some());
    }

    #[test]
    fn what_was_removed_unread_is_neither_run_again_nor_passed_over() {
        assert_eq!(numbers(&step(Some(2), &To::Latest)), (Some(50), 0, 40, 3));
        assert_eq!(numbers(&step(Some(2), &To::Earliest)), (Some(10), 0, 0, 3));
        // The topic was made anew.
        assert_eq!(numbers(&step(Some(90), &To::Earliest)), (Some(10), 40, 0, 0));
    }

    #[test]
    fn a_time_and_another_group_are_looked_up() {
        let place = place(0, Some(30), 10, 50);
        let time = To::Time(Timestamp::from_millis(1).expect("a time"));
        let at = |found| numbers(&Step::of(&place, &time, Lookup::Time(found))).0;
        assert_eq!((at(Ok(Some(Offset(20)))), at(Ok(None))), (Some(20), Some(50)));
        assert!(Step::of(&place, &time, Lookup::Time(Err("silence".to_owned()))).is_unclear);
        let other = To::Group("other".to_owned());
        let at = |found| Step::of(&place, &other, Lookup::Other(found));
        assert_eq!(at(Some(Offset(44))).to, Some(Offset(44)));
        assert_eq!((at(None).to, at(None).is_unclear), (None, false));
    }

    #[test]
    fn a_partition_of_which_nothing_is_known_makes_the_plan_unclear() {
        let place = Place { span: Err(Trouble::NoLeader), ..place(0, Some(30), 10, 50) };
        let step = Step::of(&place, &To::Latest, Lookup::None);
        assert_eq!((step.to, step.is_unclear), (None, true));
        assert_eq!(step.note.as_deref(), Some("no broker leads the partition"));
    }
}
