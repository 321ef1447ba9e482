//! Usage: what a commit says of who reads its partition, so that whoever reads it next can tell how that one ended.
//!
//! A holder names itself with its first commit, and takes its name away with its last one. Where it is still there, the holder has ended
//! without warning. Beside it stands what the quarantine of records that kill the process has to remember. The invariant: however much
//! there is to remember, it takes no more than [`RESERVE`] bytes.
//!
//! Unpadded base64url of LEB128 varints: first the sum of 1 (there is a holder), 2 (probation), 4 (an end was seen) and 8 (a record runs
//! alone), then a number for each of them but the second, in this order: the holder's name, the seconds since 1970, and the distance of
//! the record from the committed offset. Then, up to its end, two numbers for each accused record: its distance from the committed
//! offset, and how often the process ended while it ran alone.

use base64::Engine as _;

use super::{BASE64, distance, read_varint, write_varint};
use crate::record::Offset;

/// How many accused records are remembered; of more of them, those that most ends speak against.
const MOST_ACCUSED: usize = 4;

/// The most bytes that a usage adds to a commit: 1 + 5 + 5 + 9 bytes, and 9 + 5 for each accused record, as base64 and behind a colon.
pub(in crate::pipeline) const RESERVE: usize = 1 + (20 + 14 * MOST_ACCUSED).div_ceil(3) * 4;

const HOLDER: u64 = 1;
const PROBATION: u64 = 2;
const ENDED: u64 = 4;
const RUNNING: u64 = 8;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::pipeline) struct Usage {
    /// Who reads the partition; nobody once it was given up in order.
    pub(in crate::pipeline) holder: Option<u32>,
    /// Records run one at a time, each announced first.
    pub(in crate::pipeline) probation: bool,
    /// When it was last seen that a holder had ended without warning, in seconds since 1970.
    pub(in crate::pipeline) ended: Option<u32>,
    /// The record that runs alone.
    pub(in crate::pipeline) running: Option<Offset>,
    /// Unfinished records, each with how often the process ended while it ran alone.
    pub(in crate::pipeline) accused: Vec<(Offset, u32)>,
}

impl Usage {
    /// Its text beside the committed offset `low`, which no record in it is below; empty where there is nothing to say.
    pub(in crate::pipeline) fn encode(&self, low: Offset) -> String {
        if *self == Self::default() {
            return String::new();
        }
        let mut bytes = Vec::with_capacity(RESERVE);
        let flag = |holds: bool, flag: u64| if holds { flag } else { 0 };
        let flags = flag(self.holder.is_some(), HOLDER)
            + flag(self.probation, PROBATION)
            + flag(self.ended.is_some(), ENDED)
            + flag(self.running.is_some(), RUNNING);
        write_varint(&mut bytes, flags);
        for number in [self.holder, self.ended].into_iter().flatten() {
            write_varint(&mut bytes, number.into());
        }
        if let Some(running) = self.running {
            write_varint(&mut bytes, distance(low, running));
        }
        let mut accused: Vec<&(Offset, u32)> = self.accused.iter().collect();
        accused.sort_by_key(|(_, ends)| std::cmp::Reverse(*ends));
        for &&(offset, ends) in accused.iter().take(MOST_ACCUSED) {
            write_varint(&mut bytes, distance(low, offset));
            write_varint(&mut bytes, ends.into());
        }
        BASE64.encode(bytes)
    }

    /// The usage that this text tells beside the committed offset `low`.
    pub(super) fn decode(text: &str, low: Offset) -> Result<Self, &'static str> {
        let bytes = BASE64.decode(text).map_err(|_| "its usage is not base64")?;
        let mut bytes = bytes.as_slice();
        let flags = read_varint(&mut bytes)?;
        if flags > HOLDER + PROBATION + ENDED + RUNNING {
            return Err("its usage has a flag that nobody knows");
        }
        let mut usage = Self { probation: flags & PROBATION != 0, ..Self::default() };
        if flags & HOLDER != 0 {
            usage.holder = Some(read_number(&mut bytes)?);
        }
        if flags & ENDED != 0 {
            usage.ended = Some(read_number(&mut bytes)?);
        }
        if flags & RUNNING != 0 {
            usage.running = Some(read_offset(&mut bytes, low)?);
        }
        while !bytes.is_empty() {
            if usage.accused.len() == MOST_ACCUSED {
                return Err("its usage accuses too many records");
            }
            usage.accused.push((read_offset(&mut bytes, low)?, read_number(&mut bytes)?));
        }
        Ok(usage)
    }
}

fn read_number(bytes: &mut &[u8]) -> Result<u32, &'static str> {
    u32::try_from(read_varint(bytes)?).map_err(|_| "a number of its usage is too large")
}

fn read_offset(bytes: &mut &[u8], low: Offset) -> Result<Offset, &'static str> {
    let offset = low.0.checked_add_unsigned(read_varint(bytes)?);
    Ok(Offset(offset.ok_or("a record of its usage is beyond the last offset that there is")?))
}
