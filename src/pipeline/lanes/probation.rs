//! Probation: records that run one at a time, each announced, as the process may end of one of them; and assignments of which nothing is
//! started before it is committed that somebody reads them. See [quarantine](crate::pipeline::quarantine).
//!
//! While a record on probation is ready nothing else is started, of whatever partition. Invariants:
//! - what is announced last is acknowledged before its record starts, and what was announced before is taken back with it;
//! - nothing runs beside a record on probation, and nothing on probation beside anything else;
//! - what has been accused comes first, and what is in its way before all else: it is waited for a moment until it has come in. Else it would come
//!   after as many others in every life of the process, and speak for itself only to one that is killed for another reason, each time after as
//!   long.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::super::dead_letter::{Failure, Reason};
use super::super::source::{Epoch, Progress};
use super::gather::Turn;
use super::haul::Cargo;
use super::place::Place;
use super::{Effects, Entry, LaneId, Lanes, PlaceId, Taken};
use crate::record::TopicPartition;

/// How an assignment stands: what is in the way of its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    #[default]
    Good,
    /// That it is read isn't committed yet: none of them is started.
    Unmarked,
    /// They run one at a time, until so many more of them are finished.
    Probation(usize),
    /// They are; that isn't committed yet.
    Passed,
}

/// For so long records wait for an accused one that has not come in: twice as long as brokers take to say that there is nothing.
pub(super) const AWAITED: Duration = Duration::from_secs(1);

/// Whether others wait for the accused records of an assignment that have not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// Nothing else has been ready yet.
    Never,
    /// They do, as long as that.
    Until(Instant),
    /// They have.
    Over,
}

/// Who may be given something to do.
pub(super) enum Turnout {
    Anybody,
    Nobody,
    /// The head of this lane of this place.
    Suspect(PlaceId, LaneId),
}

impl<G: Progress> Place<G> {
    /// Whether it isn't committed yet that it is read.
    pub(super) fn is_unmarked(&self) -> bool {
        self.standing() == Standing::Unmarked
    }

    fn standing(&self) -> Standing {
        self.assignment.as_ref().map_or(Standing::Good, |assignment| assignment.standing)
    }

    /// Whether its records run one at a time.
    pub(super) fn is_on_probation(&self) -> bool {
        matches!(self.standing(), Standing::Probation(_) | Standing::Passed)
    }
}

impl<G: Progress> Lanes<G> {
    /// What is in the way of an assignment that begins with this.
    pub(super) fn standing_of(&self, progress: &G) -> Standing {
        match (progress.is_on_probation(), progress.is_announced()) {
            (true, _) => Standing::Probation(self.limits.queue.records),
            (false, false) => Standing::Unmarked,
            (false, true) => Standing::Good,
        }
    }

    /// Begins, or ends, what is in the way of a place's records.
    pub(super) fn set_standing(&mut self, id: PlaceId, standing: Standing) {
        let place = &mut self.places[id];
        self.on_probation -= usize::from(place.is_on_probation());
        place.set_standing(standing);
        self.on_probation += usize::from(place.is_on_probation());
    }

    /// Who may be given something while places are on probation.
    pub(super) fn turnout(&mut self, clock: impl Fn() -> Instant, effects: &mut Effects) -> Turnout {
        if self.suspect_out {
            // Its partition may have gone meanwhile; what is told of it there still speaks against it.
            if self.busy > 0 {
                return Turnout::Nobody;
            }
            self.suspect_out = false;
            effects.ready += self.ready(self.idle());
        }
        self.review(effects);
        if self.on_probation == 0 {
            return Turnout::Anybody;
        }
        let suspect = self.suspect();
        let is_accused = suspect.is_some_and(|(_, accusations)| accusations > 0);
        let is_any = suspect.is_some() || !self.turns.is_empty();
        if is_any && !is_accused && self.awaits_accused(clock, effects) {
            return Turnout::Nobody;
        }
        let suspect = suspect.map(|(suspect, _)| suspect);
        match suspect {
            Some(_) if self.busy > 0 => Turnout::Nobody,
            Some((place, lane)) if self.announces(suspect, effects) => Turnout::Suspect(place, lane),
            None if !self.turns.is_empty() && self.announces(None, effects) => {
                // Somebody may have been sent away for what is no longer ready.
                effects.ready += self.ready(self.idle());
                Turnout::Anybody
            }
            _ => Turnout::Nobody,
        }
    }

    /// The next record to run alone, if one is ready: one that has been accused, or else what is in its way. That is what is before it in its
    /// lane, or in its partition, where there was no room yet to read it. How often the former was accused goes with it.
    fn suspect(&self) -> Option<((PlaceId, LaneId), u32)> {
        let mut first = None;
        let mut most = (0, false);
        for (id, place) in self.places.iter().enumerate() {
            let Some(assignment) = place.open() else { continue };
            let Standing::Probation(_) = assignment.standing else { continue };
            let is_accusing = assignment.progress.is_accusing();
            // Ripe or not: it isn't to be one of a batch.
            let gathered = place.gather.into_iter().flat_map(|gather| &self.gathers[gather].lanes);
            let gathered = gathered.map(|(lane, _)| *lane).filter(|lane| self.lanes[*lane].place() == id);
            for lane in place.ready.iter().copied().chain(gathered) {
                let accusations = |entry: &Entry<G::Position>| assignment.progress.accusations(entry.ticket.position());
                let queue = is_accusing.then(|| self.lanes[lane].queue.iter()).into_iter().flatten();
                let rank = (queue.map(accusations).max().unwrap_or(0), is_accusing);
                if first.is_none() || rank > most {
                    (first, most) = (Some((id, lane)), rank);
                }
            }
        }
        first.map(|first| (first, most.0))
    }

    /// Whether an accused record that hasn't come in is waited for now. None is where nothing is started anyhow.
    fn awaits_accused(&mut self, clock: impl Fn() -> Instant, effects: &mut Effects) -> bool {
        let mut awaits = false;
        for place in self.places.iter_mut().filter(|place| place.open().is_some() && !place.stands_still()) {
            let Some(assignment) = &mut place.assignment else { continue };
            if !matches!(assignment.standing, Standing::Probation(_)) || !assignment.progress.accuses_unread() {
                continue;
            }
            if assignment.awaited == Awaited::Never {
                assignment.awaited = Awaited::Until(clock() + AWAITED);
                effects.timer = true;
            }
            awaits |= assignment.awaited != Awaited::Over;
        }
        awaits
    }

    /// Something of this place has come in, or is known not to: those that waited for it go on, if it was that.
    pub(super) fn end_wait_for(&mut self, place: PlaceId, effects: &mut Effects) {
        let Some(assignment) = &mut self.places[place].assignment else { return };
        if matches!(assignment.awaited, Awaited::Until(_)) && !assignment.progress.accuses_unread() {
            assignment.awaited = Awaited::Over;
            effects.ready += self.ready(self.idle()).max(1);
        }
    }

    /// Until when one is at the longest.
    pub(super) fn next_awaited(&self) -> Option<Instant> {
        if self.on_probation == 0 {
            return None;
        }
        let awaited = self.places.iter().filter_map(|place| match place.assignment.as_ref()?.awaited {
            Awaited::Until(until) => Some(until),
            Awaited::Never | Awaited::Over => None,
        });
        awaited.min()
    }

    /// Waits no longer for those for which that is over.
    pub(super) fn end_waits(&mut self, now: Instant, effects: &mut Effects) {
        if self.next_awaited().is_none_or(|until| until > now) {
            return;
        }
        for assignment in self.places.iter_mut().filter_map(|place| place.assignment.as_mut()) {
            if matches!(assignment.awaited, Awaited::Until(until) if until <= now) {
                assignment.awaited = Awaited::Over;
            }
        }
        effects.ready += self.ready(self.idle()).max(1);
    }

    /// Has it committed that this record is the one that runs alone. Whether that is acknowledged.
    fn announces(&mut self, suspect: Option<(PlaceId, LaneId)>, effects: &mut Effects) -> bool {
        let position = |lane: LaneId| self.lanes[lane].queue.front().map(|entry| entry.ticket.position());
        let suspect = suspect.map(|(place, lane)| (place, position(lane)));
        let mut all = true;
        for (id, place) in self.places.iter_mut().enumerate().filter(|(_, place)| place.is_on_probation()) {
            let Some(assignment) = &mut place.assignment else { continue };
            assignment.progress.announce(suspect.filter(|(place, _)| *place == id).and_then(|(_, position)| position));
            all &= assignment.progress.is_announced();
        }
        if !all {
            self.placed = true;
            effects.commit |= self.tells_commit();
        }
        all
    }

    /// Takes the one record of a suspect's lane.
    pub(super) fn take_suspect(
        &mut self,
        (place, lane): (PlaceId, LaneId),
        cargo: &mut Cargo<G::Position>,
        clock: impl Fn() -> Instant,
        effects: &mut Effects,
    ) -> Option<Taken> {
        self.suspect_out = true;
        let Some(gather) = self.places[place].gather else {
            self.turns.retain(|turn| *turn != Turn::Place(place));
            bring_forward(&mut self.places[place].ready, |ready| *ready == lane);
            return self.take_lanes(place, cargo, 1, clock, effects).map(Taken::Haul);
        };
        self.turns.retain(|turn| *turn != Turn::Gather(gather));
        bring_forward(&mut self.gathers[gather].lanes, |(ready, _)| *ready == lane);
        Some(Taken::Batch(self.take_batch(gather, &mut cargo.entries, 1, clock, effects)))
    }

    /// So many records of a place were run and are finished, or have become letters. Attempts that fail don't count: they are made again in
    /// each life of the process, and the record that ends it may come after all of them.
    pub(super) fn proven(&mut self, place: PlaceId, records: usize) {
        if let Some(assignment) = &mut self.places[place].assignment
            && let Standing::Probation(left) = &mut assignment.standing
        {
            *left = left.saturating_sub(records);
        }
    }

    /// Ends the probation of those that have passed it.
    pub(super) fn review(&mut self, effects: &mut Effects) {
        let is_out = self.suspect_out && self.busy > 0;
        for id in 0..self.places.len() {
            let Some(assignment) = &mut self.places[id].assignment else { continue };
            let progress = &mut assignment.progress;
            match assignment.standing {
                Standing::Probation(left) if !is_out => {
                    let at_its_end = assignment.end.is_some_and(|end| progress.lag(end).is_none_or(|lag| lag == 0));
                    let is_through = left == 0 || at_its_end && progress.unfinished() == 0;
                    if is_through || !progress.is_on_probation() {
                        progress.end_probation();
                        self.placed = true;
                        self.set_standing(id, Standing::Passed);
                    }
                }
                Standing::Passed if progress.is_announced() => {
                    self.passed.push(self.places[id].topic_partition.clone());
                    effects.passed = true;
                    self.set_standing(id, Standing::Good);
                    effects.ready += self.ready(self.limits.workers).max(1);
                }
                _ => {}
            }
        }
        effects.commit |= self.tells_commit();
    }

    /// The source has refused commits of these assignments. What waited for their first one may start: the next one tells what it was
    /// to. What is on probation waits for that.
    pub(in crate::pipeline) fn refused(&mut self, commits: &[(Epoch, G::Commit)]) -> Effects {
        let mut effects = Effects::default();
        self.start_marked(commits, &mut effects);
        effects
    }

    /// It has taken them.
    pub(super) fn answered(&mut self, commits: &[(Epoch, G::Commit)]) -> Effects {
        let mut effects = Effects::default();
        self.start_marked(commits, &mut effects);
        if self.on_probation > 0 {
            self.review(&mut effects);
            effects.ready += self.ready(self.limits.workers).max(1);
        }
        effects
    }

    fn start_marked(&mut self, commits: &[(Epoch, G::Commit)], effects: &mut Effects) {
        let mut started = false;
        for (epoch, _) in commits {
            let Some(&id) = self.place_by_epoch.get(epoch) else { continue };
            if self.places[id].is_unmarked() {
                self.regate(id, |place| place.set_standing(Standing::Good), effects);
                started = true;
            }
        }
        if started {
            effects.room = true;
            self.try_again(effects);
        }
    }

    /// Partitions that have passed their probation since the last look.
    pub(in crate::pipeline) fn take_passed(&mut self) -> Vec<TopicPartition> {
        std::mem::take(&mut self.passed)
    }
}

fn bring_forward<T>(queue: &mut VecDeque<T>, is_it: impl Fn(&T) -> bool) {
    let found = queue.iter().position(is_it).and_then(|index| queue.remove(index));
    if let Some(found) = found {
        queue.push_front(found);
    }
}

/// Why a record isn't run again.
pub(super) fn crash(ends: u32, handler: &'static str) -> Box<Failure> {
    let error = format!("the process ended without warning each time that this record ran alone, {ends} times");
    Box::new(Failure { reason: Reason::Crash, error, attempts: ends, handler })
}
