//! How often somebody may ask: a bucket an address, which is bounded whoever comes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What an address may ask at once.
const BURST: f64 = 200.0;
/// What it gets back in a second.
const PER_SECOND: f64 = 50.0;
/// Addresses that are remembered.
const ADDRESSES: usize = 10_000;

/// What a request costs.
pub(super) const REQUEST: f64 = 1.0;
/// What a token costs that nobody has: so that none can be guessed.
pub(super) const WRONG_TOKEN: f64 = 20.0;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct RateLimit(Mutex<HashMap<IpAddr, Bucket>>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn at(self, now: Instant) -> Self {
        let left = self.left + now.saturating_duration_since(self.at).as_secs_f64() * PER_SECOND;
        Self { left: left.min(BURST), at: now }
    }
}

impl RateLimit {
    /// Takes the price; where that is more than is left, says how long to wait for it.
    pub(super) fn take(&self, address: IpAddr, price: f64, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.0.lock();
        if buckets.len() >= ADDRESSES && !buckets.contains_key(&address) {
            // Whoever has a full one again is as a stranger.
            buckets.retain(|_, bucket| bucket.at(now).left < BURST);
            if buckets.len() >= ADDRESSES {
                return Err(Duration::from_secs(1));
            }
        }
        let full = Bucket { left: BURST, at: now };
        let bucket = buckets.entry(address).or_insert(full);
        *bucket = bucket.at(now);
        if bucket.left < price {
            return Err(Duration::from_secs_f64((price - bucket.left) / PER_SECOND));
        }
        bucket.left -= price;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_that_asks_too_often_waits_and_no_other_does() {
        let (limit, now) = (RateLimit::default(), Instant::now());
        let (one, other) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 1]));
        assert!((0..200).all(|_| limit.take(one, REQUEST, now).is_ok()));
        assert_eq!(limit.take(one, REQUEST, now), Err(Duration::from_millis(20)));
        assert_eq!(limit.take(one, WRONG_TOKEN, now), Err(Duration::from_millis(400)));
        assert!(limit.take(other, REQUEST, now).is_ok());
        assert!(limit.take(one, REQUEST, now + Duration::from_millis(20)).is_ok());
    }

    #[test]
    fn addresses_that_are_remembered_are_bounded() {
        let (limit, now) = (RateLimit::default(), Instant::now());
        let address = |index: usize| IpAddr::from(u32::try_from(index).expect("few").to_be_bytes());
        assert!((0..ADDRESSES).all(|index| limit.take(address(index), REQUEST, now).is_ok()));
        assert!(limit.take(address(ADDRESSES), REQUEST, now).is_err());
        // They are forgotten once they have waited.
        assert!(limit.take(address(ADDRESSES), REQUEST, now + Duration::from_secs(1)).is_ok());
        assert_eq!(limit.0.lock().len(), 1);
    }
}
