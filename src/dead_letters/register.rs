//! What became of the letters, as far as their marks say it: read once, and then read on.
//!
//! Owner: [`DeadLetters`](super::DeadLetters) and its clones, so all requests of a process share one. The invariant: whoever is given the
//! marks has all that were committed when they asked. They get them as they stood then; what is learned later goes into a copy while
//! somebody holds those.
//!
//! It begins anew where the letters' topic or the marks' is another one than before, where the latter was cut, and where nobody has asked for so
//! long that a mark's being taken back may have come and gone: a compacted topic keeps that for `delete.retention.ms` alone.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tracing::debug;

use super::error::LettersError;
use super::marked::Marks;
use super::marks::{TopicId, topic_of};
use super::shelf::{Polled, Reader, Span, Stop, Survey, poll};
use super::tail::Tail;
use crate::record::{Offset, Partition, Topic};

/// After so long without a look it begins anew: half of what `delete.retention.ms` is by default.
const STALE: Duration = Duration::from_secs(12 * 3600);
/// After how many marks it is looked whether somebody still waits, and for how long.
const LOOK: u64 = 500;
/// How long to wait for another who reads them, before that is looked at.
const TURN: Duration = Duration::from_millis(50);
/// Whoever has less time than this gets so much: it must be got on with.
const LEAST: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Default)]
pub(super) struct Register {
    state: Mutex<State>,
    /// Marks that are yet to be read, while somebody reads them.
    left: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Whose marks they are.
    letters: Option<TopicId>,
    tail: Tail,
    /// Where the marks' partitions begin.
    begins: Vec<(Partition, Offset)>,
    marks: Arc<Marks>,
    /// When they were read last.
    at: Option<Instant>,
}

/// What is known of the marks.
#[derive(Default)]
pub(super) struct Known {
    /// All that there are; none, while some are yet to be read.
    pub(super) marks: Arc<Marks>,
    /// So many are, and the time is over.
    pub(super) left: u64,
}

/// Until when somebody waits: whoever asks for a page has a time, others have not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    begun: Instant,
    until: Option<Instant>,
}

impl Time {
    pub(super) fn until(until: Instant) -> Self {
        Self { begun: Instant::now(), until: Some(until) }
    }

    /// As long as it takes.
    pub(super) fn any() -> Self {
        Self { begun: Instant::now(), until: None }
    }

    pub(super) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// When it ends for somebody who has not got on by anything yet, or has; `None`: never.
    pub(super) fn end(&self, has_begun: bool) -> Option<Instant> {
        let least = self.begun + LEAST;
        self.until.map(|until| if has_begun { until } else { until.max(least) })
    }
}

impl Register {
    /// The marks of these letters, whose topic was just looked at.
    pub(super) fn marks(
        &self,
        reader: &mut dyn Reader,
        letters: &Topic,
        survey: &Survey,
        time: Time,
        stop: &Stop,
    ) -> Result<Known, LettersError> {
        let Some(mut state) = self.turn(time, stop)? else {
            return Ok(Known { left: self.left.load(Ordering::Relaxed).max(1), ..Known::default() });
        };
        let left =
            state.read_on(reader, letters, survey, (time, stop), |left| self.left.store(left, Ordering::Relaxed));
        self.left.store(0, Ordering::Relaxed);
        Ok(match left? {
            0 => Known { marks: Arc::clone(&state.marks), left: 0 },
            left => Known { left, ..Known::default() },
        })
    }

    /// Waits until nobody else reads them; `None` where that takes too long.
    fn turn(&self, time: Time, stop: &Stop) -> Result<Option<MutexGuard<'_, State>>, LettersError> {
        loop {
            if let Some(state) = self.state.try_lock_for(TURN) {
                return Ok(Some(state));
            }
            stop.check()?;
            if time.is_over() {
                return Ok(None);
            }
        }
    }
}

impl State {
    /// Reads on; answers how many marks are left, and tells it meanwhile.
    fn read_on(
        &mut self,
        reader: &mut dyn Reader,
        letters: &Topic,
        survey: &Survey,
        wait: (Time, &Stop),
        tell: impl Fn(u64),
    ) -> Result<u64, LettersError> {
        let is_stale = self.at.is_some_and(|at| at.elapsed() >= STALE);
        if is_stale || self.letters.as_ref() != Some(&survey.id) {
            *self = Self { letters: Some(survey.id.clone()), ..Self::default() };
        }
        let topic = topic_of(letters);
        let Some(mut ahead) = self.tail.look(reader, &topic)? else {
            // It has not been made yet, or is gone.
            *self = Self { letters: self.letters.take(), ..Self::default() };
            return Ok(0);
        };
        let begins: Vec<_> = ahead.whole.iter().map(|span| (span.partition, span.from)).collect();
        if self.begins != begins && !ahead.is_new {
            // What was removed for its age is no mark any more, and nobody tells which those were.
            self.tail = Tail::default();
            let Some(again) = self.tail.look(reader, &topic)? else { return Ok(0) };
            ahead = again;
        }
        if ahead.is_new {
            (self.marks, self.begins) = (Arc::default(), begins);
        }
        if self.marks.is_stale(&survey.spans) {
            Arc::make_mut(&mut self.marks).forget(&survey.spans);
        }
        let left = match ahead.spans.as_slice() {
            [] => Ok(0),
            spans => self.read(reader, &topic, survey, spans, wait, tell),
        };
        self.at = Some(Instant::now());
        left
    }

    fn read(
        &mut self,
        reader: &mut dyn Reader,
        topic: &Topic,
        survey: &Survey,
        spans: &[Span],
        (time, stop): (Time, &Stop),
        tell: impl Fn(u64),
    ) -> Result<u64, LettersError> {
        tell(self.tail.left(spans));
        reader.open(topic, spans)?;
        let marks = Arc::make_mut(&mut self.marks);
        let mut read = 0_u64;
        let outcome = loop {
            match poll(reader, time.end(read > 0)) {
                Ok(Polled::Record(record)) => {
                    marks.learn(&survey.id, &survey.spans, &record);
                    self.tail.passed(&record);
                    read += 1;
                }
                Ok(Polled::End) => {
                    self.tail.reached(spans);
                    break Ok(0);
                }
                Ok(Polled::Late) => break Ok(self.tail.left(spans).max(1)),
                Err(error) => break Err(error),
            }
            if read.is_multiple_of(LOOK) {
                let left = self.tail.left(spans);
                tell(left);
                if let Err(stopped) = stop.check() {
                    break Err(stopped);
                }
                if time.is_over() && left > 0 {
                    break Ok(left);
                }
            }
        };
        debug!(topic = topic.as_str(), records = read, "marks were read");
        outcome
    }
}

impl fmt::Debug for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Register").finish_non_exhaustive()
    }
}
