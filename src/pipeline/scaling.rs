//! Scaling: a number of workers that follows what there is to do.
//!
//! Three parts, one for each question. What was seen of the lanes and the handlers is the [`scaler`]'s to say, once a second; what follows
//! from it is the [`controller`]'s, which knows no clock; how many workers may then be at something is the lanes'. The invariant: nothing
//! that runs is ever ended for it.

mod controller;
mod gradient;
mod scaler;

use std::time::Duration;

pub(super) use controller::{Controller, Verdict};
pub(super) use scaler::scale;

/// How the number of workers follows what there is to do: between [`min`](Self::min) and
/// [`PipelineSettings::workers`](super::PipelineSettings::workers), looked at once a second.
///
/// It **grows** where the handlers are what everything waits for: the queue is used above [`grow_above`](Self::grow_above), and lanes are
/// ready that no worker is free for. It never grows by more workers than there are such lanes, so not at all where a few keys hold all that
/// is queued, and not while the source has nothing. It **shrinks** once the queue was used below [`shrink_below`](Self::shrink_below)
/// for [`shrink_after`](Self::shrink_after), and keeps a quarter more workers than were at something at once in that time. A worker that has
/// begun something ends it first.
///
/// While fetching is held back the queue counts as full. Under a load that is too much for the workers it stands between
/// [`low_mark`](super::PipelineSettings::low_mark) and [`high_mark`](super::PipelineSettings::high_mark), or, where it is a large one, at as
/// many ready lanes as workers soon get.
///
/// ```
/// use daemonry::pipeline::{PipelineSettings, Scaling};
///
/// // 4 to 64 workers.
/// let scaling = Some(Scaling { min: 4, ..Scaling::by_queue() });
/// let settings = PipelineSettings { workers: 64, queue_records: 500, scaling, ..PipelineSettings::default() };
/// assert!(settings.check().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// What it follows.
    pub mode: ScalingMode,
    /// Workers at least, and to begin with (default: 2).
    pub min: usize,
    /// Share of the queue, of its records or its bytes, above which workers grow (default: 0.8).
    pub grow_above: f64,
    /// Share of the queue below which they shrink (default: 0.2).
    pub shrink_below: f64,
    /// By how much they grow at once, at most, as a share of what they are (default: 1, to twice as many). With
    /// [`ScalingMode::Latency`] it is their square root.
    pub grow_by: f64,
    /// By how much they shrink at once, at most, as a share of what they are (default: 0.5, to half as many).
    pub shrink_by: f64,
    /// Time from one change to the next at least (default: 2 s).
    pub cool_down: Duration,
    /// How long the queue must have been used below [`shrink_below`](Self::shrink_below) until they shrink (default: 30 s).
    pub shrink_after: Duration,
    /// With [`ScalingMode::Latency`]: how many times as long as without company an attempt may take (default: 1.5).
    pub tolerance: f64,
}

/// What the number of workers follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalingMode {
    /// The queue. For handlers that wait for something which doesn't mind how many ask it.
    Queue,
    /// The queue, and how long attempts take. For handlers that share something which gets slower with each that asks it, as a database does:
    /// there more workers make nothing faster beyond a point, and the rest worse.
    ///
    /// What an attempt takes *without company* is learnt: the lowest mean there was, and while the workers are as few as they may be, the
    /// mean there is. Attempts count whatever came of them, those of batches too. Above `tolerance` times that the workers shrink towards
    /// as many as would bring it back, at most by half; below half of what is tolerated beyond it they grow. In between they stay.
    ///
    /// It is the gradient of latency and not an additive increase with a multiplicative decrease, as that would need a time that nobody can
    /// name for handlers of many kinds. When attempts take longer for a reason of their own, the workers shrink to their fewest, learn what
    /// an attempt takes now, and grow again. A mean is of 10 attempts at least, and of as many as there are workers: so with handlers that take
    /// minutes it follows slowly.
    Latency,
}

impl Scaling {
    /// By the queue, with every other setting at its default.
    pub fn by_queue() -> Self {
        Self {
            mode: ScalingMode::Queue,
            min: 2,
            grow_above: 0.8,
            shrink_below: 0.2,
            grow_by: 1.0,
            shrink_by: 0.5,
            cool_down: Duration::from_secs(2),
            shrink_after: Duration::from_secs(30),
            tolerance: 1.5,
        }
    }

    /// By the queue and the handlers' latency, with every other setting at its default.
    pub fn by_latency() -> Self {
        Self { mode: ScalingMode::Latency, ..Self::by_queue() }
    }

    /// Has each setting required to be what it may be, where there are so many workers at most: whether it is, its name, what it is, and what
    /// it may be.
    pub(super) fn check(&self, workers: usize, require: &mut impl FnMut(bool, &'static str, String, &'static str)) {
        let &Self { min, grow_above, shrink_below, grow_by, shrink_by, cool_down, shrink_after, tolerance, .. } = self;
        let allowed = "at least 1 and at most `workers`";
        require((1..=workers).contains(&min), "scaling.min", min.to_string(), allowed);
        let marks = 0.0 < shrink_below && shrink_below < grow_above && grow_above <= 1.0;
        let found = format!("{grow_above} (shrink_below {shrink_below})");
        require(marks, "scaling.grow_above", found, "above `shrink_below`, and both above 0 and at most 1");
        let grows = 0.0 < grow_by && grow_by <= 10.0;
        require(grows, "scaling.grow_by", grow_by.to_string(), "above 0 and at most 10");
        let shrinks = 0.0 < shrink_by && shrink_by < 1.0;
        require(shrinks, "scaling.shrink_by", shrink_by.to_string(), "above 0 and below 1");
        for (setting, time) in [("scaling.cool_down", cool_down), ("scaling.shrink_after", shrink_after)] {
            require(!time.is_zero(), setting, format!("{time:?}"), "above 0");
        }
        let tolerates = 1.0 < tolerance && tolerance <= 100.0;
        require(tolerates, "scaling.tolerance", tolerance.to_string(), "above 1 and at most 100");
    }
}
