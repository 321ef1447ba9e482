//! Who sleeps, and was not told of what there is to do: each effect that a call owes is owed to one of them.

use std::collections::BTreeMap;

use super::super::gather::Turn;
use super::super::*;
use super::model::World;

/// Who has been told of something and has not looked since.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// A worker: it looks until there is nothing to take.
    pub(super) worker: bool,
    /// The dead-letter stage, as long as there are letters.
    pub(super) letters: bool,
    /// The committer.
    pub(super) commit: bool,
    /// Whoever has the clock looks again then.
    timer: Option<Instant>,
    /// What was out of the assignments on their way out.
    out: BTreeMap<Epoch, usize>,
}

impl World {
    /// What a call told is heard, and nobody misses what it did not tell.
    pub(super) fn hear(&mut self, effects: Effects) {
        let effects = self.lanes.told(effects);
        if effects.room {
            self.asked = None;
        }
        self.told.worker |= effects.ready > 0;
        self.told.letters |= effects.letters;
        self.told.commit |= effects.commit;
        if effects.timer {
            self.look_at_the_clock();
        }
        let released = self.logs.iter().filter(|log| log.released).filter_map(|log| log.epoch);
        let out: BTreeMap<_, _> = released.map(|epoch| (epoch, self.lanes.out(&[epoch]))).collect();
        for (epoch, out) in &out {
            let before = self.told.out.get(epoch).copied().unwrap_or_default();
            assert!(effects.drained || *out > 0 || before == 0, "nobody hears that {epoch:?} is drained");
        }
        self.told.out = out;
    }

    /// When there is something to wake next, as far as nobody else is to look before.
    fn due(&mut self) -> Option<Instant> {
        // Nobody waits for a grant while every worker is at something: whoever ends first looks.
        let waits = !self.told.worker && (self.lanes.on_probation > 0 || self.is_something_but_for_the_rate());
        let lanes = &mut self.lanes;
        let granted = lanes.next_grant().filter(|_| waits && lanes.idle() > 0);
        let others = [lanes.next_retry(), lanes.next_ripe(self.now), lanes.next_trial(), lanes.next_awaited()];
        others.into_iter().chain([granted]).flatten().min()
    }

    pub(super) fn look_at_the_clock(&mut self) {
        self.told.timer = self.lanes.next_due(self.now);
    }

    /// Whether a worker would be given something.
    fn is_something_to_take(&self) -> bool {
        let lanes = &self.lanes;
        lanes.on_probation == 0 && !lanes.suspect_out && lanes.startable() > 0 && self.is_something_but_for_the_rate()
    }

    fn is_something_but_for_the_rate(&self) -> bool {
        let lanes = &self.lanes;
        if lanes.idle() == 0 {
            return false;
        }
        let most = lanes.most();
        lanes.turns.iter().any(|turn| match *turn {
            Turn::Place(place) => lanes.places[place].busy < most,
            Turn::Gather(gather) => lanes.gathers[gather].busy < most,
        })
    }

    /// Everybody who has something to do knows that.
    pub(super) fn nobody_was_forgotten(&mut self) {
        assert!(self.told.worker || !self.is_something_to_take(), "no worker was told of what is ready");
        assert!(self.told.letters || self.lanes.letters.is_empty(), "nobody writes a letter");
        assert!(self.told.commit || self.lanes.commit_due().is_none(), "nobody commits");
        let (due, told) = (self.due(), self.told.timer);
        let in_time = due.is_none_or(|due| told.is_some_and(|told| told <= due));
        assert!(in_time, "{due:?} is not waited for, but {told:?}");
    }
}
