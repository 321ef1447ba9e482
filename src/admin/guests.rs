//! Who is connected, and who goes where no more can be: so that nobody keeps the others out, however many connections they open.
//!
//! A pure part: the listener tells it who comes and who has gone. The invariant: who has fewer connections than somebody else gets in, and
//! one that only waits to be asked something never stands in the way of its own neighbours.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// An address, as far as it stands for somebody: of IPv6 everybody has at least 2^64 of them.
pub(crate) fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

/// That a connection has asked something whole, so that an answer is on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct HasAsked(Arc<AtomicBool>);

impl HasAsked {
    pub(crate) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Guests(Arc<Mutex<BTreeMap<u64, Guest>>>);

#[derive(Clone, Debug)]
struct Guest {
    from: IpAddr,
    has_asked: HasAsked,
    leave: CancellationToken,
}

/// A connection's own place among them, for as long as it is there.
#[derive(Debug)]
pub(super) struct Stay {
    guests: Guests,
    number: u64,
    pub(super) has_asked: HasAsked,
    /// Tells it to go.
    pub(super) leave: CancellationToken,
}

impl Guests {
    /// Somebody has come.
    pub(super) fn enter(&self, from: IpAddr) -> Stay {
        let (has_asked, leave) = (HasAsked::default(), CancellationToken::new());
        let mut guests = self.0.lock();
        // In the order in which they came.
        let number = guests.last_key_value().map_or(0, |(last, _)| last + 1);
        guests.insert(number, Guest { from: household(from), has_asked: has_asked.clone(), leave: leave.clone() });
        Stay { guests: self.clone(), number, has_asked, leave }
    }

    /// Tells one to go, so that somebody from there can come; says whether there is one to whom that can be told.
    ///
    /// It is of those who have the most connections, and of theirs the oldest that has asked nothing yet. One that is being answered goes
    /// only for somebody who has fewer all the same.
    pub(super) fn make_room(&self, from: IpAddr) -> bool {
        let from = household(from);
        let guests = self.0.lock();
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for guest in guests.values() {
            *counts.entry(guest.from).or_default() += 1;
        }
        let theirs = counts.get(&from).copied().unwrap_or(0);
        let may_go = |guest: &Guest| match guest.has_asked.is_so() {
            false => guest.from == from || counts[&guest.from] > theirs,
            true => counts[&guest.from] > theirs + 1,
        };
        // Those who were told before are about to go, and counted meanwhile.
        let there = guests.iter().filter(|(_, guest)| !guest.leave.is_cancelled() && may_go(guest));
        let goes =
            there.max_by_key(|(number, guest)| (counts[&guest.from], !guest.has_asked.is_so(), Reverse(**number)));
        if let Some((_, guest)) = goes {
            guest.leave.cancel();
        }
        goes.is_some()
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.guests.0.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// So many of each of these addresses, in this order.
    fn full(guests: &Guests, of: &[(u8, usize)]) -> Vec<Stay> {
        of.iter().flat_map(|(last, count)| vec![address(*last); *count]).map(|from| guests.enter(from)).collect()
    }

    fn gone(stays: &[Stay]) -> Vec<usize> {
        let told = stays.iter().enumerate().filter(|(_, stay)| stay.leave.is_cancelled());
        told.map(|(index, _)| index).collect()
    }

    #[test]
    fn the_oldest_silent_one_of_those_who_have_the_most_goes_for_a_stranger() {
        let guests = Guests::default();
        let stays = full(&guests, &[(1, 2), (2, 4), (3, 1)]);
        stays[2].has_asked.note();
        assert!(guests.make_room(address(9)));
        assert_eq!(gone(&stays), [3], "the third is being answered");
        assert!(guests.make_room(address(9)));
        assert_eq!(gone(&stays), [3, 4], "nobody is told twice");
    }

    #[test]
    fn silent_ones_go_for_their_own_neighbours_and_answers_do_not() {
        let guests = Guests::default();
        let stays = full(&guests, &[(1, 3), (2, 2)]);
        stays[0].has_asked.note();
        assert!(guests.make_room(address(1)));
        assert_eq!(gone(&stays), [1]);
        stays[2].has_asked.note();
        assert!(!guests.make_room(address(1)), "all of theirs are being answered, and they have the most");
        assert_eq!(gone(&stays), [1]);
    }

    #[test]
    fn an_answer_is_broken_off_only_for_somebody_who_has_fewer_all_the_same() {
        let guests = Guests::default();
        let stays = full(&guests, &[(1, 3), (2, 2), (3, 1)]);
        stays.iter().for_each(|stay| stay.has_asked.note());
        assert!(!guests.make_room(address(2)), "they would have as many as those");
        assert!(guests.make_room(address(3)));
        assert_eq!(gone(&stays), [0]);
        let single = Guests::default();
        let stays = full(&single, &[(1, 1), (2, 1)]);
        stays.iter().for_each(|stay| stay.has_asked.note());
        assert!(!single.make_room(address(9)), "nobody has more than one");
    }

    #[test]
    fn who_has_gone_counts_no_more() {
        let guests = Guests::default();
        let mut stays = full(&guests, &[(1, 2), (2, 3)]);
        stays.drain(2..);
        assert!(guests.make_room(address(9)));
        assert_eq!(gone(&stays), [0]);
        drop(stays);
        assert!(guests.0.lock().is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_household_and_an_address_of_ipv4_is() {
        let parsed = |text: &str| household(text.parse().expect("an address"));
        assert_eq!(parsed("2001:db8:1:2::7"), parsed("2001:db8:1:2:ffff::1"));
        assert_ne!(parsed("2001:db8:1:2::7"), parsed("2001:db8:1:3::7"));
        assert_eq!(parsed("::ffff:10.0.0.1"), address(1));
        assert_ne!(parsed("10.0.0.1"), parsed("10.0.0.2"));
    }
}
