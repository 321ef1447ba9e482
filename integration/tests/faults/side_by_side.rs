//! The same scenario at the same time under both group protocols, with two members and with three, or in whatever else makes it another one.

use std::fmt::Debug;
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use integration::checker::Order;
use integration::{Flags, Scenario, figures};

/// One way to run a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// `classic` or `consumer`, as `--group-protocol` has it.
    pub(crate) protocol: &'static str,
    /// How many members there are.
    pub(crate) members: usize,
    /// What the records wait for.
    pub(crate) order: Order,
}

impl Setting {
    /// The scenario's flags for this protocol, with a failover as quick as the protocol allows.
    pub(crate) fn flags(self, scenario: &Scenario) -> Flags {
        match self.protocol {
            "classic" => scenario.flags().with("session-timeout-ms", 2_000),
            protocol => scenario.flags().with("group-protocol", protocol),
        }
    }

    /// The scenario's name under this setting.
    pub(crate) fn name(self, scenario: &str) -> String {
        format!("{scenario}.{}.{}", self.protocol, self.members)
    }
}

/// Both protocols with two and three members.
pub(crate) const ALL: [Setting; 4] = [
    Setting { protocol: "classic", members: 2, order: Order::Key },
    Setting { protocol: "classic", members: 3, order: Order::Partition },
    Setting { protocol: "consumer", members: 2, order: Order::Partition },
    Setting { protocol: "consumer", members: 3, order: Order::Key },
];

/// Runs a scenario in each of these settings, side by side.
///
/// # Errors
/// That of the first setting that failed.
pub(crate) fn side_by_side<S: Copy + Send + Debug + 'static, T: Send + 'static>(
    settings: &[S],
    scenario: fn(S) -> Result<T>,
) -> Result<Vec<T>> {
    each(settings.to_vec(), move |setting| scenario(setting).with_context(|| format!("with {setting:?}")))
}

/// Goes on with each of these, side by side. All are waited for, so that one's failure doesn't hide another's.
///
/// # Errors
/// That of the first that failed.
pub(crate) fn each<S: Send + 'static, T: Send + 'static>(
    these: Vec<S>,
    go_on: impl Fn(S) -> Result<T> + Copy + Send + 'static,
) -> Result<Vec<T>> {
    let start = |this: S| Ok(figures::spawn(move || go_on(this))?);
    let threads: Vec<_> = these.into_iter().map(start).collect::<Result<_>>()?;
    let ended: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
    ended.into_iter().map(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
}
