//! Which lane a key has.

use super::super::entry::KeyHash;
use super::*;

#[test]
fn keys_whose_hashes_look_alike_have_lanes_of_their_own() {
    let mut bench = Bench::keyed(2, 1, 10);
    let lanes = &mut bench.lanes;
    let lanes: Vec<_> =
        [(0, 1), (0, 2), (1, 1), (0, 1)].map(|(place, key)| lanes.lane(place, Some(KeyHash::new(key)))).to_vec();
    assert_eq!(lanes, [0, 1, 2, 0]);
}
