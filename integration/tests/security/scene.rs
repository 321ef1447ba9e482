//! What the tests here share: one broker, a scenario with a user of its own, and that no log shows the password.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use integration::checker::{Order, Verdict};
use integration::payload::{Mix, Payloads};
use integration::rights::{Mechanism, Operation, Resource};
use integration::secured::PASSWORD;
use integration::{Entry, Flags, Member, Scenario, SecuredBroker};

/// More than anything takes here that happens at once.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The broker that all share. It ends with this process.
pub(crate) fn broker() -> Result<&'static SecuredBroker> {
    static BROKER: OnceLock<Result<SecuredBroker>> = OnceLock::new();
    BROKER.get_or_init(SecuredBroker::start).as_ref().map_err(|error| anyhow!("{error:#}"))
}

/// A scenario whose processes come in as a user of their own.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) scenario: Scenario,
    pub(crate) user: String,
    pub(crate) entry: Entry,
    entries: usize,
}

impl Scene {
    /// With SCRAM-SHA-256, and without any rights.
    pub(crate) fn open(name: &str) -> Result<Self> {
        Self::open_in(Scenario::open(&broker()?.bootstrap(), name, Order::Key)?)
    }

    /// The same with this scenario.
    pub(crate) fn open_in(scenario: Scenario) -> Result<Self> {
        let broker = broker()?;
        let user = scenario.topic().to_owned();
        broker.rights().set_password(&user, Mechanism::ScramSha256, PASSWORD)?;
        let entry = broker.sasl(Mechanism::ScramSha256.name(), &user, PASSWORD);
        Ok(Self { scenario, user, entry, entries: 0 })
    }

    /// With all that a daemon needs.
    pub(crate) fn granted(name: &str) -> Result<Self> {
        let scene = Self::open(name)?;
        scene.grant_all()?;
        Ok(scene)
    }

    /// The same scenario for another user, who comes in this way.
    pub(crate) fn come_in(&mut self, user: &str, entry: Entry) {
        self.user = user.to_owned();
        self.entry = entry;
    }

    /// Grants all that a daemon needs.
    pub(crate) fn grant_all(&self) -> Result<()> {
        self.grant(Operation::Read, Resource::Topic)?;
        self.grant(Operation::Read, Resource::Group)?;
        self.grant_letters(Operation::Write)
    }

    /// Grants the user something on the topic, or on the group, which has its name.
    pub(crate) fn grant(&self, operation: Operation, resource: Resource) -> Result<()> {
        broker()?.rights().grant(&self.user, operation, resource, self.scenario.topic())
    }

    /// Takes such a grant back.
    pub(crate) fn withdraw(&self, operation: Operation, resource: Resource) -> Result<()> {
        broker()?.rights().withdraw(&self.user, operation, resource, self.scenario.topic())
    }

    /// Grants the user something on the dead-letter topic.
    pub(crate) fn grant_letters(&self, operation: Operation) -> Result<()> {
        broker()?.rights().grant(&self.user, operation, Resource::Topic, &self.scenario.letter_topic())
    }

    /// Takes such a grant back.
    pub(crate) fn withdraw_letters(&self, operation: Operation) -> Result<()> {
        broker()?.rights().withdraw(&self.user, operation, Resource::Topic, &self.scenario.letter_topic())
    }

    /// The flags of a process that comes in as the user.
    pub(crate) fn flags(&mut self) -> Result<Flags> {
        self.entries += 1;
        let properties = self.entry.write(self.scenario.directory(), &format!("entry-{}.properties", self.entries))?;
        let flags = self.scenario.flags().with("brokers", self.entry.address());
        Ok(flags.with("properties", properties.display()).with("admin", "127.0.0.1:0"))
    }

    /// Starts a process that comes in as the user.
    pub(crate) fn start(&mut self) -> Result<Member> {
        let flags = self.flags()?;
        self.scenario.start(&flags)
    }

    /// Starts a process that must end by itself with code 2, and say all of this.
    pub(crate) fn refused(mut self, said: &[&str]) -> Result<()> {
        let mut member = self.start()?;
        let code = member.wait(SOON)?;
        ensure!(code == 2, "it ended with {code}, log {}", member.log_path().display());
        says(&member, said)?;
        self.scenario.close()
    }

    /// Starts a process that must wait, say all of this in its log and to the probes, and end well when it is asked to.
    pub(crate) fn waits(mut self, said: &[&str]) -> Result<()> {
        let mut member = self.start()?;
        until_unready(&mut member, said)?;
        says(&member, said)?;
        let code = member.stop(SOON)?;
        ensure!(code == 0, "it ended with {code}, log {}", member.log_path().display());
        self.scenario.close()
    }

    /// Has mixed records handled by one process, to the end.
    pub(crate) fn handles_records(mut self) -> Result<Verdict> {
        self.scenario.produce(Payloads::new(self.scenario.seed(), Mix::default()).take(1_000))?;
        let member = self.start()?;
        self.scenario.settle(SOON)?;
        says(&member, &[])?;
        self.scenario.pass(vec![member], SOON)
    }
}

/// Checks that one line of a log says all of this, and that the password is nowhere in it.
pub(crate) fn says(member: &Member, said: &[&str]) -> Result<()> {
    let log = member.log()?;
    let all = |line: &str| said.iter().all(|part| line.contains(part));
    ensure!(log.lines().any(all), "no line says {said:?}: {log}");
    ensure!(!log.contains(PASSWORD), "the log shows the password, it is {}", member.log_path().display());
    Ok(())
}

/// Waits until the process is not ready, and says all of this to whoever asks why.
pub(crate) fn until_unready(member: &mut Member, said: &[&str]) -> Result<()> {
    let until = integration::patience::until_true(SOON, &format!("{said:?} from /readyz"), || {
        let (status, body) = member.get("/readyz")?;
        Ok(status == 503 && said.iter().all(|part| body.contains(part)))
    });
    until.with_context(|| format!("log {}", member.log_path().display()))?;
    ensure!(member.get("/livez")?.0 == 200, "liveness must not depend on the brokers");
    Ok(())
}

/// Waits until the process is ready.
pub(crate) fn until_ready(member: &mut Member) -> Result<()> {
    let until =
        integration::patience::until_true(SOON, "a process that is ready", || Ok(member.get("/readyz")?.0 == 200));
    until.with_context(|| format!("log {}", member.log_path().display()))
}

/// One of several.
pub(crate) type Run<'a> = dyn Fn() -> Result<()> + Sync + 'a;

/// Runs all of these at once: for the most part they wait. Each is named where it fails.
pub(crate) fn side_by_side(runs: &[(&str, &Run<'_>)]) -> Result<()> {
    thread::scope(|scope| {
        let started: Vec<_> = runs.iter().map(|(name, run)| (*name, scope.spawn(*run))).collect();
        let ended = started.into_iter().map(|(name, run)| {
            let outcome = run.join().map_err(|_| anyhow!("it panicked")).flatten();
            outcome.with_context(|| name.to_owned())
        });
        // All of them first: what is left behind of one is no other's.
        ended.collect::<Vec<_>>().into_iter().collect()
    })
}
