use proptest::prelude::*;

use super::*;

const LOTS: usize = 1 << 40;

fn share(queued: usize, room: usize) -> Share {
    Share { queued, room, brief: false }
}

fn demand(free: usize, shares: &[Share]) -> Demand {
    Demand::new(free, LOTS, epochs(shares))
}

fn epochs(shares: &[Share]) -> impl Iterator<Item = (Epoch, Share)> {
    (0..).map(Epoch).zip(shares.iter().copied())
}

/// What each partition may have now.
fn records(demand: &Demand, partitions: u64) -> Vec<usize> {
    (0..partitions).map(|epoch| demand.records(Epoch(epoch))).collect()
}

#[test]
fn none_allows_nothing() {
    assert!(Demand::none().is_none());
    assert_eq!((Demand::none().records(Epoch(0)), Demand::none().bytes()), (0, 0));
}

#[test]
fn one_partition_may_fill_all_that_is_free_up_to_its_room() {
    assert_eq!(demand(100, &[share(5, 1000)]).records(Epoch(0)), 100);
    assert_eq!(demand(100, &[share(0, 1000)]).records(Epoch(0)), 100);
    assert_eq!(demand(100, &[share(5, 30)]).records(Epoch(0)), 30);
    assert_eq!(demand(100, &[share(0, 0)]).records(Epoch(0)), 0);
}

#[test]
fn partition_that_is_not_named_gets_nothing() {
    let mut demand = demand(100, &[share(0, 10)]);
    assert_eq!(demand.records(Epoch(7)), 0);
    demand.take(Epoch(7), 50, 50);
    assert_eq!((demand.records(Epoch(0)), demand.bytes()), (10, LOTS));
}

#[test]
fn slot_stays_free_for_each_other_empty_partition() {
    let mut demand = demand(10, &[share(50, 1000), share(0, 1000), share(0, 1000), share(0, 0), share(3, 1000)]);
    assert_eq!(records(&demand, 5), [8, 9, 9, 0, 8]);
    demand.take(Epoch(0), 8, 0);
    assert_eq!(records(&demand, 5), [0, 1, 1, 0, 0]);
    demand.take(Epoch(2), 1, 0);
    assert_eq!(records(&demand, 5), [0, 1, 0, 0, 0]);
    demand.take(Epoch(1), 1, 0);
    assert!(demand.is_none());
}

#[test]
fn empty_partitions_take_turns_where_there_are_fewer_slots() {
    let mut demand = demand(2, &[share(0, 9), share(0, 9), share(0, 9), share(1, 9)]);
    assert_eq!(records(&demand, 4), [1, 1, 1, 0]);
    demand.take(Epoch(1), 1, 0);
    assert_eq!(records(&demand, 4), [1, 0, 1, 0]);
    demand.take(Epoch(0), 1, 0);
    assert_eq!(records(&demand, 4), [0, 0, 0, 0]);
}

#[test]
fn record_that_goes_over_the_bytes_is_the_last() {
    let mut demand = Demand::new(10, 100, epochs(&[share(0, 10), share(0, 10)]));
    demand.take(Epoch(0), 1, 99);
    assert_eq!((demand.records(Epoch(1)), demand.bytes()), (9, 1));
    demand.take(Epoch(1), 1, 5_000_000);
    assert_eq!((records(&demand, 2), demand.bytes()), (vec![0, 0], 0));
    assert!(demand.is_none());
}

#[test]
fn delivering_nothing_changes_nothing() {
    let mut demand = demand(3, &[share(0, 5), share(2, 5)]);
    demand.take(Epoch(0), 0, 0);
    assert_eq!(records(&demand, 2), [3, 2]);
}

fn any_shares() -> impl Strategy<Value = Vec<Share>> {
    let number = || prop_oneof![2 => Just(0_usize), 3 => 0_usize..5, 1 => 0_usize..100];
    prop::collection::vec((number(), number()).prop_map(|(queued, room)| share(queued, room)), 0..9)
}

proptest! {
    #![proptest_config(crate::pipeline::properties())]

    /// A source that takes what it may, in any order and any portions.
    #[test]
    fn invariants_hold_whatever_is_taken(
        free in 0_usize..40,
        bytes in 0_usize..2000,
        shares in any_shares(),
        takes in prop::collection::vec((0_usize..9, any::<prop::sample::Index>(), 0_usize..100), 0..40),
    ) {
        let mut demand = Demand::new(free, bytes, epochs(&shares));
        let mut taken = vec![0; shares.len()];
        let mut bytes_left = bytes;
        for (partition, portion, size) in takes {
            if shares.is_empty() {
                break;
            }
            let partition = partition % shares.len();
            let epoch = Epoch(partition as u64);
            let now = free - taken.iter().sum::<usize>();
            let empty = |other: &usize| shares[*other].queued + taken[*other] == 0 && shares[*other].room > 0;
            let others = (0..shares.len()).filter(|other| *other != partition && empty(other)).count();
            let allowed = demand.records(epoch);

            prop_assert!(allowed <= now, "more than is free");
            prop_assert!(allowed <= shares[partition].room - taken[partition], "more than its room");
            if now > others {
                prop_assert!(now - allowed >= others, "a slot of an empty partition is gone");
                let most = (now - others).min(shares[partition].room - taken[partition]);
                prop_assert!(bytes_left == 0 || allowed == most, "less than could be");
            } else {
                prop_assert!(allowed <= 1, "more than a turn");
                let turn = empty(&partition) && now > 0;
                prop_assert_eq!(allowed == 1, turn, "a turn is for the empty ones");
            }
            prop_assert_eq!(demand.bytes(), bytes_left);
            let one = usize::from(empty(&partition));
            prop_assert!(bytes_left > 0 || allowed <= one, "without bytes, one record of a partition that has none");
            let all = records(&demand, shares.len() as u64);
            prop_assert_eq!(demand.is_none(), all.iter().all(|records| *records == 0), "none is when nobody may");

            let records = portion.index(allowed + 1);
            demand.take(epoch, records, records * size);
            taken[partition] += records;
            bytes_left = bytes_left.saturating_sub(records * size);
        }
    }

    /// Each takes all it may, one after the other.
    #[test]
    fn as_many_partitions_get_a_record_as_there_are_slots(free in 0_usize..40, partitions in 1_usize..60) {
        let shares = vec![share(0, 1000); partitions];
        let mut demand = demand(free, &shares);
        let mut taken = Vec::new();
        for epoch in (0..partitions as u64).map(Epoch) {
            let records = demand.records(epoch);
            demand.take(epoch, records, records);
            taken.push(records);
        }
        prop_assert_eq!(taken.iter().sum::<usize>(), free);
        prop_assert_eq!(taken.iter().filter(|records| **records > 0).count(), free.min(partitions));
    }
}

#[test]
fn shares_are_found_whatever_the_epochs_of_their_partitions() {
    let room = |epoch: u64| 1 + usize::try_from(epoch).unwrap();
    let of = |epochs: &[u64]| Demand::new(100, LOTS, epochs.iter().map(|&epoch| (Epoch(epoch), share(0, room(epoch)))));
    for epochs in [&[3, 4, 5, 6][..], &[7, 3, 9, 4], &[0, 2, 4, 100]] {
        let mut demand = of(epochs);
        for epoch in 0..=101 {
            let known = epochs.contains(&epoch);
            assert_eq!(
                demand.records(Epoch(epoch)),
                if known { room(epoch).min(97) } else { 0 },
                "{epoch} of {epochs:?}"
            );
        }
        demand.take(Epoch(4), 2, 0);
        assert_eq!(demand.records(Epoch(4)), 3, "{epochs:?}");
    }
}
