//! The form of a message that is measured with: JSON whose numbers stand at fixed places, so that any language finds them at once.
//!
//! `{"n":<10>,"ts":<16>,"k":<8>,"s":<8>,"p":"…"}`: the number of the message, the producer's clock in microseconds, the number of the key,
//! the sequence within the key, each padded with spaces on the left; and letters up to the size.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where `n` stands, and its length.
pub const NUMBER: (usize, usize) = (5, 10);
/// Where `ts` stands, and its length.
pub const SENT_US: (usize, usize) = (21, 16);

/// Where `k` stands, and its length.
pub const KEY: (usize, usize) = (42, 8);
/// Where `s` stands, and its length.
pub const SEQUENCE: (usize, usize) = (55, 8);

/// The number at a place.
pub fn field(payload: &[u8], (at, length): (usize, usize)) -> u64 {
    let digits = payload.get(at..at + length).unwrap_or_default().iter().filter(|byte| byte.is_ascii_digit());
    digits.fold(0, |value, digit| value * 10 + u64::from(digit - b'0'))
}

/// Puts a message of `size` bytes, or as long as its numbers are, in the place of what `buffer` held.
pub fn write(buffer: &mut String, size: usize, number: u64, key: usize, sequence: u64) {
    buffer.clear();
    let written = write!(buffer, r#"{{"n":{number:>10},"ts":{:>16},"k":{key:>8},"s":{sequence:>8},"p":""#, now_us());
    written.expect("a string takes what is written to it");
    let letters = size.saturating_sub(buffer.len() + 2) as u64;
    let first = number + buffer.len() as u64 * 7;
    buffer.extend((0..letters).map(|at| char::from(b'a' + ((first + at * 7) % 26) as u8)));
    buffer.push_str("\"}");
}

/// Microseconds since 1970.
pub fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_at_their_places_in_json_of_the_size() {
        let mut buffer = String::from("before");

        write(&mut buffer, 200, 1_234_567, 9_999, 42);

        assert_eq!(buffer.len(), 200);
        assert_eq!(field(buffer.as_bytes(), NUMBER), 1_234_567);
        assert_eq!([KEY, SEQUENCE].map(|place| field(buffer.as_bytes(), place)), [9_999, 42]);
        assert!(now_us().abs_diff(field(buffer.as_bytes(), SENT_US)) < 60_000_000);
        let value: serde_json::Value = serde_json::from_str(&buffer).unwrap();
        assert_eq!((&value["k"], &value["s"]), (&9_999.into(), &42.into()));
    }

    #[test]
    fn a_payload_that_is_too_short_has_zeros() {
        assert_eq!(field(b"{}", NUMBER), 0);
    }
}
