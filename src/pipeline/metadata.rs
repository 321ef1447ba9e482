//! Commit metadata: what is finished above a committed offset, as the short text that a broker keeps beside it.
//!
//! Pure; owned by the [tracker](super::tracker), which alone writes and reads it. The invariants: what was encoded
//! decodes to the same runs; what wasn't written by this module, or for other lanes, decodes to no runs and a warning,
//! never to a panic or to more memory than a multiple of its own length. A run that is forgotten costs work done twice;
//! a run that is made up would lose records.
//!
//! # Format
//! Empty where there is nothing to say, else ASCII:
//!
//! ```text
//! dm1:<lanes>:r:<runs>      or      dm1:<lanes>:b:<bitmap>        whichever is shorter; `r` where they are the same
//! dm2:<lanes>:r:<runs>:<usage>      dm2:<lanes>:b:<bitmap>:<usage>
//! dm3:<mark>:<one of the above, or nothing>
//! ```
//!
//! - `dm1`, `dm2`: the format and its version. The second one is written only where there is a usage to tell: who reads the first one
//!   alone goes on from the offset, as after any other version of the format.
//! - `dm3`, `<mark>`: what the source has to tell beside it, without a colon; the pipeline has no use for it.
//! - `<lanes>`: a [`LaneTag`], 8 lower-case hex digits. The runs hold only for lanes of the same order and key
//!   function.
//! - `<runs>`: unpadded base64url of LEB128 varints, two for each run in ascending order: its distance from the end of
//!   the run before (from the committed offset for the first one) less one, then its length less one. Between two runs
//!   lies at least one unfinished offset, and the committed offset itself is unfinished, so neither number is ever
//!   negative.
//! - `<bitmap>`: unpadded base64url of bytes; bit `i % 8` (lowest first) of byte `i / 8` is set where the committed
//!   offset + 1 + `i` is finished. The last byte is never zero.
//! - `<usage>`: how the partition is used, see `usage.rs`. With it the runs may be empty, as `r` and nothing.
//!
//! Anything else after `dm1:` or `dm2:` is corrupt, also a number or a bitmap that is written longer than it need be.
//!
//! An example: 100 is committed; 102, 103 and 110 are finished. The runs take 2 bytes each, `01 01` for distance 2 and
//! length 2, `05 00` for distance 6 and length 1. The bitmap starts at 101 and has the bits 1, 2 and 9: `06 02`. It is
//! shorter, so with the tag of `"key"` the metadata is `dm1:6815c86c:b:BgI`.

mod budget;
mod usage;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

pub(super) use self::budget::Budget;
pub(super) use self::usage::{RESERVE, Usage};
use crate::record::Offset;

/// The length of all that stands before runs or bitmap.
const HEADER: usize = "dm1:01234567:b:".len();

/// No text that is longer is looked at: a broker's own limit is 4,096 bytes, unless somebody raised it.
const LONGEST: usize = i16::MAX as usize;

/// What runs mean depends on how records are told apart: the short form of a route's order and key function, which goes
/// with the runs. Where the next deployment has another, what was finished out of order under this one isn't carried
/// over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LaneTag(u32);

impl From<&str> for LaneTag {
    /// The tag of this text, for example `key:json:/customer`; FNV-1a of 32 bits.
    fn from(text: &str) -> Self {
        Self(text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)))
    }
}

impl fmt::Display for LaneTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Why what was remembered above a committed offset can't be used. The offset itself holds; records above it that were
/// finished before run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataWarning {
    /// It isn't ours.
    #[error(
        "commit metadata was written by another program and is ignored: check that nothing else commits for this group"
    )]
    Foreign,
    /// It is ours, of a version that this one doesn't read.
    #[error(
        "commit metadata has another version of its format and is ignored: records finished out of order run again"
    )]
    OtherVersion,
    /// The order or the key function isn't what it was.
    #[error("order or key function changed since the last commit: records finished out of order run again")]
    OtherLanes,
    /// It is ours and broken.
    #[error("commit metadata is corrupt and is ignored, {0}: records finished out of order run again")]
    Corrupt(&'static str),
}

/// Finished offsets in a row: `start` is the first of them, `end` the first behind them. Never empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The first finished offset.
    pub start: Offset,
    /// The first one behind them.
    pub end: Offset,
}

impl Run {
    pub(super) fn len(self) -> u64 {
        distance(self.start, self.end)
    }
}

/// How many offsets lie in `from..to`.
pub(super) fn distance(from: Offset, to: Offset) -> u64 {
    u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0)
}

/// The metadata of a commit at `low` with these runs above it, which are in order and don't touch each other or `low`.
/// `None` where it would be longer than `limit` bytes.
pub(super) fn encode(tag: LaneTag, low: Offset, runs: &[Run], limit: usize) -> Option<String> {
    let Some(last) = runs.last() else { return Some(String::new()) };
    let bitmap_bytes = bitmap_bytes(low, last.end);
    let varint_bytes: u64 = pairs(low, runs).map(|(gap, length)| varint_len(gap) + varint_len(length)).sum();
    let bytes = varint_bytes.min(bitmap_bytes);
    if bytes > Budget::of(limit).bytes() {
        return None;
    }
    let size = usize::try_from(bytes).expect("bytes within the limit, which is a usize");
    let (form, payload) = if varint_bytes <= bitmap_bytes {
        let mut payload = Vec::with_capacity(size);
        for (gap, length) in pairs(low, runs) {
            write_varint(&mut payload, gap);
            write_varint(&mut payload, length);
        }
        ('r', payload)
    } else {
        ('b', bitmap(low, runs, size))
    };
    Some(format!("dm1:{tag}:{form}:{}", BASE64.encode(payload)))
}

/// As [`encode`], without the highest runs where not all of them fit; and how many offsets of theirs are left out.
pub(super) fn encode_some(tag: LaneTag, low: Offset, runs: &[Run], limit: usize) -> (String, u64) {
    let budget = Budget::of(limit).bytes();
    let mut room = budget;
    let fit = pairs(low, runs).take_while(|&(gap, length)| {
        let bytes = varint_len(gap) + varint_len(length);
        let fits = bytes <= room;
        room = room.saturating_sub(bytes);
        fits
    });
    let as_varints = runs[..fit.count()].to_vec();

    let bits = i64::try_from(budget.saturating_mul(8)).unwrap_or(i64::MAX);
    let end = Offset(low.0.saturating_add(1).saturating_add(bits));
    let below = runs.iter().take_while(|run| run.start < end);
    let as_bitmap: Vec<Run> = below.map(|run| Run { start: run.start, end: run.end.min(end) }).collect();

    let kept = if count(&as_varints) >= count(&as_bitmap) { as_varints } else { as_bitmap };
    let metadata = encode(tag, low, &kept, limit).expect("a prefix that one of the two forms holds");
    (metadata, count(runs) - count(&kept))
}

/// Metadata as [`encode`] makes it, with a usage that is not empty behind it. At most [`RESERVE`] bytes longer.
pub(super) fn with_usage(tag: LaneTag, metadata: &str, usage: &str) -> String {
    match metadata.strip_prefix("dm1:") {
        Some(runs) => format!("dm2:{runs}:{usage}"),
        None => format!("dm2:{tag}:r::{usage}"),
    }
}

/// Metadata that tells a source's `mark` beside this one.
#[cfg_attr(not(feature = "kafka"), allow(dead_code, reason = "Kafka's commits alone have one"))]
pub(crate) fn marked(mark: &str, metadata: &str) -> String {
    format!("dm3:{mark}:{metadata}")
}

/// The mark of metadata, if it has one, and what it is beside.
pub(crate) fn unmarked(metadata: &str) -> (Option<&str>, &str) {
    let taken_apart = metadata.strip_prefix("dm3:").and_then(|rest| rest.split_once(':'));
    taken_apart.map_or((None, metadata), |(mark, metadata)| (Some(mark), metadata))
}

/// Metadata of ours, taken apart.
struct Fields<'a> {
    lanes: &'a str,
    form: &'a str,
    payload: &'a str,
    usage: Option<&'a str>,
}

/// Takes it apart; `None` where it is empty.
fn fields(metadata: &str) -> Result<Option<Fields<'_>>, MetadataWarning> {
    use MetadataWarning::{Corrupt, Foreign, OtherVersion};
    let (_, metadata) = unmarked(metadata);
    if metadata.is_empty() {
        return Ok(None);
    }
    let (version, rest) = metadata.strip_prefix("dm").and_then(|rest| rest.split_once(':')).ok_or(Foreign)?;
    if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Foreign);
    }
    if !matches!(version, "1" | "2") {
        return Err(OtherVersion);
    }
    if metadata.len() > LONGEST {
        return Err(Corrupt("it is longer than any broker keeps"));
    }
    let missing = || Corrupt("a field is missing");
    let (lanes, rest) = rest.split_once(':').ok_or_else(missing)?;
    let (form, payload) = rest.split_once(':').ok_or_else(missing)?;
    if lanes.len() != 8 || !lanes.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Corrupt("it names no lanes"));
    }
    let (payload, usage) = match version {
        "1" => (payload, None),
        _ => payload.split_once(':').map(|(payload, usage)| (payload, Some(usage))).ok_or_else(missing)?,
    };
    Ok(Some(Fields { lanes, form, payload, usage }))
}

/// The runs that `metadata` remembers above the committed offset `low`.
///
/// # Errors
/// Why it can't be read, or must not be: it is to be ignored then.
pub fn decode(metadata: &str, tag: LaneTag, low: Offset) -> Result<Vec<Run>, MetadataWarning> {
    use MetadataWarning::{Corrupt, OtherLanes};
    let Some(Fields { lanes, form, payload, usage }) = fields(metadata)? else { return Ok(Vec::new()) };
    if usage.is_some() && form == "r" && payload.is_empty() {
        return Ok(Vec::new());
    }
    if lanes != tag.to_string() {
        return Err(OtherLanes);
    }
    let bytes = BASE64.decode(payload).map_err(|_| Corrupt("it is not base64"))?;
    if bytes.is_empty() {
        return Err(Corrupt("it holds nothing"));
    }
    let runs = match form {
        "r" => read_runs(&bytes, low),
        "b" => read_bitmap(&bytes, low),
        _ => Err("it is neither runs nor a bitmap"),
    };
    runs.map_err(Corrupt)
}

/// How the partition was used, as `metadata` tells beside the committed offset `low`, whatever lanes its records ran in.
///
/// # Errors
/// Why it can't be read.
pub(super) fn decode_usage(metadata: &str, low: Offset) -> Result<Usage, MetadataWarning> {
    let Some(usage) = fields(metadata)?.and_then(|fields| fields.usage) else { return Ok(Usage::default()) };
    Usage::decode(usage, low).map_err(MetadataWarning::Corrupt)
}

/// How many records `metadata` remembers as finished above the committed offset `low`, whatever lanes they ran in.
///
/// # Errors
/// Why it can't be read.
pub fn finished_above(metadata: &str, low: Offset) -> Result<u64, MetadataWarning> {
    let lanes = unmarked(metadata).1.split(':').nth(1).and_then(|lanes| u32::from_str_radix(lanes, 16).ok());
    // Where it names none, decoding says what it is instead.
    Ok(count(&decode(metadata, LaneTag(lanes.unwrap_or_default()), low)?))
}

fn count(runs: &[Run]) -> u64 {
    runs.iter().map(|run| run.len()).sum()
}

/// Each run as the two numbers that stand for it.
fn pairs(low: Offset, runs: &[Run]) -> impl Iterator<Item = (u64, u64)> {
    let befores = std::iter::once(low).chain(runs.iter().map(|run| run.end));
    befores.zip(runs).map(|(before, run)| (distance(before, run.start) - 1, run.len() - 1))
}

fn read_runs(mut bytes: &[u8], low: Offset) -> Result<Vec<Run>, &'static str> {
    const BEYOND: &str = "a run ends beyond the last offset that there is";
    let mut runs = Vec::new();
    let mut before = low.0;
    while !bytes.is_empty() {
        // Two steps each, as `u64::MAX + 1` is none.
        let start =
            before.checked_add_unsigned(read_varint(&mut bytes)?).and_then(|at| at.checked_add(1)).ok_or(BEYOND)?;
        let end =
            start.checked_add_unsigned(read_varint(&mut bytes)?).and_then(|at| at.checked_add(1)).ok_or(BEYOND)?;
        runs.push(Run { start: Offset(start), end: Offset(end) });
        before = end;
    }
    Ok(runs)
}

fn varint_len(value: u64) -> u64 {
    u64::from((u64::BITS - (value | 1).leading_zeros()).div_ceil(7))
}

fn write_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Takes a number of at most 63 bits, as none between two offsets needs more.
fn read_varint(bytes: &mut &[u8]) -> Result<u64, &'static str> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or("a number is cut off")?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte == 0 && shift > 0 {
            return Err("a number is longer than it need be");
        }
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number is too large")
}

/// Bytes of the bitmap of a commit at `low` whose last run ends at `end`.
fn bitmap_bytes(low: Offset, end: Offset) -> u64 {
    distance(low, end).saturating_sub(1).div_ceil(8)
}

fn bitmap(low: Offset, runs: &[Run], size: usize) -> Vec<u8> {
    let mut bytes = vec![0_u8; size];
    let bit = |offset: Offset| usize::try_from(distance(low, offset) - 1).expect("a bit within the size");
    for run in runs {
        let (start, end) = (bit(run.start), bit(run.end));
        let (first, last) = (start / 8, (end - 1) / 8);
        let from_start = 0xff_u8 << (start % 8);
        let to_end = 0xff_u8 >> (7 - (end - 1) % 8);
        if first == last {
            bytes[first] |= from_start & to_end;
        } else {
            bytes[first] |= from_start;
            bytes[first + 1..last].fill(0xff);
            bytes[last] |= to_end;
        }
    }
    bytes
}

fn read_bitmap(bytes: &[u8], low: Offset) -> Result<Vec<Run>, &'static str> {
    if bytes.last() == Some(&0) {
        return Err("its bitmap is longer than it need be");
    }
    let mut runs: Vec<Run> = Vec::new();
    let bits = bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
    for (bit, _) in (1_u64..).zip(bits).filter(|&(_, finished)| finished) {
        let start = low.0.checked_add_unsigned(bit).ok_or("its bitmap ends beyond the last offset that there is")?;
        let end = Offset(start.checked_add(1).ok_or("its bitmap ends beyond the last offset that there is")?);
        match runs.last_mut() {
            Some(run) if run.end.0 == start => run.end = end,
            _ => runs.push(Run { start: Offset(start), end }),
        }
    }
    Ok(runs)
}

#[cfg(test)]
mod tests;
