//! Two processes of a group under watch, and records that keep coming.

use std::time::Duration;

use anyhow::Result;
use integration::checker::{Order, Verdict};
use integration::load::Load;
use integration::payload::Mix;
use integration::{Flags, Member, Scenario};

/// What their start, and their end, may take.
const BOUND: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct Running {
    pub(crate) scenario: Scenario,
    pub(crate) members: Vec<Member>,
    /// `None` while it pauses.
    load: Option<Load>,
}

impl Running {
    /// Writes to the brokers at this address, and starts processes with what `change` makes of the flags.
    pub(crate) fn start(
        bootstrap: &str,
        name: &str,
        change: impl Fn(&Scenario, Flags) -> Result<Flags>,
    ) -> Result<Self> {
        let mut scenario = Scenario::open(bootstrap, name, Order::Key)?;
        let flags = scenario.flags().with("admin", "127.0.0.1:0");
        let flags = change(&scenario, flags)?;
        let load = Some(scenario.load(100, Mix::default()));
        let mut members = vec![scenario.start(&flags)?, scenario.start(&flags)?];
        for member in &mut members {
            scenario.until_works(member, BOUND)?;
            scenario.watch(member)?;
        }
        Ok(Self { scenario, members, load })
    }

    /// One of each group protocol.
    pub(crate) fn start_both(bootstrap: &str, name: &str, change: impl Fn(Flags) -> Flags) -> Result<Vec<Self>> {
        let start = |protocol| {
            let flags = |_: &Scenario, flags: Flags| Ok(change(flags.with("group-protocol", protocol)));
            Self::start(bootstrap, &format!("{name}.{protocol}"), flags)
        };
        ["classic", "consumer"].into_iter().map(start).collect()
    }

    /// How often partitions were given to the processes, or taken from them.
    pub(crate) fn rebalances(&mut self) -> Result<f64> {
        let kinds = ["assigned", "revoked", "lost"];
        let mut count = 0.0;
        for member in &mut self.members {
            for kind in kinds {
                count += member.metric("daemon_rebalances_total", &format!("kind=\"{kind}\""))?;
            }
        }
        Ok(count)
    }

    pub(crate) fn pause(&mut self) -> Result<()> {
        self.load.take().map_or(Ok(()), |load| self.scenario.unload(load))
    }

    pub(crate) fn resume(&mut self) {
        self.load = Some(self.scenario.load(100, Mix::default()));
    }

    pub(crate) fn pass(mut self) -> Result<Verdict> {
        self.pause()?;
        let Self { scenario, members, .. } = self;
        scenario.pass(members, BOUND)
    }
}
