//! Mixed records from a seed: what a real topic may hold, told in the language of `examples/ledger`.

use daemonry::record::{Offset, Partition};
use fastrand::Rng;

use crate::checker::{Fate, Produced, Reason};
use crate::message::{Message, Stored};
use crate::patience::unix_ms;

/// A message that is to be produced, and what ought to become of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payload {
    /// The message.
    pub message: Message,
    /// The `id` that its value holds, unless it has none.
    pub id: Option<u64>,
    /// What ought to become of it.
    pub fate: Fate,
}

impl Payload {
    /// A record whose handler does what `orders` say, members of a JSON object such as `"sleep_ms":20`, and succeeds.
    pub fn obeyed(id: u64, key: &str, orders: &str) -> Self {
        let comma = if orders.is_empty() { "" } else { "," };
        let value = format!("{{\"id\":{id}{comma}{orders}}}");
        Self { message: Message::new(value).key(key), id: Some(id), fate: Fate::Success }
    }

    /// The same, where its handler fails for good.
    pub fn poison(id: u64, key: &str) -> Self {
        Self { fate: Fate::Letter(Reason::Poison), ..Self::obeyed(id, key, "\"poison\":true") }
    }

    /// What it is once it was stored.
    #[must_use]
    pub fn produced(self, (partition, offset): (Partition, Offset)) -> Produced {
        let Self { message, id, fate } = self;
        let stored = Stored { partition, offset, unix_ms: None, message };
        Produced { stored, id, fate, acknowledged_ms: unix_ms() }
    }
}

/// How often which kind comes; the rest are records that succeed at once.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Records in a hundred that end as dead letters.
    pub poison: u32,
    /// Records in a hundred that wait, block, or burn CPU, some milliseconds each.
    pub slow: u32,
    /// Records in a hundred that fail once or twice first.
    pub failing: u32,
    /// How many keys there are.
    pub keys: u32,
}

impl Default for Mix {
    fn default() -> Self {
        Self { poison: 5, slow: 25, failing: 5, keys: 60 }
    }
}

/// Mixed payloads without end.
#[derive(Debug)]
pub struct Payloads {
    random: Rng,
    mix: Mix,
    next: u64,
}

impl Payloads {
    /// The same payloads for the same seed.
    pub fn new(seed: u64, mix: Mix) -> Self {
        Self { random: Rng::with_seed(seed), mix, next: 1 }
    }

    fn value(&mut self, id: u64) -> (Option<Vec<u8>>, Option<u64>, Fate) {
        let Mix { poison, slow, failing, .. } = self.mix;
        let random = &mut self.random;
        let orders = match random.u32(0..100) {
            kind if kind < poison => {
                let poison = Fate::Letter(Reason::Poison);
                let (orders, reason) = match random.u32(0..5) {
                    0 => return (Some(Vec::new()), None, poison),
                    1 => return (Some(format!("{{\"id\":{id},").into_bytes()), None, poison),
                    2 => ("\"panic\":true", Reason::Panic),
                    3 => ("\"fail_times\":1000", Reason::Error),
                    _ => ("\"poison\":true", Reason::Poison),
                };
                let value = format!("{{\"id\":{id},{orders}}}").into_bytes();
                return (Some(value), Some(id), Fate::Letter(reason));
            }
            kind if kind < poison + slow => match random.u32(0..8) {
                0 => format!(",\"block_ms\":{}", random.u32(1..10)),
                1 => format!(",\"cpu_us\":{}", random.u32(50..1_000)),
                _ => format!(",\"sleep_ms\":{}", random.u32(1..40)),
            },
            kind if kind < poison + slow + failing => format!(",\"fail_times\":{}", random.u32(1..3)),
            kind if kind < poison + slow + failing + 2 => return (None, None, Fate::Success),
            _ => String::new(),
        };
        let filler: String = (0..random.usize(0..200)).map(|_| random.alphanumeric()).collect();
        (Some(format!("{{\"id\":{id}{orders},\"filler\":\"{filler}\"}}").into_bytes()), Some(id), Fate::Success)
    }

    fn key(&mut self) -> Option<Vec<u8>> {
        match self.random.u32(0..100) {
            0..8 => None,
            8..10 => Some(Vec::new()),
            10..12 => Some(vec![0xff, 0, 0xc3, self.random.u8(0..2)]),
            _ => Some(format!("key-{}", self.random.u32(0..self.mix.keys)).into_bytes()),
        }
    }

    /// Names and values that are not UTF-8, a name that comes twice, values that are null or empty.
    fn headers(&mut self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let kinds: [(&[u8], Option<&[u8]>); 6] = [
            (b"trace", Some(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
            (b"\xff\xfe\x80", Some(b"\x00\xff\xc3\x28")),
            (b"null", None),
            (b"empty", Some(b"")),
            (b"trace", Some(b"twice")),
            (b"", Some(b"without a name")),
        ];
        let count = if self.random.u32(0..3) == 0 { self.random.usize(1..5) } else { 0 };
        let mut choose = || kinds[self.random.usize(0..kinds.len())];
        (0..count).map(|_| choose()).map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect()
    }
}

impl Iterator for Payloads {
    type Item = Payload;

    fn next(&mut self) -> Option<Payload> {
        let (value, id, fate) = self.value(self.next);
        self.next += 1;
        let message = Message { key: self.key(), value, headers: self.headers() };
        Some(Payload { message, id, fate })
    }
}
