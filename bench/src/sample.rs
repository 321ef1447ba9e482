//! What runs came to, and their medians.

use std::collections::BTreeSet;

use meter::Report;
use serde::{Deserialize, Serialize};

use crate::figures::Figure;

/// One run of one program.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Sample {
    /// What was measured.
    pub label: String,
    /// Whose program it was.
    pub peer: String,
    /// The number of the run, from 1.
    pub run: u32,
    /// What it came to.
    pub report: Option<Report>,
    /// From the start of the process to the first message, in ms.
    pub start_ms: Option<f64>,
    /// Why it came to nothing.
    pub error: Option<String>,
    /// Whether it is of another series of runs, on another day.
    #[serde(default)]
    pub is_earlier: bool,
}

/// Which runs are compared: a label and a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// What was measured.
    pub label: &'static str,
    /// Whose program it was.
    pub peer: &'static str,
}

/// All runs.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Sample>);

/// A median, and whether it is of another series.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Median {
    /// The value.
    pub value: f64,
    /// Whether it is of another series.
    pub is_earlier: bool,
}

impl Samples {
    /// Of these runs.
    pub fn new(samples: Vec<Sample>) -> Self {
        Self(samples)
    }

    /// Reads them, a JSON object a line.
    ///
    /// # Errors
    /// When a line is none.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        text.lines().map(serde_json::from_str).collect::<Result<_, _>>().map(Self)
    }

    /// One more.
    pub fn push(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    /// These and those.
    #[must_use]
    pub fn with(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Those of them whose label the others have, too.
    #[must_use]
    pub fn of_same_labels(self, others: &Self) -> Self {
        let is_there = |sample: &Sample| others.0.iter().any(|other| other.label == sample.label);
        Self(self.0.into_iter().filter(is_there).collect())
    }

    /// What was measured of whom, in the order of the runs; those of another series last.
    pub fn groups(&self) -> Vec<(&str, &str)> {
        let mut seen = BTreeSet::new();
        let (earlier, fresh): (Vec<_>, Vec<_>) = self.0.iter().partition(|sample| sample.is_earlier);
        let groups = fresh.into_iter().chain(earlier).map(|sample| (sample.label.as_str(), sample.peer.as_str()));
        groups.filter(|group| seen.insert(*group)).collect()
    }

    /// The runs of a group that came to something, and how many did not. Fresh ones, where there are some.
    pub fn of(&self, label: &str, peer: &str) -> (Vec<&Sample>, usize) {
        let all = self.0.iter().filter(|sample| sample.label == label && sample.peer == peer);
        let (earlier, fresh): (Vec<_>, Vec<_>) = all.partition(|sample| sample.is_earlier);
        let good = |samples: &[&Sample]| samples.iter().any(|sample| sample.report.is_some());
        let chosen = if good(&fresh) || !good(&earlier) { fresh } else { earlier };
        let (good, failed): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|sample| sample.report.is_some());
        (good, failed.len())
    }

    /// The median of a figure.
    ///
    /// # Errors
    /// Why there is none.
    pub fn median(&self, key: Key, figure: Figure) -> Result<Median, String> {
        let Key { label, peer } = key;
        let (samples, _) = self.of(label, peer);
        let values: Vec<f64> = samples.iter().filter_map(|sample| figure.of(sample)).collect();
        let is_earlier = samples.iter().any(|sample| sample.is_earlier);
        median(values).map(|value| Median { value, is_earlier }).ok_or_else(|| self.why_not(label, peer))
    }

    /// Why a group came to nothing.
    fn why_not(&self, label: &str, peer: &str) -> String {
        let of = |sample: &&Sample| sample.peer == peer && (sample.label == label || sample.label.is_empty());
        let error = self.0.iter().filter(of).find_map(|sample| sample.error.as_deref());
        error.map_or_else(|| format!("{peer} did not run"), |error| format!("{peer}: {error}"))
    }

    /// Whether a run of this peer failed.
    pub fn has_failure_of(&self, peer: &str) -> bool {
        self.0.iter().any(|sample| sample.peer == peer && sample.error.is_some())
    }

    /// As JSON, an object a line.
    ///
    /// # Errors
    /// When a value can't be said in JSON.
    pub fn to_lines(&self) -> serde_json::Result<String> {
        self.0.iter().map(|sample| serde_json::to_string(sample).map(|line| line + "\n")).collect()
    }
}

/// The middle one; between the middle two, where there are two.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len().is_multiple_of(2) { Some(f64::midpoint(values[middle - 1], upper)) } else { Some(upper) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A run of so many messages a second.
    pub(crate) fn sample(label: &str, peer: &str, rate: f64) -> Sample {
        let report = Report { n: 1_000, msgs_per_s: rate, cpu_user_s: 1e3 / rate, ..Report::default() };
        Sample {
            label: label.to_owned(),
            peer: peer.to_owned(),
            run: 1,
            report: Some(report),
            start_ms: None,
            error: None,
            is_earlier: false,
        }
    }

    fn failed(label: &str, peer: &str) -> Sample {
        Sample { report: None, error: Some("no go".to_owned()), ..sample(label, peer, 1.0) }
    }

    const KEY: Key = Key { label: "w1a", peer: "franz" };

    fn rate(samples: Vec<Sample>) -> Result<Median, String> {
        Samples::new(samples).median(KEY, Figure::Rate)
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![5.0]), Some(5.0));
        assert_eq!(median(vec![9.0, 1.0, 4.0]), Some(4.0));
        assert_eq!(median(vec![9.0, 1.0, 4.0, 2.0]), Some(3.0));
    }

    #[test]
    fn failed_runs_are_left_out_of_a_median() {
        let runs = vec![sample("w1a", "franz", 100.0), failed("w1a", "franz"), sample("w1a", "raw", 1.0)];
        assert_eq!(rate(runs), Ok(Median { value: 100.0, is_earlier: false }));
    }

    #[test]
    fn an_earlier_run_stands_in_where_there_is_no_fresh_one() {
        let earlier = Sample { is_earlier: true, ..sample("w1a", "franz", 70.0) };
        assert_eq!(rate(vec![earlier.clone()]), Ok(Median { value: 70.0, is_earlier: true }));
        assert_eq!(rate(vec![earlier.clone(), failed("", "franz")]), Ok(Median { value: 70.0, is_earlier: true }));
        let fresh = sample("w1a", "franz", 90.0);
        assert_eq!(rate(vec![earlier, fresh]), Ok(Median { value: 90.0, is_earlier: false }));
    }

    #[test]
    fn what_is_missing_says_why() {
        assert_eq!(rate(vec![]), Err("franz did not run".to_owned()));
        assert_eq!(rate(vec![failed("w1a", "franz")]), Err("franz: no go".to_owned()));
        // A peer that could not be built.
        assert_eq!(rate(vec![failed("", "franz")]), Err("franz: no go".to_owned()));
    }

    #[test]
    fn samples_are_read_as_they_were_written() {
        let samples = Samples::new(vec![sample("w1a", "franz", 100.0), failed("w2", "bare")]);
        let read = Samples::parse(&samples.to_lines().unwrap()).unwrap();
        assert_eq!(read.0, samples.0);
    }
}
