//! One pass over the letters: from where they begin to where they ended when it began.
//!
//! Owner: a thread of its own, which may block. The invariant: a letter's record, its mark, and the progress past it are written in one
//! transaction, so that what is marked was written, and what was written isn't written again, whenever the process ends.
//!
//! Letters are taken by their time over all partitions, and in the order of offsets within each. So those of a key keep their order even
//! where the letters' topic got more partitions and the key moved to another one. The producer sends them to the partition of their key,
//! as the topic has them now: that is where the key's other records are.
//!
//! A letter that can't be written is left, told and passed over. What the brokers refuse only once it was sent undoes its transaction: the pass is
//! begun again from the last one, now that it is known. A record that is as large as one that was refused has a transaction to itself, so
//! that nothing else is undone with it.

use std::time::{Duration, Instant};

use super::error::{Interrupted, LettersError};
use super::left::{Ear, Left, Obstacles};
use super::letter::{NotALetter, View};
use super::marks::{Mark, MarkKind, TopicId, topic_of};
use super::opened::Pile;
use super::redrive::{Counts, Redrive, Verdict, judge, outgoing};
use super::register::Time;
use super::shelf::{Batching, Pace, Progress, Span, Writer};
use super::watch::Watch;
use super::{DeadLetter, Filter};
use crate::record::{NextOffset, Offset, Partition, Record, Topic};

/// How many letters go into one transaction, at most. Brokers let the next one begin only once the last one is through, and the client asks anew
/// after 20 ms at the earliest: many small ones would wait more than they write.
const BATCH: usize = 5_000;
/// How many bytes of keys and values do.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// How long a transaction is open: whoever reads committed records only waits for its end.
const OPEN: Duration = Duration::from_secs(1);
/// A wait that is longer than this is not spent within a transaction.
const SHORT: Duration = Duration::from_millis(100);

/// What is done with the letters that are meant.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// Their records are written again.
    Redrive(Redrive),
    /// They are given up.
    Discard { filter: Filter, by: String, reason: String },
}

impl Work {
    fn filter(&self) -> &Filter {
        match self {
            Self::Redrive(redrive) => &redrive.filter,
            Self::Discard { filter, .. } => filter,
        }
    }

    fn cap(&self) -> Option<u32> {
        match self {
            // Whoever has changed a record by hand knows why it went round.
            Self::Redrive(redrive) => redrive.edit.is_none().then_some(redrive.cap),
            Self::Discard { .. } => None,
        }
    }

    /// Whether what went wrong with this topic has to do with single letters, so that the others can be gone on with. Of a change of one letter,
    /// and of the one topic that all are to go to, it is the whole that can't be done.
    fn is_of_letters(&self, error: &LettersError, letters: &Topic) -> bool {
        let Self::Redrive(Redrive { edit: None, target, .. }) = self else { return false };
        match error {
            LettersError::TooLarge { target, .. } => *target != topic_of(letters),
            LettersError::UnknownTopic(topic) => target.is_none() && topic != letters && *topic != topic_of(letters),
            _ => false,
        }
    }
}

/// Why a record can't be written.
enum Trouble {
    /// It is this letter's, or its topic's: the others can be gone on with.
    OfLetter(LettersError),
    OfAll(LettersError),
}

impl From<LettersError> for Trouble {
    fn from(error: LettersError) -> Self {
        Self::OfAll(error)
    }
}

/// Who hears of the work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard<'a> {
    pub(super) watch: &'a Watch,
    pub(super) ear: &'a Ear,
}

/// Does the work, and counts. On an error all that was committed stands.
pub(super) fn work(pile: &Pile<'_>, work: &Work, heard: Heard<'_>) -> Result<Counts, Interrupted> {
    let mut counts = Counts::default();
    let mut batching = Batching::Together;
    let mut obstacles = Obstacles::default();
    loop {
        match write(pile, work, batching, heard, &mut counts, &mut obstacles) {
            // Perhaps only together with others. The request goes on where it is.
            Err(LettersError::TooLarge { .. }) if batching == Batching::Together => batching = Batching::Alone,
            Err(error @ (LettersError::TooLarge { .. } | LettersError::UnknownTopic(_)))
                if work.is_of_letters(&error, pile.topic) && obstacles.learn(&error) => {}
            outcome => return outcome.map(|()| counts).map_err(|error| Interrupted { counts, error }),
        }
    }
}

fn write(
    pile: &Pile<'_>,
    work: &Work,
    batching: Batching,
    heard: Heard<'_>,
    counts: &mut Counts,
    obstacles: &mut Obstacles,
) -> Result<(), LettersError> {
    let Pile { shelf, topic: letters, stop, .. } = *pile;
    // Before anything is made or fenced: a name that is misspelt must have no effect.
    drop(pile.survey()?);
    shelf.create_compacted(&topic_of(letters))?;
    // First, so that nobody else writes from here on, and nothing is left undecided: marks and progress are true when they are read.
    let writer = shelf.writer(letters, batching)?;
    let mut opened = pile.open(work.filter(), Time::any())?;
    let (id, progress, batch) = (opened.id.clone(), Vec::new(), Batch::default());
    let mut pass = Pass { letters, work, writer, id, progress, batch, counts, obstacles, ear: heard.ear };
    let spans = pass.begin(&opened.all, &opened.spans)?;
    opened.reader.open(letters, &spans)?;
    let mut pace = match work {
        Work::Redrive(Redrive { per_second: Some(rate), .. }) => Some(Pace::new(*rate)),
        _ => None,
    };
    while let Some(record) = opened.reader.next()? {
        stop.check()?;
        let view = View::of(record.headers().collect());
        let mark = opened.marks.of(record.partition(), record.offset());
        let verdict = judge(&record, &view, mark, work.filter(), work.cap());
        if verdict == Verdict::Selected
            && let Some(pace) = &mut pace
        {
            let now = Instant::now();
            let due = pace.next(now);
            if due.saturating_duration_since(now) > SHORT {
                pass.commit()?;
                heard.watch.tell(*pass.counts)?;
            }
            stop.wait_until(due)?;
        }
        pass.deal(&record, &view, verdict)?;
        if pass.batch.is_full() {
            pass.commit()?;
            heard.watch.tell(*pass.counts)?;
        }
    }
    pass.finish(&spans)
}

/// What stands in the open transaction.
#[derive(Default)]
struct Batch {
    letters: usize,
    bytes: usize,
    since: Option<Instant>,
    /// There is only one letter in it, which may be too large.
    is_suspect: bool,
    /// Counted, and told, only once it is committed.
    counts: Counts,
    left: Vec<Left>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.letters >= BATCH
            || self.bytes >= BATCH_BYTES
            || self.left.len() >= BATCH
            || self.is_suspect
            || self.since.is_some_and(|since| since.elapsed() >= OPEN)
    }
}

struct Pass<'a> {
    letters: &'a Topic,
    work: &'a Work,
    writer: Box<dyn Writer>,
    id: TopicId,
    /// A request's; nothing else has any.
    progress: Vec<Progress>,
    batch: Batch,
    counts: &'a mut Counts,
    obstacles: &'a mut Obstacles,
    ear: &'a Ear,
}

impl Pass<'_> {
    /// Finds out how far the request got, or writes down where it begins and ends: what comes in from here on, maybe because of what it
    /// does, is not its own. That is written for all of the topic, whatever of it is meant: a name is one request's wherever its letters lie,
    /// and after they are gone. Says what is left of it.
    fn begin(&mut self, all: &[Span], spans: &[Span]) -> Result<Vec<Span>, LettersError> {
        let Work::Redrive(redrive) = self.work else { return Ok(spans.to_vec()) };
        let partitions: Vec<Partition> = all.iter().map(|span| span.partition).collect();
        self.progress = self.writer.progress(self.letters, &redrive.request, &partitions)?;
        if self.progress.is_empty() {
            let meant = |whole: &Span| spans.iter().find(|span| span.partition == whole.partition).copied();
            let nothing = |whole: &Span| Span { from: whole.end, ..*whole };
            let begun = all.iter().map(|whole| meant(whole).unwrap_or_else(|| nothing(whole)));
            self.progress = begun.map(|span| self.noted(redrive, &span)).collect();
            self.commit()?;
            return Ok(spans.to_vec());
        }
        let mut left = Vec::new();
        for progress in &self.progress {
            let another = || LettersError::AnotherRequest(redrive.request.clone());
            let end = self.end_of(redrive, progress).ok_or_else(another)?;
            // Its records may be gone meanwhile.
            let Some(span) = spans.iter().find(|span| span.partition == progress.partition) else { continue };
            let from = span.from.max(progress.next.offset());
            left.push(Span { from, end: end.min(span.end), ..*span });
        }
        left.retain(|span| span.from < span.end);
        Ok(left)
    }

    fn noted(&self, redrive: &Redrive, span: &Span) -> Progress {
        let note = format!("daemonry-redrive {} {} {}", span.end, self.id.0, redrive.digest());
        Progress { partition: span.partition, next: NextOffset::at(span.from.0), note }
    }

    /// Where the request ends in this partition; `None` where it is another request.
    fn end_of(&self, redrive: &Redrive, progress: &Progress) -> Option<Offset> {
        let end = progress.note.split(' ').nth(1)?.parse().map(Offset).ok()?;
        let span = Span { partition: progress.partition, from: Offset(0), end };
        (self.noted(redrive, &span).note == progress.note).then_some(end)
    }

    /// Does what is to be done with a record, and is past it.
    fn deal(
        &mut self,
        record: &Record,
        view: &Result<View<'_>, NotALetter>,
        verdict: Verdict,
    ) -> Result<(), LettersError> {
        let (partition, offset) = (record.partition(), record.offset());
        let (verdict, why) = match (verdict, view) {
            (Verdict::Selected, Ok(view)) => match self.send(record, view)? {
                None => (verdict, None),
                why => (Verdict::Unwritten, why),
            },
            (Verdict::Foreign, Err(why)) => {
                (verdict, Some(LettersError::NotALetter { partition, offset, why: why.clone() }))
            }
            _ => (verdict, None),
        };
        self.passed(partition, offset.next());
        self.batch.counts.count(verdict);
        self.batch.left.extend(why.map(|why| Left { partition, offset, why }));
        Ok(())
    }

    /// Writes the record of a letter, or nothing, and its mark. Why it is to be left, where that is so.
    fn send(&mut self, record: &Record, view: &View<'_>) -> Result<Option<LettersError>, LettersError> {
        let (partition, offset) = (record.partition(), record.offset());
        let mark = match self.work {
            Work::Redrive(redrive) => {
                let letter = view.letter(record.key(), record.value());
                let target = redrive.target.as_ref().unwrap_or(&letter.origin.topic);
                match self.write(record, redrive, target, &letter) {
                    Ok(()) => {}
                    Err(Trouble::OfLetter(why)) => return Ok(Some(why)),
                    Err(Trouble::OfAll(error)) => return Err(error),
                }
                Mark {
                    by: redrive.by.clone(),
                    request: Some(redrive.request.clone()),
                    target: Some(target.to_string()),
                    edited: redrive.edit.as_ref().map(super::Edit::names).unwrap_or_default(),
                    ..Mark::new(MarkKind::Redriven)
                }
            }
            Work::Discard { by, reason, .. } => {
                Mark { by: Some(by.clone()), reason: Some(reason.clone()), ..Mark::new(MarkKind::Discarded) }
            }
        };
        let mark = mark.record(&self.id, partition, offset);
        self.writer.send(&topic_of(self.letters), &mark, (partition, offset))?;
        self.batch.letters += 1;
        self.batch.bytes += record.size();
        self.batch.since.get_or_insert_with(Instant::now);
        Ok(None)
    }

    fn write(
        &mut self,
        record: &Record,
        redrive: &Redrive,
        target: &Topic,
        letter: &DeadLetter,
    ) -> Result<(), Trouble> {
        let place @ (partition, offset) = (record.partition(), record.offset());
        let of = if redrive.edit.is_none() { Trouble::OfLetter } else { Trouble::OfAll };
        let of_target = if redrive.target.is_none() { of } else { Trouble::OfAll };
        if let Some(why) = self.obstacles.of(place, target, record.size()) {
            return Err(of(why));
        }
        if *target == topic_of(self.letters) {
            return Err(of_target(LettersError::Unusable(format!(
                "the record of the letter at offset {offset} of partition {partition} can't go to `{target}`, where the letters' \
                 marks are: name another topic, or discard the letter"
            ))));
        }
        match self.writer.learn(target) {
            Err(why @ LettersError::UnknownTopic(_)) => {
                if redrive.target.is_none() {
                    self.obstacles.close(target, &why);
                }
                return Err(of_target(why));
            }
            learned => learned?,
        }
        if self.obstacles.suspects(target, record.size()) {
            self.commit()?;
            self.batch.is_suspect = true;
        }
        let out = outgoing(letter, redrive.edit.as_ref(), &format!("{}:{partition}:{offset}", self.letters));
        self.writer.send(target, &out, place).map_err(|error| match error {
            // Before it was sent: later it is the transaction that fails.
            LettersError::TooLarge { partition, offset, .. } if (partition, offset) == place => {
                self.batch.is_suspect = false;
                of(error)
            }
            error => Trouble::OfAll(error),
        })
    }

    fn passed(&mut self, partition: Partition, next: NextOffset) {
        if let Some(progress) = self.progress.iter_mut().find(|progress| progress.partition == partition) {
            progress.next = next;
        }
    }

    fn commit(&mut self) -> Result<(), LettersError> {
        self.writer.commit(self.letters, &self.progress)?;
        let Batch { counts, left, .. } = std::mem::take(&mut self.batch);
        self.counts.add(counts);
        left.iter().for_each(|left| self.ear.tell(left));
        Ok(())
    }

    /// Commits what is left, and that the request is through.
    fn finish(mut self, spans: &[Span]) -> Result<(), LettersError> {
        for span in spans {
            self.passed(span.partition, NextOffset::at(span.end.0));
        }
        self.commit()?;
        // So that whoever lists next sees what was done.
        self.writer.settle();
        Ok(())
    }
}
