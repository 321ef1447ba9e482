//! How the number of a daemon's workers follows what there is to do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::Period;
use crate::pipeline::{Scaling, ScalingMode};

/// How the number of workers follows what there is to do.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct ScalingSection {
    /// What it follows: nothing, so that there are as many as `workers` says; the queue; or the queue and how long attempts take.
    pub(in crate::config) mode: ScalingChoice,
    /// Workers at least, and to begin with; at most there are as many as `workers` says.
    #[schemars(range(min = 1, max = 100_000))]
    pub(in crate::config) min: usize,
    /// Share of the queue above which they grow, where lanes wait for a worker. It counts as full while fetching is held back.
    #[schemars(range(min = 0, max = 1))]
    pub(in crate::config) grow_above: f64,
    /// Share of the queue below which they shrink.
    #[schemars(range(min = 0, max = 1))]
    pub(in crate::config) shrink_below: f64,
    /// By how much they grow at once, at most, as a share of what they are. With the mode `latency` it is their square root.
    #[schemars(range(min = 0, max = 10))]
    pub(in crate::config) grow_by: f64,
    /// By how much they shrink at once, at most, as a share of what they are.
    #[schemars(range(min = 0, max = 1))]
    pub(in crate::config) shrink_by: f64,
    /// Time from one change to the next at least.
    pub(in crate::config) cool_down: Period,
    /// How long the queue must have been used below `shrink_below` until they shrink.
    pub(in crate::config) shrink_after: Period,
    /// With the mode `latency`: how many times as long as without company an attempt may take.
    #[schemars(range(min = 1, max = 100))]
    pub(in crate::config) tolerance: f64,
}

/// What the number of workers follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum ScalingChoice {
    Fixed,
    Queue,
    Latency,
}

impl Default for ScalingSection {
    fn default() -> Self {
        let Scaling { mode: _, min, grow_above, shrink_below, grow_by, shrink_by, cool_down, shrink_after, tolerance } =
            Scaling::by_queue();
        Self {
            mode: ScalingChoice::Fixed,
            min,
            grow_above,
            shrink_below,
            grow_by,
            shrink_by,
            cool_down: Period(cool_down),
            shrink_after: Period(shrink_after),
            tolerance,
        }
    }
}

impl ScalingSection {
    pub(in crate::config) fn is_fixed(&self) -> bool {
        self.mode == ScalingChoice::Fixed
    }

    pub(in crate::config) fn scaling(&self) -> Option<Scaling> {
        let mode = match self.mode {
            ScalingChoice::Fixed => return None,
            ScalingChoice::Queue => ScalingMode::Queue,
            ScalingChoice::Latency => ScalingMode::Latency,
        };
        Some(Scaling {
            mode,
            min: self.min,
            grow_above: self.grow_above,
            shrink_below: self.shrink_below,
            grow_by: self.grow_by,
            shrink_by: self.shrink_by,
            cool_down: self.cool_down.0,
            shrink_after: self.shrink_after.0,
            tolerance: self.tolerance,
        })
    }

    /// The keys that count for nothing with this mode, though they were changed: each with the mode that they are for.
    pub(in crate::config) fn in_vain(&self) -> Vec<(&'static str, &'static str)> {
        let usual = Self::default();
        let changed = [
            (ScalingChoice::Queue, self.tolerance != usual.tolerance, "tolerance", "latency"),
            (ScalingChoice::Latency, self.grow_by != usual.grow_by, "grow_by", "queue"),
        ];
        let in_vain = changed.into_iter().filter(|(mode, is_changed, ..)| *mode == self.mode && *is_changed);
        in_vain.map(|(_, _, key, mode)| (key, mode)).collect()
    }
}
