//! The audit: everything that the lanes keep count of, counted again from their entries.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::breaker::State as BreakerState;
use super::super::lane::Owner;
use super::super::place::Gate;
use super::super::*;
use super::chance::PARTITIONS;
use super::model::{TOPIC, World};
use crate::pipeline::tracker::OffsetTracker;

/// Everything that must hold between two calls.
pub(super) fn audit(world: &World) {
    let lanes = &world.lanes;
    each_entry_is_in_one_place(world);
    loads_are_what_the_entries_weigh(world);
    let limits = lanes.limits;
    assert!(
        lanes.loads.queued.records <= limits.queue.records,
        "{} queued of {}",
        lanes.loads.queued.records,
        limits.queue.records
    );
    assert!(
        lanes.loads.parked.records <= limits.parked.records,
        "{} parked of {}",
        lanes.loads.parked.records,
        limits.parked.records
    );
    lanes_keep_their_order(world);
    states_stand_where_they_say(lanes);
    bundles_are_where_they_may_be(lanes);
    assignments_count_what_is_out(world);
    commits_claim_nothing_unfinished(world);
    nobody_sleeps_in_vain(world);
    assert_eq!((lanes.workers, lanes.idle()), (world.workers.may(), world.idle()), "workers");
}

fn each_entry_is_in_one_place(world: &World) {
    let mut seen = BTreeSet::new();
    let mut see = |entry: &Entry<Offset>| {
        let id = (entry.ticket.epoch(), entry.record.offset().0);
        assert!(seen.insert(id), "{id:?} is in two places");
    };
    world.lanes.lanes.iter().flat_map(|lane| &lane.queue).for_each(&mut see);
    world.out().flat_map(|out| out.entries).for_each(&mut see);
    world.letters.iter().for_each(|job| see(&job.entry));
    assert_eq!(seen, world.alive, "records were lost, or came back");
}

fn loads_are_what_the_entries_weigh(world: &World) {
    let lanes = &world.lanes;
    let mut loads = vec![(Load::default(), Load::default()); lanes.places.len()];
    let mut weigh = |place: PlaceId, entry: &Entry<Offset>| {
        let (queued, parked) = &mut loads[place];
        match entry.bound {
            Bound::Queue => queued.add(entry.bytes()),
            Bound::Parked => parked.add(entry.bytes()),
        }
    };
    for lane in &lanes.lanes {
        lane.queue.iter().for_each(|entry| weigh(lane.place(), entry));
    }
    for out in world.out() {
        out.entries.iter().for_each(|entry| weigh(out.place, entry));
    }
    world.letters.iter().for_each(|job| weigh(job.run.place, &job.entry));
    for hauler in world.haulers.values() {
        hauler.unreported().for_each(|bytes| loads[hauler.haul.place].0.add(bytes));
    }
    let sum = |of: fn(&(Load, Load)) -> Load| {
        loads.iter().map(of).fold(Load::default(), |sum, load| Load {
            records: sum.records + load.records,
            bytes: sum.bytes + load.bytes,
        })
    };
    assert_eq!((lanes.loads.queued, lanes.loads.parked), (sum(|load| load.0), sum(|load| load.1)));
    for (place, load) in lanes.places.iter().zip(&loads) {
        assert_eq!((place.loads.queued, place.loads.parked), *load, "{}", place.topic_partition);
    }
    let open = lanes.places.iter().filter(|place| place.open().is_some());
    let empty = open.clone().filter(|place| place.loads.queued.records == 0);
    assert_eq!((lanes.open, lanes.empty), (open.count(), empty.count()), "open and empty partitions");
}

fn lanes_keep_their_order(world: &World) {
    let mut known = BTreeMap::new();
    let outs: Vec<_> = world.out().collect();
    for (id, lane) in world.lanes.lanes.iter().enumerate().filter(|(_, lane)| lane.state != State::Free) {
        let mut holders = outs.iter().filter(|out| out.lane == id).map(|out| &out.entries);
        let out = holders.next();
        let letter = world.letters.iter().filter(|job| job.run.lane == id).collect::<Vec<_>>();
        assert!(holders.next().is_none() && letter.len() + usize::from(out.is_some()) <= 1, "a lane is out twice");
        let is_out = out.is_some() || !letter.is_empty();
        assert_eq!(lane.state == State::Out, is_out, "lane {id} is {:?}", lane.state);

        let heads = out.into_iter().flatten().copied().chain(letter.into_iter().map(|job| &job.entry));
        let mut last = None;
        for entry in heads.chain(&lane.queue) {
            let (epoch, offset) = (entry.ticket.epoch(), entry.record.offset().0);
            assert!(last < Some((epoch, offset)), "{offset} of {epoch:?} stands behind {last:?}");
            last = Some((epoch, offset));
            let partition = usize::try_from(entry.record.partition().0).expect("not negative");
            if let Some(key) = world.lane(partition, offset) {
                let lane = *known.entry((partition, key)).or_insert(id);
                assert_eq!(lane, id, "two lanes for key {key} of partition {partition}");
            }
        }
    }
    for (id, lane) in world.lanes.lanes.iter().enumerate() {
        if let Some(key) = lane.key() {
            assert_eq!(
                world.lanes.lane_of.find(&world.lanes.lanes, lane.place(), key),
                Some(id),
                "a lane that can't be found"
            );
        }
    }
    let keyed = world.lanes.lanes.iter().filter(|lane| lane.key().is_some()).count();
    assert_eq!(world.lanes.lane_of.len(), keyed, "lanes that aren't there can be found");
}

/// A bundle is found by its number, and there is none that waits, or where keys are told apart.
fn bundles_are_where_they_may_be(lanes: &Lanes<OffsetTracker>) {
    let mut bundles = 0;
    for (id, lane) in lanes.lanes.iter().enumerate() {
        let Owner::Bundle(bundle) = lane.owner() else { continue };
        bundles += 1;
        let place = &lanes.places[lane.place()];
        assert_eq!(place.bundles.get(bundle), Some(id), "a bundle that can't be found");
        assert!(!matches!(lane.state, State::Parked | State::Letter | State::Closed | State::Free), "{:?}", lane.state);
        let told_apart = lanes.key_budgets.is_some() || !lanes.paused_keys.is_empty() || place.is_on_probation();
        assert!(!told_apart || lane.state == State::Out, "a bundle that nobody sorts out");
    }
    assert_eq!(lanes.places.iter().map(|place| place.bundles.iter().count()).sum::<usize>(), bundles, "bundles");
    let counted = lanes.places.iter().all(|place| place.bundles.has_some() == place.bundles.iter().next().is_some());
    assert!(counted, "how many bundles there are");
    for place in &lanes.places {
        let records: usize = place.bundles.iter().map(|lane| lanes.lanes[lane].queue.len()).sum();
        assert_eq!(place.bundles.records(), records, "records that stand in bundles");
    }
}

/// Each state has one queue or timer to stand in.
fn states_stand_where_they_say(lanes: &Lanes<OffsetTracker>) {
    let of = |wanted: fn(State) -> bool| {
        lanes.lanes.iter().enumerate().filter(move |(_, lane)| wanted(lane.state)).map(|(id, _)| id).collect::<Vec<_>>()
    };
    let sorted = |ids: Vec<LaneId>| {
        let mut ids = ids;
        ids.sort_unstable();
        ids
    };
    let gathered = lanes.gathers.iter().flat_map(|gather| gather.lanes.iter().map(|(lane, _)| *lane));
    let ready = lanes.places.iter().flat_map(|place| place.ready.iter().copied()).chain(gathered).collect();
    assert_eq!(sorted(ready), of(|state| state == State::Ready), "ready lanes");
    let free = of(|state| state == State::Free);
    assert!(free.iter().all(|&id| lanes.lanes[id].key().is_none()), "a key that nobody has needs no lane");
    assert_eq!(lanes.spare.all(), free, "free lanes");
    assert_eq!(sorted(lanes.due.iter().copied().collect()), of(|state| state == State::Due), "lanes that are due");
    let letters = lanes.places.iter().flat_map(|place| place.outbox.waiting.iter().copied()).collect();
    assert_eq!(sorted(letters), of(|state| state == State::Letter), "letters");
    let (resumed, timed): (Vec<_>, Vec<_>) =
        of(|s| s == State::Parked).into_iter().partition(|&id| lanes.lanes[id].timer.is_none());
    assert_eq!(sorted(lanes.retries.values().copied().collect()), timed, "timers");
    assert!(
        resumed.iter().all(|&id| lanes.lanes[id].limited && lanes.is_paused(id)),
        "nobody wakes one of {resumed:?}"
    );
    for (id, place) in lanes.places.iter().enumerate() {
        let turns = lanes.turns.iter().filter(|turn| **turn == Turn::Place(id)).count();
        assert_eq!((turns, place.in_turns), (usize::from(!place.ready.is_empty()), turns == 1), "turns of {id}");
    }
    for (id, gather) in lanes.gathers.iter().enumerate() {
        let turns = lanes.turns.iter().filter(|turn| **turn == Turn::Gather(id)).count();
        assert_eq!((turns, gather.in_turns), (usize::from(gather.batches() > 0), turns == 1), "turns of gather {id}");
        let records = gather.lanes.iter().map(|(lane, _)| lanes.lanes[*lane].queued()).sum::<usize>();
        assert_eq!(gather.records, records, "what is gathered");
    }
    trials_are_the_only_ones_that_start(lanes);
    for place in &lanes.places {
        assert_eq!(place.gate(), place.gate_now(), "{}", place.topic_partition);
    }
    let on_probation = lanes.places.iter().filter(|place| place.is_on_probation()).count();
    assert_eq!(lanes.on_probation, on_probation, "places on probation");
    for (id, lane) in lanes.lanes.iter().enumerate() {
        let head = lane.queue.front();
        let is_trial = lanes.circuits.iter().any(|circuit| circuit.trial == Some(id));
        let gate = lanes.places.get(lane.place()).map_or(Gate::Open, Place::gate);
        let paused = gate != Gate::Open;
        let startable = matches!(lane.state, State::Ready | State::Due);
        assert!(!(paused && startable && !is_trial), "a lane of a paused partition could start");
        assert!(!(gate == Gate::Shut && startable), "what is tried of a paused partition could start");
        assert!(!(startable && lanes.is_spent(id)), "a lane could start whose key may not");
        assert!(!lane.limited || matches!(lane.state, State::Parked), "a limited lane is {:?}", lane.state);
        assert!(paused || lane.state != State::Paused, "a lane waits for nobody");
        match lane.state {
            State::Free => assert!(head.is_none(), "an entry in a lane that nobody uses"),
            State::Ready => assert!(head.is_some_and(|head| head.bound == Bound::Queue), "nothing to run"),
            State::Parked | State::Letter | State::Closed => assert!(head.is_some(), "nobody waits"),
            State::Paused => assert!(head.is_some(), "nobody waits"),
            State::Due => assert!(head.is_some_and(|head| head.failure.is_none()), "a letter in the workers' way"),
            State::Out => {}
        }
    }
}

/// A route is held back exactly while its breaker isn't closed, and nobody forgets to try a record.
fn trials_are_the_only_ones_that_start(lanes: &Lanes<OffsetTracker>) {
    let held_back = lanes.circuits.iter().filter(|circuit| circuit.breaker.state() != BreakerState::Closed);
    assert_eq!(lanes.held_back, held_back.count(), "routes that are held back");
    for (id, circuit) in lanes.circuits.iter().enumerate() {
        let state = circuit.breaker.state();
        assert_eq!(
            circuit.passage == Passage::Free,
            state == BreakerState::Closed,
            "{:?} while {state:?}",
            circuit.passage
        );
        assert!(circuit.trial.is_none() || state == BreakerState::HalfOpen, "a trial while it is {state:?}");
        let places: Vec<_> = lanes.places.iter().filter(|place| place.circuit == Some(id)).collect();
        for place in &places {
            assert_eq!(place.is_held_back(), state != BreakerState::Closed, "{}", place.topic_partition);
            let may_start = place.open().is_none_or(|open| open.context.may_start() != place.is_held_back());
            assert!(may_start, "workers hear something else of {}", place.topic_partition);
        }
        if let Some(trial) = circuit.trial {
            let is_under_way = matches!(lanes.lanes[trial].state, State::Ready | State::Due | State::Out);
            assert!(is_under_way, "what is tried is {:?}", lanes.lanes[trial].state);
        } else if state == BreakerState::HalfOpen {
            let waits = |(lane_id, lane): &(usize, &Lane<Offset>)| {
                let place = &lanes.places[lane.place()];
                lane.state == State::Paused
                    && place.circuit == Some(id)
                    && place.gate() == Gate::Trials
                    && !lanes.is_spent(*lane_id)
            };
            assert_eq!(lanes.lanes.iter().enumerate().filter(waits).count(), 0, "nobody tries what waits for it");
            assert_eq!(circuit.passage, Passage::Read, "there is nothing to try, and nothing is read");
        }
    }
}

fn assignments_count_what_is_out(world: &World) {
    let lanes = &world.lanes;
    assert_eq!(lanes.busy, world.busy(), "busy workers");
    assert_eq!(lanes.gathers.iter().map(|gather| gather.busy).sum::<usize>(), world.batches.len(), "batches");
    for partition in 0..PARTITIONS {
        let log = &world.logs[partition];
        let topic_partition = TopicPartition::new("orders", i32::try_from(partition).expect("few partitions"));
        let Some(&id) = lanes.place_of.get(&topic_partition) else { continue };
        let place = &lanes.places[id];
        let hauls = world.haulers.values().filter(|hauler| hauler.haul.place == id);
        assert_eq!(place.busy, hauls.count(), "busy workers of {partition}");
        assert_eq!(place.assignment.as_ref().map(|assignment| assignment.context.epoch), log.epoch);
        assert_eq!(place.open().is_some(), log.is_open());
        let Some(assignment) = &place.assignment else { continue };
        let letters = world.letters.iter().map(|job| job.run.context.epoch);
        let out = world.out().map(|out| out.epoch).chain(letters).filter(|epoch| Some(*epoch) == log.epoch).count();
        assert_eq!(assignment.out, out, "what is out of {partition}");
        if log.is_open() {
            let queues = lanes.lanes.iter().flat_map(|lane| &lane.queue);
            let letters = world.letters.iter().map(|job| &job.entry);
            let of = |entry: &&Entry<Offset>| Some(entry.ticket.epoch()) == log.epoch && entry.stuck;
            assert_eq!(assignment.stuck_letters, queues.chain(letters).filter(of).count(), "stuck letters");
        }
    }
}

fn commits_claim_nothing_unfinished(world: &World) {
    for place in &world.lanes.places {
        let Some(assignment) = &place.assignment else { continue };
        let Some(log) = world.log_of(assignment.context.epoch) else { continue };
        if let Some(commit) = assignment.progress.commit() {
            let (next, low) = (commit.next.offset().0, world.logs[log].low());
            assert!(next <= low, "{next} is committed, {low} is not finished");
        }
    }
}

/// The reader doesn't sleep while a partition that has nothing here could be read.
fn nobody_sleeps_in_vain(world: &World) {
    for place in &world.lanes.places {
        let enough = place.wake_below.is_none_or(|mark| place.waiting() > mark);
        assert!(enough, "the reader was not told that only {} are ready", place.waiting());
    }
    let Some(demand) = &world.asked else { return };
    let free = world.lanes.limits.queue.records.saturating_sub(world.lanes.loads.queued.records);
    if (0..PARTITIONS).any(|partition| world.allowed(demand, partition) > 0) || free == 0 {
        return;
    }
    for (partition, _) in world.logs.iter().enumerate().filter(|(_, log)| log.is_open() && log.next < log.written) {
        let topic_partition = TopicPartition::new(TOPIC, i32::try_from(partition).expect("few partitions"));
        let place = &world.lanes.places[world.lanes.place_of[&topic_partition]];
        let idle =
            place.loads.queued.records == 0 && place.loads.parked.records == 0 && place.why_held(false).is_none();
        assert!(!idle, "the reader sleeps while {free} slots are free and partition {partition} has nothing queued");
    }
}
