//! What librdkafka asks nobody, or keeps the answer of to itself: where a partition's replicas are to be, who is to lead it, and who
//! coordinates a group. Kafka's own protocol, of its flexible versions.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use daemonry::record::Partition;

/// The code of a leader that leads already.
const ELECTION_NOT_NEEDED: i16 = 84;
/// Codes of a group that nobody coordinates yet, or no longer.
const COORDINATOR_MOVES: [i16; 2] = [14, 15];

/// The kinds of requests, with the versions that are spoken here.
#[derive(Clone, Copy)]
enum Api {
    FindCoordinator,
    ElectLeaders,
    AlterPartitionReassignments,
}

impl Api {
    fn key_and_version(self) -> (i16, i16) {
        match self {
            Self::FindCoordinator => (10, 3),
            Self::ElectLeaders => (43, 2),
            Self::AlterPartitionReassignments => (45, 0),
        }
    }
}

/// A request's bytes.
struct Body(Vec<u8>);

impl Body {
    fn i8(mut self, value: i8) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// A count is written one higher: 0 is null.
    fn count(mut self, count: usize) -> Self {
        let mut rest = count + 1;
        while rest > 0x7f {
            self.0.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push((rest & 0x7f) as u8);
        self
    }

    fn text(self, text: &str) -> Self {
        let mut body = self.count(text.len());
        body.0.extend(text.as_bytes());
        body
    }

    /// The place for what later versions may add.
    fn end(mut self) -> Self {
        self.0.push(0);
        self
    }
}

/// An answer that is being read.
struct Answer {
    bytes: Vec<u8>,
    at: usize,
}

impl Answer {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.bytes.get(self.at..self.at + N).context("the answer ends too early")?;
        self.at += N;
        Ok(bytes.try_into()?)
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.take()?))
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.take()?))
    }

    /// `None` for null.
    fn count(&mut self) -> Result<Option<usize>> {
        let (mut value, mut shift) = (0, 0);
        loop {
            let [byte] = self.take()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value.checked_sub(1));
            }
            shift += 7;
            ensure!(shift < 32, "a count is too long");
        }
    }

    fn text(&mut self) -> Result<String> {
        let length = self.count()?.unwrap_or(0);
        let text = self.bytes.get(self.at..self.at + length).context("the answer ends too early")?;
        self.at += length;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn end(&mut self) -> Result<()> {
        let [added] = self.take()?;
        ensure!(added == 0, "the answer has more in it than its version");
        Ok(())
    }

    /// A code and a text for one thing that was asked, with one more code to take for well.
    fn ensure_well(&mut self, fine: i16) -> Result<()> {
        let (code, text) = (self.i16()?, self.text()?);
        ensure!(code == 0 || code == fine, "refused with code {code}: {text}");
        Ok(())
    }

    /// A code and a text for each partition of each topic.
    fn ensure_all_well(&mut self, fine: i16) -> Result<()> {
        for _ in 0..self.count()?.unwrap_or(0) {
            self.text()?;
            for _ in 0..self.count()?.unwrap_or(0) {
                let partition = self.i32()?;
                self.ensure_well(fine).with_context(|| format!("of partition {partition}"))?;
                self.end()?;
            }
            self.end()?;
        }
        self.end()
    }
}

/// Asks the broker at an address, which may take `timeout`.
fn ask(address: &str, api: Api, timeout: Duration, fill: impl FnOnce(Body) -> Body) -> Result<Answer> {
    const CORRELATION: i32 = 1;
    let (key, version) = api.key_and_version();
    let mut head = Vec::new();
    head.extend(key.to_be_bytes());
    head.extend(version.to_be_bytes());
    head.extend(CORRELATION.to_be_bytes());
    // Nobody's name.
    head.extend((-1_i16).to_be_bytes());
    let Body(request) = fill(Body(head).end());

    let mut stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(&i32::try_from(request.len())?.to_be_bytes())?;
    stream.write_all(&request)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size).with_context(|| format!("{address} does not answer"))?;
    let mut bytes = vec![0; usize::try_from(i32::from_be_bytes(size))?];
    stream.read_exact(&mut bytes)?;
    let mut answer = Answer { bytes, at: 0 };
    ensure!(answer.i32()? == CORRELATION, "the answer is of another request");
    answer.end()?;
    Ok(answer)
}

/// Says which brokers are to have each partition of a topic; the first one is to lead it.
pub(crate) fn place_replicas(
    address: &str,
    topic: &str,
    replicas: &[(Partition, Vec<i32>)],
    timeout: Duration,
) -> Result<()> {
    let fill = |body: Body| {
        let body = body.i32(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX));
        let mut body = body.count(1).text(topic).count(replicas.len());
        for (partition, brokers) in replicas {
            body = body.i32(partition.0).count(brokers.len());
            body = brokers.iter().fold(body, |body, broker| body.i32(*broker)).end();
        }
        body.end().end()
    };
    let mut answer = ask(address, Api::AlterPartitionReassignments, timeout, fill)?;
    answer.i32()?;
    answer.ensure_well(0)?;
    answer.ensure_all_well(0).with_context(|| format!("the replicas of {topic} can't be placed"))
}

/// Has the first replica of each of these partitions lead it.
pub(crate) fn elect_preferred(address: &str, topic: &str, partitions: &[Partition], timeout: Duration) -> Result<()> {
    const PREFERRED: i8 = 0;
    let fill = |body: Body| {
        let body = body.i8(PREFERRED).count(1).text(topic).count(partitions.len());
        let body = partitions.iter().fold(body, |body, partition| body.i32(partition.0)).end();
        body.i32(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)).end()
    };
    let mut answer = ask(address, Api::ElectLeaders, timeout, fill)?;
    answer.i32()?;
    let code = answer.i16()?;
    ensure!(code == 0, "refused with code {code}");
    answer.ensure_all_well(ELECTION_NOT_NEEDED).with_context(|| format!("no leaders of {topic} can be elected"))
}

/// The broker that coordinates a group; `None` while nobody does.
pub(crate) fn coordinator(address: &str, group: &str, timeout: Duration) -> Result<Option<i32>> {
    const GROUP: i8 = 0;
    let mut answer = ask(address, Api::FindCoordinator, timeout, |body| body.text(group).i8(GROUP).end())?;
    answer.i32()?;
    let (code, text) = (answer.i16()?, answer.text()?);
    match code {
        0 => Ok(Some(answer.i32()?)),
        code if COORDINATOR_MOVES.contains(&code) => Ok(None),
        code => bail!("no coordinator of {group}: code {code}, {text}"),
    }
}
