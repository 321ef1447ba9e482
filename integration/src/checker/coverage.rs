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
    /// Of which topic it is by its own account: a hash of that one's id.
    pub topic: Option<String>,
}

impl Coverage {
    /// What a commit of `next` with this metadata covers.
    pub fn of(next: Offset, metadata: &str) -> Self {
        let topic = topic(metadata).map(str::to_owned);
        Self { next: next.0, runs: runs(next.0, metadata).unwrap_or_default(), topic }
    }

    /// What lies at or behind this offset it does not cover.
    pub fn end(&self) -> i64 {
        self.runs.last().map_or(self.next, |&(_, end)| end.max(self.next))
    }

    /// What it covers below this offset.
    #[must_use]
    pub fn below(&self, end: Offset) -> Self {
        let below = self.runs.iter().filter(|(start, _)| *start < end.0);
        let runs = below.map(|(start, stop)| (*start, end.0.min(*stop))).collect();
        Self { next: self.next.min(end.0), runs, topic: self.topic.clone() }
    }

    /// Whether it covers this offset.
    pub fn covers(&self, offset: i64) -> bool {
        let behind = self.runs.partition_point(|&(_, end)| end <= offset);
        offset < self.next || self.runs.get(behind).is_some_and(|&(start, _)| start <= offset)
    }
}

fn topic(metadata: &str) -> Option<&str> {
    let (topic, _) = metadata.strip_prefix("dm3:")?.split_once('.')?;
    Some(topic).filter(|topic| !topic.is_empty())
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
    fn it_says_of_which_topic_it_is() {
        let topic = |metadata| Coverage::of(Offset(5), metadata).topic;
        assert_eq!(topic("dm3:1a2b3c4d.8:dm1:6815c86c:b:BgI").as_deref(), Some("1a2b3c4d"));
        assert_eq!(topic("dm3:1a2b3c4d.:").as_deref(), Some("1a2b3c4d"));
        assert_eq!(topic("dm3:.8:"), None);
        assert_eq!(topic("dm1:6815c86c:b:BgI"), None);
    }

    #[test]
    fn what_it_covers_below_an_offset_ends_there() {
        let coverage = Coverage { next: 10, runs: vec![(12, 14), (20, 30), (40, 50)], topic: None };
        let below = |end| {
            let below = coverage.below(Offset(end));
            (below.next, below.runs)
        };
        assert_eq!(below(60), (10, coverage.runs.clone()));
        assert_eq!(below(25), (10, vec![(12, 14), (20, 25)]));
        assert_eq!(below(12), (10, vec![]));
        assert_eq!(below(5), (5, vec![]));
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
            assert_eq!(Coverage::of(Offset(5), metadata), Coverage { next: 5, ..Coverage::default() }, "{metadata}");
        }
    }
}
