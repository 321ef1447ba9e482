//! What surely fits: how much may be unfinished so that the runs can be written in a limit, in whatever order records
//! finish.
//!
//! Pure arithmetic beside the format it speaks of. The invariant: what [`Budget::more`] allows leads to no runs that
//! are too long to encode, whichever of the holes are filled first.

use super::HEADER;

/// The bytes that are left for runs or bitmap in a limit.
#[derive(Clone, Copy, Debug)]
pub(in crate::pipeline) struct Budget {
    bytes: u64,
}

impl Budget {
    /// Of metadata of `limit` bytes, header and base64 taken off.
    pub(in crate::pipeline) fn of(limit: usize) -> Self {
        let characters = limit.saturating_sub(HEADER) as u64;
        // Four characters hold three bytes; unpadded, two hold one and three hold two.
        Self { bytes: characters / 4 * 3 + characters % 4 * 3 / 4 }
    }

    pub(super) fn bytes(self) -> u64 {
        self.bytes
    }

    /// A *hole* is an offset that isn't finished; there are `holes` of them within `span` offsets, the lowest at its
    /// start. How many more may follow, each at most `stride` offsets behind the one before? `None` where what is there
    /// doesn't surely fit.
    pub(in crate::pipeline) fn more(self, holes: u64, span: u64, stride: u64) -> Option<u64> {
        let by_bitmap = self.bitmap_span().checked_sub(span).map(|offsets| offsets / stride.max(1));
        // As varints each hole takes two bytes at least.
        let most = (self.bytes / 2).saturating_sub(holes);
        if by_bitmap.is_some_and(|more| more >= most) {
            // As ever but where much is unfinished: this is asked of each partition at each read.
            return by_bitmap;
        }
        let grown = |more: u64| (holes.saturating_add(more), span.saturating_add(more.saturating_mul(stride)));
        let by_varints = self.varints_fit(holes, span).then(|| {
            // What fits for some fits for fewer: halve the bounds until they meet.
            let (mut fits, mut too_many) = (0, most + 1);
            while fits + 1 < too_many {
                let middle = fits.midpoint(too_many);
                let (holes, span) = grown(middle);
                if self.varints_fit(holes, span) { fits = middle } else { too_many = middle }
            }
            fits
        });
        by_bitmap.max(by_varints)
    }

    /// The span that a bitmap covers: one bit an offset, but none for the lowest, which is never finished.
    fn bitmap_span(self) -> u64 {
        self.bytes.saturating_mul(8).saturating_add(1)
    }

    /// Whether the worst runs fit as varints.
    ///
    /// There is at most one run behind each hole, so at most `holes` pairs of numbers. A number takes one byte, and one
    /// more for each power of 128 that it reaches. The lengths of all runs add up to less than `span`, so no more of
    /// them reach `128^j` than `span / 128^j`. With a run behind every hole each distance is one byte; with fewer runs
    /// distances grow only by holes that have no run, and each of those saves two bytes where 128 of them cost one.
    fn varints_fit(self, holes: u64, span: u64) -> bool {
        let long: u64 = (1..9).map(|power| holes.min(span >> (7 * power))).fold(0, u64::saturating_add);
        holes.saturating_mul(2).saturating_add(long) <= self.bytes
    }
}
