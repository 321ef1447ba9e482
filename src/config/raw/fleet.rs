//! The fleet's section.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fleet::{DEFAULT_CONTROL, DEFAULT_REPORTS};

/// The fleet: all processes of the program are shown and steered by each of them.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct FleetSection {
    /// Whether this process tells of itself, shows the others, and does what operators order through any of them.
    pub(in crate::config) enabled: bool,
    /// The cluster that they tell of themselves in, by its name under `kafka`; by default the only one, or the one named `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) cluster: Option<String>,
    /// The topic of their reports, compacted and with one partition. It is made where it is missing and this user may.
    pub(in crate::config) reports: String,
    /// The topic of what operators order, likewise.
    pub(in crate::config) control: String,
}

impl Default for FleetSection {
    fn default() -> Self {
        Self { enabled: false, cluster: None, reports: DEFAULT_REPORTS.to_owned(), control: DEFAULT_CONTROL.to_owned() }
    }
}
