//! Free lanes, of which the first in memory is taken first.
//!
//! So lanes that are taken one after the other stand side by side, whatever order they come back in, and there are no more of them in use than
//! are needed at once. The one that came back last would be the warmest, but keys come back in another order than they came in: with each round
//! the lanes would be shuffled once more, until none stands beside the next.

use super::LaneId;

/// See the module. A bit for each lane that is free; and one for each word of these that has any.
#[derive(Debug, Default)]
pub(super) struct Spare {
    free: Vec<u64>,
    words: Vec<u64>,
}

impl Spare {
    /// Takes the first one out.
    pub(super) fn take(&mut self) -> Option<LaneId> {
        let (group, words) = self.words.iter_mut().enumerate().find(|(_, words)| **words != 0)?;
        let word = group * 64 + words.trailing_zeros() as usize;
        let free = &mut self.free[word];
        let lane = word * 64 + free.trailing_zeros() as usize;
        *free &= *free - 1;
        if *free == 0 {
            *words &= *words - 1;
        }
        Some(lane)
    }

    /// This one is free now.
    pub(super) fn put(&mut self, lane: LaneId) {
        let word = lane / 64;
        if word >= self.free.len() {
            self.free.resize(word + 1, 0);
            self.words.resize(word / 64 + 1, 0);
        }
        self.free[word] |= 1 << (lane % 64);
        self.words[word / 64] |= 1 << (word % 64);
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> Vec<LaneId> {
        let bits = |word: u64| (0..64).filter(move |bit| word >> bit & 1 == 1);
        self.free.iter().enumerate().flat_map(|(at, word)| bits(*word).map(move |bit| at * 64 + bit)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(crate::pipeline::properties())]

        /// Far enough apart to need several words of words.
        #[test]
        fn the_first_is_taken_first(steps in prop::collection::vec(prop::option::of(0_usize..10_000), 0..60)) {
            let (mut spare, mut model) = (Spare::default(), BTreeSet::new());
            for step in steps {
                match step {
                    Some(lane) => {
                        spare.put(lane);
                        model.insert(lane);
                    }
                    None => prop_assert_eq!(spare.take(), model.pop_first()),
                }
            }
            prop_assert!(spare.all().into_iter().eq(model));
        }
    }
}
