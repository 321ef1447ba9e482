//! The deadline of the stop, kept on a thread of its own.
//!
//! The invariant: once a stop is asked for, the process ends within the deadline even if every other thread is blocked, unless the
//! deadline was dropped before: then it has nothing more to say.

use std::io;
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::roster::Roster;
use crate::shutdown::{Exit, Shutdown, exit_at_once};

/// Ends the process some time after a stop was asked for, until it is dropped.
#[derive(Debug)]
pub(super) struct Deadline {
    /// Dropped with the deadline, which is what its thread waits for.
    _disarm: oneshot::Sender<()>,
}

impl Deadline {
    /// The process ends `limit` after the stop is asked for.
    pub(super) fn arm(shutdown: Shutdown, limit: Duration, roster: Roster) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_time().build()?;
        let (disarm, disarmed) = oneshot::channel::<()>();
        let passed = async move {
            let stop = shutdown.token();
            tokio::select! {
                _ = disarmed => {}
                () = async { stop.cancelled().await; sleep(limit).await } => end(&shutdown, &roster),
            }
        };
        thread::Builder::new().name("daemonry-deadline".to_owned()).spawn(move || runtime.block_on(passed))?;
        Ok(Self { _disarm: disarm })
    }
}

fn end(shutdown: &Shutdown, roster: &Roster) {
    let exit = roster.exit().max(Exit::Unfinished);
    let (exit_code, signal, daemons) = (exit.code(), shutdown.signal(), roster.to_string());
    exit_at_once(exit_code, move || {
        let signal = signal.map(tracing::field::display);
        tracing::error!(exit_code, %exit, signal, daemons, "process ends at its deadline");
    });
}
