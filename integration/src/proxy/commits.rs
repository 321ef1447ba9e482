//! What becomes of commits on their way: a network that understands of Kafka's protocol as much as this takes.
//!
//! Frames are put together from what passes; of requests the kind, the version and the number are read, and where they commit offsets also the
//! group's generation. All else goes through as it came.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// The kind of the requests that commit offsets.
const OFFSET_COMMIT: i16 = 8;
/// From this version on texts and lists are compact, and there is place for what later ones may add.
const FLEXIBLE: i16 = 8;
/// The last version that is understood: later ones name topics otherwise.
const LATEST: i16 = 9;
/// From this version on an answer says how long it was held back.
const THROTTLED: i16 = 3;
/// A generation that no group has come to.
const NEVER: i32 = i32::MAX - 1;

/// What becomes of a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Commits {
    /// Nothing happens to it.
    #[default]
    Pass,
    /// The brokers refuse it, and the client hears this error's code.
    Refuse(i16),
    /// The brokers take it, and the client hears this error's code.
    Deny(i16),
    /// It never arrives, and is never answered.
    Swallow,
    /// The brokers take it, and nobody hears of that.
    LoseAnswer,
    /// The brokers take it, and the client hears of that so much later. What else they answer passes it by.
    Delay(Duration),
}

/// What is to be passed on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// Now, in its order.
    pub(super) now: Vec<u8>,
    /// Whole frames that are so much later.
    pub(super) late: Vec<(Duration, Vec<u8>)>,
}

impl Passed {
    /// All that came.
    pub(super) fn all(bytes: &[u8]) -> Self {
        Self { now: bytes.to_vec(), late: Vec::new() }
    }
}

/// An answer that is awaited.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    version: i16,
    is: Commits,
}

/// One connection, as far as it is understood.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    requests: Frames,
    answers: Frames,
    awaited: HashMap<i32, Awaited>,
}

impl Conversation {
    /// What is to be passed on of these bytes of the client's, which may end anywhere; and how many commits there were of which something
    /// becomes.
    pub(super) fn ask(&mut self, bytes: &[u8], rule: Commits) -> Result<(Vec<u8>, usize)> {
        let (mut passed, mut met) = (Vec::new(), 0);
        self.requests.push(bytes);
        while let Some(mut frame) = self.requests.next()? {
            let mut at = At(&frame, 0);
            let (kind, version, number) = (at.i16()?, at.i16()?, at.i32()?);
            if kind == OFFSET_COMMIT && rule != Commits::Pass {
                ensure!(version <= LATEST, "commits of version {version} are not understood");
                met += 1;
                if rule == Commits::Swallow {
                    continue;
                }
                if let Commits::Refuse(_) = rule {
                    // The client's name.
                    let length = at.i16()?;
                    at.skip(usize::try_from(length).unwrap_or(0))?;
                    if version >= FLEXIBLE {
                        at.skip_added()?;
                    }
                    at.skip_text(version)?;
                    let generation = at.1;
                    frame[generation..]
                        .first_chunk_mut::<4>()
                        .context("it ends too early")?
                        .copy_from_slice(&NEVER.to_be_bytes());
                }
                self.awaited.insert(number, Awaited { version, is: rule });
            }
            put(&mut passed, &frame)?;
        }
        Ok((passed, met))
    }

    /// What is to be passed on of these bytes of the broker's.
    pub(super) fn answer(&mut self, bytes: &[u8]) -> Result<Passed> {
        let mut passed = Passed::default();
        self.answers.push(bytes);
        while let Some(mut frame) = self.answers.next()? {
            let awaited = self.awaited.remove(&At(&frame, 0).i32()?);
            match awaited {
                Some(Awaited { is: Commits::LoseAnswer | Commits::Swallow, .. }) => continue,
                Some(Awaited { is: Commits::Delay(time), .. }) => {
                    let mut late = Vec::new();
                    put(&mut late, &frame)?;
                    passed.late.push((time, late));
                    continue;
                }
                Some(Awaited { is: Commits::Refuse(code) | Commits::Deny(code), version }) => {
                    for at in codes(&frame, version)? {
                        frame[at..at + 2].copy_from_slice(&code.to_be_bytes());
                    }
                }
                Some(Awaited { is: Commits::Pass, .. }) | None => {}
            }
            put(&mut passed.now, &frame)?;
        }
        Ok(passed)
    }
}

/// Where an answer to a commit has the code of each partition.
fn codes(frame: &[u8], version: i16) -> Result<Vec<usize>> {
    let mut at = At(frame, 4);
    if version >= FLEXIBLE {
        at.skip_added()?;
    }
    if version >= THROTTLED {
        at.skip(4)?;
    }
    let mut codes = Vec::new();
    for _ in 0..at.count(version)? {
        at.skip_text(version)?;
        for _ in 0..at.count(version)? {
            at.skip(4)?;
            codes.push(at.1);
            at.skip(2)?;
            if version >= FLEXIBLE {
                at.skip_added()?;
            }
        }
        if version >= FLEXIBLE {
            at.skip_added()?;
        }
    }
    Ok(codes)
}

fn put(bytes: &mut Vec<u8>, frame: &[u8]) -> Result<()> {
    bytes.extend(i32::try_from(frame.len())?.to_be_bytes());
    bytes.extend(frame);
    Ok(())
}

/// Bytes that become frames, each behind its length.
#[derive(Debug, Default)]
struct Frames(Vec<u8>);

impl Frames {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(length) = self.0.first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(i32::from_be_bytes(*length))?;
        let Some(frame) = self.0.get(4..4 + length).map(<[u8]>::to_vec) else { return Ok(None) };
        self.0.drain(..4 + length);
        Ok(Some(frame))
    }
}

/// A place in a frame.
struct At<'a>(&'a [u8], usize);

impl At<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = self.0.get(self.1..).and_then(|rest| rest.first_chunk::<N>()).context("it ends too early")?;
        self.1 += N;
        Ok(*taken)
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.take()?))
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.take()?))
    }

    fn skip(&mut self, count: usize) -> Result<()> {
        ensure!(self.0.len() >= self.1 + count, "it ends too early");
        self.1 += count;
        Ok(())
    }

    fn varint(&mut self) -> Result<usize> {
        let (mut value, mut shift) = (0, 0);
        loop {
            let [byte] = self.take()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            shift += 7;
            ensure!(shift < 32, "a number is too long");
        }
    }

    fn count(&mut self, version: i16) -> Result<usize> {
        if version >= FLEXIBLE {
            return Ok(self.varint()?.saturating_sub(1));
        }
        Ok(usize::try_from(self.i32()?).unwrap_or(0))
    }

    fn skip_text(&mut self, version: i16) -> Result<()> {
        let length = if version >= FLEXIBLE {
            self.varint()?.saturating_sub(1)
        } else {
            usize::try_from(self.i16()?).unwrap_or(0)
        };
        self.skip(length)
    }

    /// What later versions may have added.
    fn skip_added(&mut self) -> Result<()> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()?;
            self.skip(length)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENERATION: i32 = 5;

    /// A request of this kind, with the number 7, of a client `c` and a group `shop`.
    fn request(kind: i16, version: i16) -> Vec<u8> {
        let mut frame = [&kind.to_be_bytes()[..], &version.to_be_bytes(), &7_i32.to_be_bytes(), &[0, 1, b'c']].concat();
        frame.extend(if version >= FLEXIBLE { &[0, 5][..] } else { &[0, 4] });
        frame.extend(b"shop");
        frame.extend(GENERATION.to_be_bytes());
        frame.extend(b"and so on");
        framed(&frame)
    }

    /// The answer to it: two partitions of a topic `t`, of which nothing is wrong.
    fn answer(version: i16) -> Vec<u8> {
        let mut frame = 7_i32.to_be_bytes().to_vec();
        frame.extend(if version >= FLEXIBLE { &[0][..] } else { &[] });
        frame.extend(if version >= THROTTLED { &[0; 4][..] } else { &[] });
        let added: &[u8] = if version >= FLEXIBLE { &[0] } else { &[] };
        frame.extend(if version >= FLEXIBLE { &[2, 2, b't', 3][..] } else { &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2] });
        for partition in [0_i32, 1] {
            frame.extend([&partition.to_be_bytes()[..], &[0, 0], added].concat());
        }
        frame.extend([added, added].concat());
        framed(&frame)
    }

    fn framed(frame: &[u8]) -> Vec<u8> {
        let mut framed = Vec::new();
        put(&mut framed, frame).expect("a short one");
        framed
    }

    fn changed(before: &[u8], after: &[u8]) -> usize {
        assert_eq!(before.len(), after.len());
        before.iter().zip(after).filter(|(before, after)| before != after).count()
    }

    #[test]
    fn what_is_no_commit_passes_whatever_the_rule() -> Result<()> {
        for rule in [Commits::Pass, Commits::Swallow, Commits::Refuse(27), Commits::LoseAnswer] {
            let mut conversation = Conversation::default();
            let fetch = request(1, 12);
            assert_eq!(conversation.ask(&fetch, rule)?, (fetch.clone(), 0));
            assert_eq!(conversation.answer(&answer(8))?, Passed::all(&answer(8)));
        }
        Ok(())
    }

    #[test]
    fn frames_are_put_together_from_what_comes() -> Result<()> {
        let mut conversation = Conversation::default();
        let both = [request(OFFSET_COMMIT, 9), request(1, 12)].concat();
        let mut passed = Vec::new();
        for byte in &both {
            passed.extend(conversation.ask(&[*byte], Commits::Pass)?.0);
        }
        assert_eq!(passed, both);
        Ok(())
    }

    #[test]
    fn a_refused_commit_has_a_generation_that_never_was_and_the_code_in_each_partition() -> Result<()> {
        for version in [2, 3, 7, 8, 9] {
            let mut conversation = Conversation::default();
            let commit = request(OFFSET_COMMIT, version);
            let (passed, met) = conversation.ask(&commit, Commits::Refuse(0x0102))?;
            assert_eq!(met, 1);
            let never = passed.windows(4).filter(|bytes| *bytes == NEVER.to_be_bytes()).count();
            assert_eq!((changed(&commit, &passed), never), (4, 1), "{version}: {passed:?}");
            let heard = conversation.answer(&answer(version))?.now;
            let codes = heard.windows(2).filter(|bytes| *bytes == [1, 2]).count();
            assert_eq!((changed(&answer(version), &heard), codes), (4, 2), "{version}: {heard:?}");
            // Each is answered once.
            assert_eq!(conversation.answer(&answer(version))?, Passed::all(&answer(version)));
        }
        Ok(())
    }

    #[test]
    fn a_commit_is_denied_swallowed_or_never_answered() -> Result<()> {
        let mut conversation = Conversation::default();
        let commit = request(OFFSET_COMMIT, 9);
        assert_eq!(conversation.ask(&commit, Commits::Deny(0x0102))?, (commit.clone(), 1));
        assert_eq!(changed(&answer(9), &conversation.answer(&answer(9))?.now), 4);
        assert_eq!(conversation.ask(&commit, Commits::LoseAnswer)?, (commit.clone(), 1));
        assert_eq!(conversation.answer(&answer(9))?, Passed::default());
        assert_eq!(conversation.ask(&commit, Commits::Swallow)?, (Vec::new(), 1));
        assert!(conversation.ask(&request(OFFSET_COMMIT, 10), Commits::Swallow).is_err());
        Ok(())
    }

    #[test]
    fn an_answer_that_is_late_is_whole_and_no_other_is_late() -> Result<()> {
        let (mut conversation, time) = (Conversation::default(), Duration::from_secs(2));
        let commit = request(OFFSET_COMMIT, 9);
        assert_eq!(conversation.ask(&commit, Commits::Delay(time))?, (commit.clone(), 1));
        let other = framed(&[0, 0, 0, 8, 1, 2, 3]);
        let passed = conversation.answer(&[other.clone(), answer(9), other.clone()].concat())?;
        assert_eq!(passed, Passed { now: [other.clone(), other].concat(), late: vec![(time, answer(9))] });
        Ok(())
    }
}
