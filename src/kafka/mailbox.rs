//! The mailbox between the event thread and the pipeline's side of the source.
//!
//! Owner: nobody alone; one short lock, never held while anything waits. Records don't come this way: they are read by the poll itself, as
//! [`Reading`](super::reading::Reading) says.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::trouble::{Troubles, Until};
use super::wake::{Arrived, Wake};
use crate::pipeline::seek::Seek;
use crate::pipeline::source::{CommitError, Epoch, Event, SourceError};
use crate::pipeline::tracker::{OffsetCommit, OffsetTracker};

/// A commit that somebody waits for.
#[derive(Debug)]
pub(super) struct CommitRequest {
    /// What to write.
    pub(super) commits: Vec<(Epoch, OffsetCommit)>,
    /// Where the outcome goes; closed when nobody waits any more.
    pub(super) reply: oneshot::Sender<Result<(), CommitError>>,
}

/// The wish to end.
#[derive(Debug)]
pub(super) struct CloseRequest {
    /// When to give up trying.
    pub(super) deadline: std::time::Instant,
    /// Where the outcome goes.
    pub(super) reply: oneshot::Sender<Result<(), SourceError>>,
}

/// What the pipeline wants of the event thread.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// Commits to make.
    pub(super) commits: Vec<CommitRequest>,
    /// Partitions that are to go on elsewhere.
    pub(super) seeks: Vec<Seek>,
    /// Whether to end.
    pub(super) close: Option<CloseRequest>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Mailbox {
    state: Mutex<State>,
    arrived: Arc<Arrived>,
    wake: Arc<Wake>,
}

#[derive(Debug, Default)]
struct State {
    wishes: Wishes,
    events: VecDeque<Event<OffsetTracker>>,
    troubles: Troubles,
    /// Why nothing will come any more; stays.
    end: Option<SourceError>,
    /// Whether the event thread is gone, and nobody answers any more.
    deserted: bool,
}

impl Mailbox {
    /// An empty one for the event thread behind `wake`.
    pub(super) fn new(wake: Arc<Wake>) -> Self {
        Self { state: Mutex::default(), arrived: Arc::default(), wake }
    }

    /// The next thing to tell the pipeline, if there is any. An end is told again each time.
    pub(super) fn next(&self) -> Option<Result<Event<OffsetTracker>, SourceError>> {
        self.state.lock().next()
    }

    /// Rings when there is something to tell.
    pub(super) fn arrived(&self) -> &Arc<Arrived> {
        &self.arrived
    }

    /// Asks for a commit.
    pub(super) fn commit(&self, request: CommitRequest) {
        let mut state = self.state.lock();
        // An ended thread answers nobody: dropping the request tells so.
        if !state.deserted {
            state.wishes.commits.push(request);
        }
        drop(state);
        self.wake.wake();
    }

    /// Asks for a partition to go on elsewhere.
    pub(super) fn seek(&self, seek: Seek) {
        let mut state = self.state.lock();
        // As above.
        if !state.deserted {
            state.wishes.seeks.push(seek);
        }
        drop(state);
        self.wake.wake();
    }

    /// Asks for the end.
    pub(super) fn close(&self, request: CloseRequest) {
        let mut state = self.state.lock();
        if !state.deserted {
            state.wishes.close = Some(request);
        }
        drop(state);
        self.wake.wake();
    }

    /// What the pipeline wants, handed over.
    pub(super) fn take_wishes(&self) -> Wishes {
        std::mem::take(&mut self.state.lock().wishes)
    }

    /// Tells the pipeline something.
    pub(super) fn tell(&self, event: Event<OffsetTracker>) {
        self.state.lock().events.push_back(event);
        self.arrived.notify();
    }

    /// Tells where partitions end. A report that nobody has taken yet is replaced: reports don't pile up.
    pub(super) fn tell_ends(&self, ends: Vec<(Epoch, crate::record::Offset)>) {
        {
            let mut state = self.state.lock();
            if let Some(Event::Ends(waiting)) = state.events.back_mut() {
                waiting.extend(ends);
                return;
            }
            state.events.push_back(Event::Ends(ends));
        }
        self.arrived.notify();
    }

    /// Tells of trouble that may pass.
    pub(super) fn trouble(&self, until: Until, say: impl Into<String>) {
        let say = say.into();
        self.tell_of(|troubles| troubles.notice(until, say, std::time::Instant::now()));
    }

    /// Whether anything stands in the way.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.state.lock().troubles.is_any()
    }

    /// The brokers answer, and the topics are there to be read.
    pub(super) fn answered(&self) {
        self.tell_of(|troubles| troubles.answered(std::time::Instant::now()));
    }

    /// The group has taken this member in.
    pub(super) fn assigned(&self) {
        self.tell_of(Troubles::assigned);
    }

    fn tell_of(&self, change: impl FnOnce(&mut Troubles) -> bool) {
        let is_news = change(&mut self.state.lock().troubles);
        if is_news {
            self.arrived.notify();
        }
    }

    /// Tells that no record will come any more, and why. The first reason stays. Commits are still taken.
    pub(super) fn fail(&self, error: SourceError) {
        self.state.lock().end.get_or_insert(error);
        self.arrived.notify();
    }

    /// The event thread's last word.
    pub(super) fn end(&self, error: SourceError) {
        {
            let mut state = self.state.lock();
            state.end.get_or_insert(error);
            state.deserted = true;
            // Whoever waits for an answer hears that there will be none.
            state.wishes = Wishes::default();
        }
        self.arrived.notify();
    }
}

impl State {
    fn next(&mut self) -> Option<Result<Event<OffsetTracker>, SourceError>> {
        if let Some(event) = self.events.pop_front() {
            return Some(Ok(event));
        }
        if let Some(news) = self.troubles.take_news() {
            return Some(Ok(Event::Trouble(news)));
        }
        self.end.clone().map(Err)
    }
}
