//! How a process comes to its end: what asks for it, and what its exit code says.
//!
//! Signals are received on a thread of their own, so that they work while every other thread is blocked: the first one asks
//! for a graceful stop, the second ends the process at once. The invariant: a stop that was asked for is never taken back.

use std::fmt;
use std::io;
use std::process::{ExitCode, Termination};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A signal that asks the process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C on a terminal.
    Interrupt,
    /// SIGTERM: from a service manager or Kubernetes.
    Terminate,
}

impl Signal {
    /// The code of a process that this signal ended at once: 128 and the signal's number.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// The request that the whole process stops. Cloning gives another handle of the same request.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    signal: Arc<OnceLock<Signal>>,
    listening: Arc<AtomicBool>,
}

impl Shutdown {
    /// No stop was asked for yet, and no signal is listened to.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everything to stop, gracefully.
    ///
    /// ```
    /// use daemonry::shutdown::Shutdown;
    ///
    /// let shutdown = Shutdown::new();
    /// let token = shutdown.token();
    /// shutdown.request();
    /// assert!(token.is_cancelled());
    /// ```
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Whether a stop was asked for.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Cancelled when a stop is asked for. Cancelling it asks for one.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// The signal that asked for the stop; `None` where none did.
    pub fn signal(&self) -> Option<Signal> {
        self.signal.get().copied()
    }

    /// From now on the first SIGINT or SIGTERM asks for a stop, and the second ends the process at once, with 130 or 143.
    /// Lasts until the process ends; a second call changes nothing. Needs no async runtime.
    ///
    /// # Errors
    /// Where the thread can't be started or the signals can't be received.
    pub fn listen_to_signals(&self) -> io::Result<()> {
        // Two listeners would take one signal for two.
        if self.listening.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let shutdown = self.clone();
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut interrupts, mut terminations) = {
            let _inside = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let listen = async move {
            loop {
                let received = tokio::select! {
                    Some(()) = interrupts.recv() => Signal::Interrupt,
                    Some(()) = terminations.recv() => Signal::Terminate,
                    else => return,
                };
                shutdown.receive(received);
            }
        };
        thread::Builder::new().name("daemonry-signals".to_owned()).spawn(move || runtime.block_on(listen))?;
        Ok(())
    }

    fn receive(&self, received: Signal) {
        if self.signal.set(received).is_err() {
            exit_at_once(received.exit_code(), move || {
                tracing::warn!(signal = %received, "second signal, process ends at once");
            });
        }
        // First the request: a log that blocks must not hold it back, nor the second signal.
        self.request();
        log_aside(move || tracing::info!(signal = %received, "signal received, process stops"));
    }
}

/// How a process ended, and so its exit code. Ordered by what says more about the cause: of several, the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Everything that was started has ended, or was done. Code 0.
    Drained,
    /// A command has found what it was to look for: `doctor` something that is wrong; `pause` a process that is not known to obey; `dlq redrive`
    /// letters that can't be written. Code 1.
    Found,
    /// The deadline of the stop passed with work unfinished, or finished and not committed. Code 3.
    Unfinished,
    /// A daemon failed for good: in a way that must not be repeated, or once more after too many restarts. Code 4.
    Failed,
    /// The configuration can't work. Code 2.
    Misconfigured,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Drained => 0,
            Self::Found => 1,
            Self::Misconfigured => 2,
            Self::Unfinished => 3,
            Self::Failed => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        self.into()
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drained => "drained",
            Self::Found => "something was found",
            Self::Misconfigured => "misconfigured",
            Self::Unfinished => "deadline passed with work unfinished or not committed",
            Self::Failed => "failed for good",
        })
    }
}

/// How long a process that ends at once waits for its last log line.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Ends the process with this code, whatever its other threads do, after `log` has run or had its chance to.
pub(crate) fn exit_at_once(code: u8, log: impl FnOnce() + Send + 'static) -> ! {
    if let Some(logged) = log_aside(log) {
        // Logged, or the line is given up: either way the process ends.
        logged.recv_timeout(LAST_WORDS).ok();
    }
    std::process::exit(i32::from(code))
}

/// Logs on a thread of its own, because a reader of the log that is stuck must not hold up the end of the process.
/// What is returned hears when it is done; `None` where no thread could be started.
fn log_aside(log: impl FnOnce() + Send + 'static) -> Option<mpsc::Receiver<()>> {
    let (done, logged) = mpsc::sync_channel(1);
    let write = move || {
        log();
        // Nobody needs to wait for it.
        done.send(()).ok();
    };
    thread::Builder::new().name("daemonry-last-log".to_owned()).spawn(write).ok().map(|_| logged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_signal_asks_for_a_stop_and_is_remembered() {
        let shutdown = Shutdown::new();
        assert_eq!((shutdown.is_requested(), shutdown.signal()), (false, None));
        shutdown.receive(Signal::Terminate);
        assert_eq!((shutdown.is_requested(), shutdown.signal()), (true, Some(Signal::Terminate)));
    }

    #[test]
    fn stop_asked_for_by_code_has_no_signal() {
        let shutdown = Shutdown::new();
        shutdown.clone().request();
        assert_eq!((shutdown.is_requested(), shutdown.signal()), (true, None));
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let codes = [Exit::Drained, Exit::Misconfigured, Exit::Unfinished, Exit::Failed].map(Exit::code);
        assert_eq!(codes, [0, 2, 3, 4]);
        assert_eq!([Signal::Interrupt, Signal::Terminate].map(Signal::exit_code), [130, 143]);
    }

    #[test]
    fn cause_counts_more_than_its_consequence() {
        assert_eq!(Exit::Unfinished.max(Exit::Failed), Exit::Failed);
        assert_eq!(Exit::Failed.max(Exit::Misconfigured), Exit::Misconfigured);
        assert_eq!(Exit::Drained.max(Exit::Unfinished), Exit::Unfinished);
    }
}
