//! Two processes of a group under watch, and records that keep coming.

use std::time::Duration;

use anyhow::{Result, ensure};
use integration::checker::{Order, Verdict};
use integration::load::Load;
use integration::payload::Mix;
use integration::{Flags, Member, Scenario};

use crate::side_by_side::each;

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
        let mut running = Self::begin(bootstrap, name, change)?;
        running.until_works()?;
        Ok(running)
    }

    /// One of each group protocol, with what `change` makes of the flags.
    pub(crate) fn start_both(
        bootstrap: &str,
        name: &str,
        change: impl Fn(&Scenario, &'static str, Flags) -> Result<Flags>,
    ) -> Result<Vec<Self>> {
        let begin = |protocol| {
            let change = |scenario: &Scenario, flags: Flags| {
                Ok(change(scenario, protocol, flags)?.with("group-protocol", protocol))
            };
            Self::begin(bootstrap, &format!("{name}.{protocol}"), change)
        };
        let mut both = ["classic", "consumer"].into_iter().map(begin).collect::<Result<Vec<_>>>()?;
        both.iter_mut().try_for_each(Self::until_works)?;
        Ok(both)
    }

    fn begin(bootstrap: &str, name: &str, change: impl Fn(&Scenario, Flags) -> Result<Flags>) -> Result<Self> {
        let mut scenario = Scenario::open(bootstrap, name, Order::Key)?;
        let flags = scenario.flags().with("admin", "127.0.0.1:0");
        let flags = change(&scenario, flags)?;
        let load = Some(scenario.load(100, Mix::default()));
        let members = vec![scenario.start(&flags)?, scenario.start(&flags)?];
        Ok(Self { scenario, members, load })
    }

    fn until_works(&mut self) -> Result<()> {
        for member in &mut self.members {
            self.scenario.until_works(member, BOUND)?;
            self.scenario.watch(member)?;
        }
        Ok(())
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

    /// All of them, side by side.
    pub(crate) fn pass_all(these: Vec<Self>) -> Result<Vec<Verdict>> {
        each(these, Self::pass)
    }

    /// The same, where nothing may have run twice.
    pub(crate) fn pass_without_repeats(these: Vec<Self>) -> Result<()> {
        for verdict in Self::pass_all(these)? {
            ensure!(verdict.duplicates == 0, "{verdict}");
        }
        Ok(())
    }
}
