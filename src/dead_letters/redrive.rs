//! What a re-drive is to do, and what becomes of a letter in it.

use super::DeadLetter;
use super::letter::{NotALetter, REDRIVES, View};
use super::marks::MarkKind;
use super::{Filter, LettersError};
use crate::record::{OwnedRecord, Record, Timestamp, Topic};

/// How often a record may be re-driven, unless something else is said.
const CAP: u32 = 3;
/// How a filter that leaves no letter out says so.
const NOTHING_LEFT_OUT: &str = ", except: []";

/// A request to write letters' records again.
///
/// ```
/// use daemonry::dead_letters::{Filter, Redrive};
///
/// let request = Redrive::new("after-the-outage", Filter::all().error_contains("connection refused"))
///     .per_second(200.0)
///     .cap(5)
///     .by("ada");
/// ```
#[derive(Clone, Debug)]
pub struct Redrive {
    pub(super) request: String,
    pub(super) filter: Filter,
    pub(super) target: Option<Topic>,
    pub(super) per_second: Option<f64>,
    pub(super) cap: u32,
    pub(super) by: Option<String>,
    pub(super) edit: Option<Edit>,
}

impl Redrive {
    /// A request of this name (letters, digits, `.`, `_`, `-`), each record to the topic that it was read from. Run again under its name
    /// it goes on where it was, whatever ended it, and writes no record a second time.
    pub fn new(request: impl Into<String>, filter: Filter) -> Self {
        let request = request.into();
        Self { request, filter, target: None, per_second: None, cap: CAP, by: None, edit: None }
    }

    /// The same with all records to this topic.
    #[must_use]
    pub fn to_topic(self, topic: impl Into<Topic>) -> Self {
        Self { target: Some(topic.into()), ..self }
    }

    /// The same with at most this many records a second.
    #[must_use]
    pub fn per_second(self, records: f64) -> Self {
        Self { per_second: Some(records), ..self }
    }

    /// The same for letters whose records were re-driven less often than this (3 by default). Others are left where they are, and counted:
    /// what failed again and again must not go round for ever.
    #[must_use]
    pub fn cap(self, redrives: u32) -> Self {
        Self { cap: redrives, ..self }
    }

    /// The same with the name of who wants it, for the letters' marks.
    #[must_use]
    pub fn by(self, who: impl Into<String>) -> Self {
        Self { by: Some(who.into()), ..self }
    }

    /// Its name.
    #[cfg(feature = "api")]
    pub(crate) fn name(&self) -> &str {
        &self.request
    }

    /// Records a second, at most.
    #[cfg(feature = "api")]
    pub(crate) fn rate(&self) -> Option<f64> {
        self.per_second
    }

    /// Records that were re-driven so often are left.
    #[cfg(feature = "api")]
    pub(crate) fn most(&self) -> u32 {
        self.cap
    }

    pub(crate) fn check(&self) -> Result<(), LettersError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.request.is_empty() || self.request.len() > 100 || !self.request.chars().all(is_plain) {
            let name = &self.request;
            return Err(LettersError::Unusable(format!(
                "`{name}` can't name a request: use 1 to 100 letters, digits, `.`, `_` or `-`"
            )));
        }
        // An interval has to fit in a duration, and in a life.
        if self.per_second.is_some_and(|rate| !rate.is_finite() || rate < 0.001) {
            return Err(LettersError::Unusable("a rate is a number of at least 0.001 a second".to_owned()));
        }
        Ok(())
    }

    /// What the request does, as a text that is the same whenever it is run.
    pub(super) fn digest(&self) -> String {
        let text = format!("{:?} {:?} {:?}", self.filter, self.target, self.edit);
        // As it was before letters could be left out: what was begun then goes on.
        let text = text.replacen(NOTHING_LEFT_OUT, "", 1);
        // FNV-1a: no secret, only to be the same in every process.
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        format!("{hash:016x}")
    }
}

/// A change of a letter's record on its way: what is not named stays as it was. The letter itself is not changed, so the bytes as they were
/// stay there; what goes out says in `daemonry-edited-by`, `daemonry-edited-at` and `daemonry-edited-from` who changed it, when (milliseconds
/// since 1970 UTC), and from which letter (`topic:partition:offset`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    pub(super) by: String,
    key: Option<Option<Vec<u8>>>,
    value: Option<Option<Vec<u8>>>,
    headers: Option<OwnHeaders>,
}

/// Names and values, in order.
type OwnHeaders = Vec<(Vec<u8>, Option<Vec<u8>>)>;

impl Edit {
    /// Nothing changed yet, by this person.
    pub fn by(who: impl Into<String>) -> Self {
        Self { by: who.into(), ..Self::default() }
    }

    /// With this key; `None` for a record without one.
    #[must_use]
    pub fn key(self, key: Option<Vec<u8>>) -> Self {
        Self { key: Some(key), ..self }
    }

    /// With this value; `None` for a tombstone.
    #[must_use]
    pub fn value(self, value: Option<Vec<u8>>) -> Self {
        Self { value: Some(value), ..self }
    }

    /// With these headers, in this order.
    #[must_use]
    pub fn headers(self, headers: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Self {
        Self { headers: Some(headers), ..self }
    }

    /// What is changed.
    pub(super) fn names(&self) -> Vec<String> {
        let changed =
            [("key", self.key.is_some()), ("value", self.value.is_some()), ("headers", self.headers.is_some())];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name.to_owned()).collect()
    }

    fn apply(&self, record: &mut OwnedRecord, from: &str) {
        if let Some(key) = &self.key {
            record.key.clone_from(key);
        }
        if let Some(value) = &self.value {
            record.value.clone_from(value);
        }
        if let Some(headers) = &self.headers {
            record.headers.clone_from(headers);
        }
        let at = Timestamp::now().as_millis().to_string();
        for (name, value) in
            [("daemonry-edited-by", self.by.as_str()), ("daemonry-edited-at", &at), ("daemonry-edited-from", from)]
        {
            replace(record, name, value);
        }
    }
}

/// The record that is written for a letter: as it was, edited where that is wanted, with one more re-drive counted. Its time is the
/// present: with its own, the retention of its topic could remove it before it is read.
pub(super) fn outgoing(letter: &DeadLetter, edit: Option<&Edit>, from: &str) -> OwnedRecord {
    let mut record = OwnedRecord { timestamp: None, ..letter.record.clone() };
    if let Some(edit) = edit {
        edit.apply(&mut record, from);
    }
    replace(&mut record, REDRIVES, &letter.redrives.saturating_add(1).to_string());
    record
}

/// Has the record carry this header once, behind the others.
fn replace(record: &mut OwnedRecord, name: &str, value: &str) {
    record.headers.retain(|(found, _)| found != name.as_bytes());
    record.headers.push((name.into(), Some(value.into())));
}

/// What becomes of a record of the letters' topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is meant.
    Selected,
    /// It doesn't meet the conditions.
    Unmatched,
    /// It is no letter.
    Foreign,
    /// It was re-driven before.
    Redriven,
    /// It was discarded before.
    Discarded,
    /// Its record was re-driven too often.
    AtCap,
    /// It is meant, and can't be written.
    Unwritten,
}

/// Judges a record. `cap`: re-drives after which there is no other.
pub(super) fn judge(
    record: &Record,
    view: &Result<View<'_>, NotALetter>,
    mark: Option<MarkKind>,
    filter: &Filter,
    cap: Option<u32>,
) -> Verdict {
    if !filter.meets(record, view) {
        return Verdict::Unmatched;
    }
    let Ok(view) = view else { return Verdict::Foreign };
    match mark {
        Some(MarkKind::Redriven) if filter.leaves_out(mark) => Verdict::Redriven,
        Some(MarkKind::Discarded) if filter.leaves_out(mark) => Verdict::Discarded,
        _ if cap.is_some_and(|cap| view.redrives >= cap) => Verdict::AtCap,
        _ => Verdict::Selected,
    }
}

/// What became of the records that were looked at. All but the unmatched meet the filter's conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Re-driven, or discarded; in a dry run those that would be.
    pub selected: u64,
    /// Left, since their records were re-driven too often.
    pub at_cap: u64,
    /// Left, since they were re-driven before.
    pub already_redriven: u64,
    /// Left, since they were discarded before.
    pub already_discarded: u64,
    /// Left, since they are no letters.
    pub foreign: u64,
    /// Left, since their records can't be written: their topic is gone, or takes nothing as large. A dry run doesn't know them.
    pub unwritten: u64,
    /// Those that don't meet the filter's conditions.
    pub unmatched: u64,
}

impl Counts {
    pub(super) fn count(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Selected => &mut self.selected,
            Verdict::Unmatched => &mut self.unmatched,
            Verdict::Foreign => &mut self.foreign,
            Verdict::Redriven => &mut self.already_redriven,
            Verdict::Discarded => &mut self.already_discarded,
            Verdict::AtCap => &mut self.at_cap,
            Verdict::Unwritten => &mut self.unwritten,
        } += 1;
    }

    pub(super) fn add(&mut self, other: Self) {
        self.selected += other.selected;
        self.at_cap += other.at_cap;
        self.already_redriven += other.already_redriven;
        self.already_discarded += other.already_discarded;
        self.foreign += other.foreign;
        self.unwritten += other.unwritten;
        self.unmatched += other.unmatched;
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{letter_of, record_at};
    use super::*;
    use crate::record::{Offset, Partition};

    fn verdict(record: OwnedRecord, mark: Option<MarkKind>, filter: &Filter, cap: Option<u32>) -> Verdict {
        let record = record_at(0, 0, record);
        judge(&record, &View::of(record.headers().collect()), mark, filter, cap)
    }

    fn redriven(times: &str) -> OwnedRecord {
        letter_of(OwnedRecord::new("v").with_header("daemonry-redrives", times))
    }

    #[test]
    fn letters_at_the_cap_are_left() {
        let all = Filter::all();
        assert_eq!(verdict(letter_of(OwnedRecord::new("v")), None, &all, Some(1)), Verdict::Selected);
        assert_eq!(verdict(redriven("2"), None, &all, Some(3)), Verdict::Selected);
        assert_eq!(verdict(redriven("3"), None, &all, Some(3)), Verdict::AtCap);
        assert_eq!(verdict(redriven("4"), None, &all, Some(3)), Verdict::AtCap);
        assert_eq!(verdict(redriven("4"), None, &all, None), Verdict::Selected, "a discard knows no cap");
        assert_eq!(verdict(redriven("many"), None, &all, Some(1)), Verdict::Selected, "not written by a re-drive");
    }

    #[test]
    fn what_has_a_mark_is_left_unless_it_is_asked_for() {
        let letter = || redriven("0");
        let (redriven, discarded) = (Some(MarkKind::Redriven), Some(MarkKind::Discarded));
        assert_eq!(verdict(letter(), redriven, &Filter::all(), None), Verdict::Redriven);
        assert_eq!(verdict(letter(), discarded, &Filter::all().with_redriven(), None), Verdict::Discarded);
        assert_eq!(verdict(letter(), redriven, &Filter::all().with_redriven(), None), Verdict::Selected);
        assert_eq!(verdict(letter(), discarded, &Filter::all().with_discarded(), None), Verdict::Selected);
        assert_eq!(verdict(letter(), redriven, &Filter::all().key("x"), None), Verdict::Unmatched);
        assert_eq!(verdict(OwnedRecord::new("v"), None, &Filter::all(), None), Verdict::Foreign);
    }

    #[test]
    fn a_record_goes_out_as_it_came_in_with_one_more_redrive() {
        let record = OwnedRecord { key: Some(vec![]), value: None, headers: vec![(vec![0xff], None)], timestamp: None };
        let letter = DeadLetter::of(&letter_of(record.clone())).expect("a letter");
        assert_eq!(outgoing(&letter, None, ""), record.clone().with_header("daemonry-redrives", "1"));
        let again = letter_of(record.clone().with_header("daemonry-redrives", "1").with_header("later", "x"));
        let again = outgoing(&DeadLetter::of(&again).expect("a letter"), None, "");
        assert_eq!(again, record.with_header("later", "x").with_header("daemonry-redrives", "2"));
    }

    #[test]
    fn a_letter_of_a_letter_gives_back_the_letter() {
        let letter = letter_of(OwnedRecord::new("v"));
        let of_letter = DeadLetter::of(&letter_of(letter.clone())).expect("a letter");
        assert_eq!(outgoing(&of_letter, None, ""), letter.with_header("daemonry-redrives", "1"));
    }

    #[test]
    fn an_edit_changes_what_it_names_and_says_so() {
        let record = OwnedRecord::new("{").with_key("a").with_header("trace", "x");
        let letter = DeadLetter::of(&letter_of(record)).expect("a letter");
        let edit = Edit::by("ada").value(Some(b"{}".to_vec()));
        let out = outgoing(&letter, Some(&edit), "orders.dlq:0:7");
        assert_eq!((out.key.as_deref(), out.value.as_deref()), (Some(&b"a"[..]), Some(&b"{}"[..])));
        let names: Vec<_> = out.headers.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        let expected =
            ["trace", "daemonry-edited-by", "daemonry-edited-at", "daemonry-edited-from", "daemonry-redrives"];
        assert_eq!(names, expected);
        assert_eq!(edit.names(), ["value"]);
    }

    #[test]
    fn names_and_rates_that_cant_work_are_refused() {
        let named = |name: &str| Redrive::new(name, Filter::all());
        for request in [named(""), named("a/b"), named(&"x".repeat(101))] {
            assert!(matches!(request.check(), Err(LettersError::Unusable(_))), "{request:?}");
        }
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(named("a").per_second(rate).check().is_err(), "{rate}");
        }
        assert_eq!(named("a.b-c_1").per_second(0.5).check(), Ok(()));
    }

    #[test]
    fn a_request_is_told_by_what_it_does_and_not_by_how_fast() {
        let request = || Redrive::new("a", Filter::all().key("x"));
        assert_eq!(request().digest(), request().per_second(5.0).cap(1).by("ada").digest());
        assert_ne!(request().digest(), request().to_topic("t").digest());
        assert_ne!(request().digest(), Redrive::new("a", Filter::all()).digest());
        let except = |offset| Redrive::new("a", Filter::all().key("x").except(Partition(0), Offset(offset)));
        assert_ne!(request().digest(), except(1).digest());
        assert_ne!(except(2).digest(), except(1).digest());
        // Of requests that are under way while this is deployed.
        assert_eq!(Redrive::new("a", Filter::all()).digest(), "0b86af69d9c107db");
    }
}
