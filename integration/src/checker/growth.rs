//! Whether what a process holds is flat: by its means early and late, and its memory by the line through all looks at it, too.

use anyhow::{Result, ensure};

use super::conduct::{Look, Vitals};

/// What memory may grow by beside a tenth: what allocators keep, for the most part.
const SLACK: u64 = 16 << 20;
/// Threads and descriptors, each: as many as a client has of three brokers, which is made anew now and then, while the former one closes.
const CLIENT: u64 = 10;

impl Vitals {
    /// The means of something in the second fifth of the looks, and in the last one: the first is for warming up.
    fn early_and_late(looks: &[Look], of: impl Fn(&Look) -> u64) -> (u64, u64) {
        let size = (looks.len() / 5).max(1);
        let mean = |part: usize| {
            let looks = looks.iter().skip(part * size).take(size);
            looks.clone().map(&of).sum::<u64>() / looks.count().max(1) as u64
        };
        (mean(1), mean(4))
    }

    /// Fails where its threads, its descriptors or its memory have grown between these two, or memory along the line through all looks. Says
    /// what they are.
    ///
    /// # Errors
    /// As said.
    pub fn ensure_flat(&self) -> Result<()> {
        Self::ensure_flat_of(&self.looks)
    }

    /// The same, of a time in which it did always the same, milliseconds since 1970.
    ///
    /// # Errors
    /// As said.
    pub fn ensure_flat_within(&self, from_ms: u64, to_ms: u64) -> Result<()> {
        let within = |look: &&Look| (from_ms..=to_ms).contains(&look.unix_ms);
        Self::ensure_flat_of(&self.looks.iter().filter(within).cloned().collect::<Vec<_>>())
    }

    fn ensure_flat_of(looks: &[Look]) -> Result<()> {
        let stays = |what: &str, of: fn(&Look) -> usize| {
            let (early, late) = Self::early_and_late(looks, |look| of(look) as u64);
            eprintln!("{what}: {early} early, {late} late");
            ensure!(late <= early + CLIENT, "there are more and more {what}: {early} early, {late} late");
            Ok(())
        };
        stays("threads", |look| look.threads)?;
        stays("descriptors", |look| look.descriptors)?;
        let (early, late) = Self::early_and_late(looks, |look| look.memory);
        // What comes before that is warming up.
        let line = Line::through(looks.iter().skip(looks.len() / 5));
        let growth = line.rise() as u64;
        eprintln!(
            "memory: {} KiB early, {} KiB late; {} looks lie along a line that rises by {} KiB in {:.0} s, {:.0} KiB an hour",
            early >> 10,
            late >> 10,
            line.looks,
            growth >> 10,
            line.seconds,
            line.slope * 3_600.0 / 1_024.0,
        );
        let most = early / 10 + SLACK;
        ensure!(late <= early + most, "memory has grown from {early} to {late} bytes");
        ensure!(growth <= most, "memory grows: by {growth} bytes within {:.0} s of its looks", line.seconds);
        Ok(())
    }
}

/// The line that lies nearest to all looks at a process's memory, by the squares of how far they are off.
#[derive(Clone, Copy, Debug)]
struct Line {
    looks: usize,
    seconds: f64,
    /// Bytes a second.
    slope: f64,
}

impl Line {
    fn through<'a>(looks: impl Iterator<Item = &'a Look>) -> Self {
        let points: Vec<(f64, f64)> = looks.map(|look| (look.unix_ms as f64 / 1_000.0, look.memory as f64)).collect();
        let count = points.len().max(1) as f64;
        let middle = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (time, memory) = (middle(|point| point.0), middle(|point| point.1));
        let beside: f64 = points.iter().map(|(at, size)| (at - time) * (size - memory)).sum();
        let square: f64 = points.iter().map(|(at, _)| (at - time) * (at - time)).sum();
        let seconds = points.last().zip(points.first()).map_or(0.0, |(last, first)| last.0 - first.0);
        Self { looks: points.len(), seconds, slope: if square > 0.0 { beside / square } else { 0.0 } }
    }

    /// By how much it rises from the first look to the last one, in bytes; 0 where it falls.
    fn rise(&self) -> f64 {
        (self.slope * self.seconds).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(unix_ms: u64, memory: u64) -> Look {
        Look { from_ms: unix_ms, unix_ms, memory, descriptors: 0, threads: 0, live: None, ready: None, counts: None }
    }

    #[test]
    fn memory_is_flat_where_no_line_through_all_looks_rises() {
        let looks = |memory: fn(u64) -> u64| -> Vec<Look> {
            let at = |step| look(1_000 + step * 250, memory(step));
            (0..1_000).map(at).collect()
        };
        let megabytes = |looks: &[Look]| (Line::through(looks.iter()).rise() / f64::from(1 << 20)).round();
        assert_eq!(megabytes(&looks(|step| (100 << 20) + step * (40 << 20) / 999)), 40.0);
        assert_eq!(megabytes(&looks(|step| (100 << 20) - step * (40 << 20) / 999)), 0.0);
        let toothed = looks(|step| (100 << 20) + (step % 7) * (5 << 20));
        assert_eq!(megabytes(&toothed), 0.0);
        assert!(Vitals::ensure_flat_of(&toothed).is_ok());
        // The last fifth has what the second has: two peaks, between which it grew.
        let hidden = looks(|step| match step {
            200..400 => 150 << 20,
            400..800 => (90 << 20) + (step - 400) * (100 << 20) / 400,
            800.. => 160 << 20,
            _ => 100 << 20,
        });
        assert!(Vitals::ensure_flat_of(&hidden).is_err());
        assert!(Vitals::ensure_flat_of(&looks(|_| 100 << 20)).is_ok());
        assert!(Vitals::ensure_flat_of(&[]).is_ok());
    }

    #[test]
    fn threads_and_descriptors_are_flat_where_there_are_as_many_late_as_early() {
        let looks = |of: fn(u64) -> (usize, usize)| -> Vec<Look> {
            let at = |step| {
                let (threads, descriptors) = of(step);
                Look { threads, descriptors, ..look(1_000 + step * 250, 100 << 20) }
            };
            (0..1_000).map(at).collect()
        };
        let now_and_then = looks(|step| if step % 100 < 10 { (66, 120) } else { (44, 80) });
        assert!(Vitals::ensure_flat_of(&now_and_then).is_ok());
        assert!(Vitals::ensure_flat_of(&looks(|step| (44 + step as usize / 50, 80))).is_err());
        assert!(Vitals::ensure_flat_of(&looks(|step| (44, 80 + step as usize / 50))).is_err());
    }
}
