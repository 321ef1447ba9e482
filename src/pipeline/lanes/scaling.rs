//! Scaling: how many workers may be at something, while the daemon runs.
//!
//! Workers are all alike, so nobody is told to go: what changes is how many of them are given something. One that is at something when
//! the number falls ends it first, and is then given nothing.

use std::num::NonZeroUsize;

use super::super::source::Progress;
use super::entry::Load;
use super::gather::Turn;
use super::{Effects, Lanes};

/// How much there is to do at one moment, and how many do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pipeline) struct Demands {
    /// Ready or running, and how much of it there may be.
    pub(in crate::pipeline) queued: Load,
    pub(in crate::pipeline) capacity: Load,
    /// Fetching is held back: the queue was filled to its high mark, and hasn't fallen to its low one; or as many lanes of a partition are
    /// ready as workers soon get.
    pub(in crate::pipeline) held_back: bool,
    /// Workers that are at something.
    pub(in crate::pipeline) busy: usize,
    /// How many more would be needed to take all that is ready: those that have nothing to do are about to take something.
    pub(in crate::pipeline) waiting: usize,
    /// Whether the rate lets anything begin.
    pub(in crate::pipeline) may_start: bool,
    /// Somebody has said how many workers there are to be.
    pub(in crate::pipeline) fixed: bool,
}

impl<G: Progress> Lanes<G> {
    /// So many workers may be at something from now on, at least one and at most as many as there are; unless it is fixed how many.
    pub(in crate::pipeline) fn set_workers(&mut self, workers: usize) -> Effects {
        self.scaled = workers;
        self.let_work()
    }

    /// So many may be, whatever else is found right; until that is taken back.
    pub(in crate::pipeline) fn fix_workers(&mut self, workers: Option<NonZeroUsize>) -> Effects {
        self.fixed = workers;
        self.let_work()
    }

    fn let_work(&mut self) -> Effects {
        self.workers = self.fixed.map_or(self.scaled, NonZeroUsize::get).clamp(1, self.limits.workers);
        Effects { ready: self.ready(self.limits.workers), ..Effects::default() }
    }

    /// How many of them one partition may hold, or one route's batches.
    pub(super) fn most(&self) -> usize {
        if self.open > 1 { self.share_of_one() } else { self.workers }
    }

    /// How many more workers may take something.
    pub(in crate::pipeline) fn idle(&self) -> usize {
        if self.busy < self.workers {
            return self.workers - self.busy;
        }
        if self.busy >= self.limits.workers {
            return 0;
        }
        // After the number has fallen, or a partition was alone with all of them, one may hold more than its share. The others' part is
        // not taken from them for that: what it holds beyond its share counts for nobody.
        let alone = self.alone();
        let most = |turn| if alone == Some(turn) { self.workers } else { self.share_of_one() };
        let places = self.places.iter().enumerate().map(|(id, place)| place.busy.min(most(Turn::Place(id))));
        let gathers = self.gathers.iter().enumerate().map(|(id, gather)| gather.busy.min(most(Turn::Gather(id))));
        self.workers.saturating_sub(places.chain(gathers).sum())
    }

    /// Who may hold all workers, because there is no other partition.
    fn alone(&self) -> Option<Turn> {
        let open = || self.places.iter().position(|place| place.open().is_some());
        let place = if self.open == 1 { open()? } else { return None };
        Some(self.places[place].gather.map_or(Turn::Place(place), Turn::Gather))
    }

    fn share_of_one(&self) -> usize {
        (self.workers - 1).max(1)
    }

    fn waiting(&self) -> usize {
        if self.startable() == 0 {
            return 0;
        }
        let most = self.most();
        let (mut takeable, mut beyond_share) = (0, 0);
        for turn in &self.turns {
            let (ready, busy) = match *turn {
                Turn::Place(place) => (self.places[place].hauls(), self.places[place].busy),
                Turn::Gather(gather) => (self.gathers[gather].batches(), self.gathers[gather].busy),
            };
            let of_share = ready.min(most.saturating_sub(busy));
            takeable += of_share;
            beyond_share += ready - of_share;
        }
        takeable.saturating_sub(self.idle()) + beyond_share
    }

    /// See [`Demands`].
    pub(in crate::pipeline) fn demands(&self) -> Demands {
        Demands {
            queued: self.loads.queued,
            capacity: self.limits.queue,
            held_back: self.pressed || self.places.iter().any(|place| place.wake_below.is_some()),
            busy: self.busy,
            waiting: self.waiting(),
            may_start: self.startable() > 0,
            fixed: self.fixed.is_some(),
        }
    }
}
