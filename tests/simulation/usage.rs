//! What a commit's metadata tells of who reads its partition, read here once more, by the words of the format alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use daemonry::pipeline::tracker::OffsetCommit;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) holder: Option<u64>,
    pub(crate) probation: bool,
    /// The offset of the record that runs alone.
    pub(crate) running: Option<i64>,
}

impl Usage {
    pub(crate) fn of(commit: &OffsetCommit) -> Self {
        let fields: Vec<_> = commit.metadata.split(':').collect();
        let ["dm2", _, _, _, usage] = fields.as_slice() else { return Self::default() };
        let bytes = BASE64.decode(usage).expect("a usage is base64");
        let mut numbers = bytes
            .split_inclusive(|byte| byte & 0x80 == 0)
            .map(|bytes| bytes.iter().rev().fold(0_u64, |number, byte| number << 7 | u64::from(byte & 0x7F)));
        let mut next = || numbers.next().expect("a usage has a number for each flag");
        let flags = next();
        let mut flagged = |flag: u64| (flags & flag != 0).then(&mut next);
        let (holder, _ended) = (flagged(1), flagged(4));
        let running = flagged(8).map(|distance| commit.next.offset().0 + i64::try_from(distance).expect("a few"));
        Self { holder, probation: flags & 2 != 0, running }
    }
}
