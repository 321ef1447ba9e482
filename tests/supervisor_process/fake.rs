//! Daemons that do one thing each.

use async_trait::async_trait;
use daemonry::daemon::{Daemon, DaemonContext, DaemonError, Ended};

/// What a fake daemon does.
#[derive(Clone, Copy)]
pub(crate) enum Behaviour {
    /// Drains when it is told to stop.
    Drains,
    /// Ends by itself.
    Ends,
    /// Leaves work unfinished when it is told to stop.
    LeavesWork,
    /// Finds its configuration wrong before it is ready.
    Misconfigured,
    /// Fails.
    Fails,
    /// Fails in a way that must not be repeated.
    IsFenced,
    /// Panics.
    Panics,
    /// Never ends, and yields.
    Hangs,
    /// Blocks every thread of the runtime for ever.
    Blocks,
    /// Never ends, and logs until the log is stuck.
    Floods,
    /// Drains, but leaves a blocked thread behind.
    LeavesThread,
}

pub(crate) struct Fake {
    name: &'static str,
    behaviour: Behaviour,
}

/// Makes daemons of this name: the first behaves as the first one says, and so on; the last behaviour stays.
pub(crate) fn fake<const N: usize>(name: &'static str, behaviours: [Behaviour; N]) -> impl FnMut() -> Fake {
    let mut made = 0;
    move || {
        let behaviour = behaviours[made.min(N - 1)];
        made += 1;
        Fake { name, behaviour }
    }
}

#[async_trait]
impl Daemon for Fake {
    fn name(&self) -> &str {
        self.name
    }

    async fn run(self: Box<Self>, context: DaemonContext) -> Result<Ended, DaemonError> {
        if let Behaviour::Misconfigured = self.behaviour {
            return Err(DaemonError::config("topic `created` doesn't exist, create it"));
        }
        context.health().ready();
        context.health().heartbeat();
        let name = self.name;
        let runs = || tracing::info!(daemon = name, "fake runs");
        match self.behaviour {
            Behaviour::Drains => {
                runs();
                context.stopped().await;
            }
            Behaviour::Ends | Behaviour::Misconfigured => {}
            Behaviour::LeavesWork => {
                runs();
                context.stopped().await;
                return Ok(Ended::Unfinished { work: 3 });
            }
            Behaviour::Fails => return Err(DaemonError::failed("no route")),
            Behaviour::IsFenced => return Err(DaemonError::fatal("fenced")),
            Behaviour::Panics => panic!("out of luck"),
            Behaviour::Hangs => {
                runs();
                std::future::pending::<()>().await;
            }
            Behaviour::Blocks => {
                // More than there are threads; the ones that get one don't give it back.
                let mut blocked = tokio::task::JoinSet::new();
                for _ in 0..64 {
                    blocked.spawn(async { park_for_ever() });
                }
                runs();
                park_for_ever();
            }
            Behaviour::Floods => {
                runs();
                loop {
                    tracing::info!(daemon = name, "one line of many");
                }
            }
            Behaviour::LeavesThread => {
                let blocked = tokio::task::spawn_blocking(park_for_ever);
                runs();
                context.stopped().await;
                drop(blocked);
            }
        }
        Ok(Ended::Drained)
    }
}

fn park_for_ever() {
    loop {
        std::thread::park();
    }
}
