//! What a commit says is finished, read from its offset and its metadata.
//!
//! Written from the format's description alone, and not with the library's own decoder: the two must not share a fault. Unlike that one it is strict
//! about nothing but what it needs, and text that it can't read covers nothing above the offset.

use daemonry::record::Offset;

/// The offsets that one commit of one partition covers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Coverage {
    /// All offsets below this one are covered.
    pub next: i64,
    /// And those from each first number up to, not including, each second one; in order.
    pub runs: Vec<(i64, i64)>,
}

impl Coverage {
    /// What a commit of `next` with this metadata covers.
    pub fn of(next: Offset, metadata: &str) -> Self {
        Self { next: next.0, runs: runs(next.0, metadata).unwrap_or_default() }
    }

    /// What lies at or behind this offset it does not cover.
    pub fn end(&self) -> i64 {
        self.runs.last().map_or(self.next, |&(_, end)| end.max(self.next))
    }

    /// Whether it covers this offset.
    pub fn covers(&self, offset: i64) -> bool {
        let behind = self.runs.partition_point(|&(_, end)| end <= offset);
        offset < self.next || self.runs.get(behind).is_some_and(|&(start, _)| start <= offset)
    }
}

fn runs(low: i64, metadata: &str) -> Option<Vec<(i64, i64)>> {
    let fields: Vec<&str> = metadata.split(':').collect();
    let fields = match fields.as_slice() {
        // Of which topic it is.
        ["dm3", _, fields @ ..] => fields,
        fields => fields,
    };
    let (form, payload) = match *fields {
        ["dm1", _, form, payload] | ["dm2", _, form, payload, _] => (form, payload),
        _ => return None,
    };
    let bytes = base64url(payload)?;
    match form {
        "r" => {
            let (mut runs, mut end) = (Vec::new(), low);
            let mut numbers = varints(&bytes)?.into_iter();
            while let Some(gap) = numbers.next() {
                let start = end + gap + 1;
                end = start + numbers.next()? + 1;
                runs.push((start, end));
            }
            Some(runs)
        }
        "b" => {
            let bits = (0_i64..).zip(bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte & (1 << bit) != 0)));
            let finished = bits.filter(|&(_, finished)| finished).map(|(bit, _)| low + 1 + bit);
            let mut runs: Vec<(i64, i64)> = Vec::new();
            for offset in finished {
                match runs.last_mut() {
                    Some((_, end)) if *end == offset => *end += 1,
                    _ => runs.push((offset, offset + 1)),
                }
            }
            Some(runs)
        }
        _ => None,
    }
}

fn base64url(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        held = held << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
        }
    }
    Some(bytes)
}

fn varints(bytes: &[u8]) -> Option<Vec<i64>> {
    let (mut numbers, mut number, mut shift) = (Vec::new(), 0_i64, 0);
    for byte in bytes {
        number |= i64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            numbers.push(std::mem::take(&mut number));
            shift = 0;
        } else {
            shift += 7;
        }
    }
    (shift == 0).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_as_the_format_describes_them() {
        // Distance 2, length 2, then distance 6, length 1: 102, 103 and 110 above 100.
        let coverage = Coverage::of(Offset(100), "dm1:6815c86c:r:AQEFAA");
        assert_eq!(coverage.runs, [(102, 104), (110, 111)]);
        let covered: Vec<i64> = (98..112).filter(|&offset| coverage.covers(offset)).collect();
        assert_eq!(covered, [98, 99, 102, 103, 110]);
    }

    #[test]
    fn a_bitmap_is_read_as_the_format_describes_it() {
        assert_eq!(Coverage::of(Offset(100), "dm1:6815c86c:b:BgI").runs, [(102, 104), (110, 111)]);
    }

    #[test]
    fn what_is_told_of_a_partitions_use_covers_nothing() {
        assert_eq!(Coverage::of(Offset(100), "dm2:6815c86c:b:BgI:AQk").runs, [(102, 104), (110, 111)]);
        assert_eq!(Coverage::of(Offset(100), "dm2:6815c86c:r::AQk").runs, []);
        assert_eq!(Coverage::of(Offset(100), "dm3:1a2b3c4d.8:dm1:6815c86c:b:BgI").runs, [(102, 104), (110, 111)]);
    }

    #[test]
    fn a_long_number_is_put_together_from_its_bytes() {
        // ac 02 is 300.
        assert_eq!(Coverage::of(Offset(0), "dm1:6815c86c:r:AKwC").runs, [(1, 302)]);
    }

    #[test]
    fn text_of_others_covers_nothing_above_the_offset() {
        for metadata in ["", "x", "dm4:6815c86c:b:BgI", "dm1:6815c86c:z:BgI", "dm1:6815c86c:b:B*", "dm1:6815c86c:r:AQ"]
        {
            assert_eq!(Coverage::of(Offset(5), metadata), Coverage { next: 5, runs: Vec::new() }, "{metadata}");
        }
    }
}
