//! The same scenario under both group protocols, with two members and with three, at the same time.

use std::fmt::Debug;
use std::thread;

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

/// Runs a scenario in each of these settings, side by side. All are waited for, so that one's failure doesn't hide another's.
///
/// # Errors
/// That of the first setting that failed.
pub(crate) fn side_by_side<T: Send + Debug + 'static>(
    settings: &[Setting],
    scenario: fn(Setting) -> Result<T>,
) -> Result<Vec<T>> {
    let start = |&setting: &Setting| Ok((setting, figures::spawn(move || scenario(setting))?));
    let threads: Vec<_> = settings.iter().map(start).collect::<Result<_>>()?;
    let ended: Vec<_> = threads.into_iter().map(|(setting, thread)| (setting, thread.join())).collect();
    let result = |(setting, ended): (Setting, thread::Result<Result<T>>)| match ended {
        Ok(result) => result.with_context(|| format!("with {setting:?}")),
        Err(panic) => std::panic::resume_unwind(panic),
    };
    ended.into_iter().map(result).collect()
}
