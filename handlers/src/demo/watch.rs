//! Looks at the daemons while they run, shows them, and ends the demo when its time is over.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use daemonry::shutdown::Shutdown;
use daemonry::supervisor::Roster;

use super::figures::Meter;
use super::screen::Screen;
use super::view::{self, Heading, Phase};

/// Time between two frames.
const FRAME: Duration = Duration::from_millis(250);
/// Time between two lines, where there is no terminal.
const LINE: Duration = Duration::from_secs(2);
/// How closely the first record is watched for.
const CLOSE: Duration = Duration::from_millis(20);

/// What is looked at, and what it is shown with.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) begun: Instant,
    pub(super) time: Option<Duration>,
    pub(super) brokers: String,
    pub(super) screen: Option<Screen>,
    pub(super) roster: Roster,
    pub(super) shutdown: Shutdown,
}

/// A watch under way, on a thread of its own: it shows the drain too, whatever the runtimes do.
#[derive(Debug)]
pub(super) struct Watched {
    end: SyncSender<()>,
    thread: JoinHandle<Option<Duration>>,
}

impl Watch {
    pub(super) fn start(self, meter: Meter) -> io::Result<Watched> {
        let (end, ended) = sync_channel(1);
        let thread = thread::Builder::new().name("demo-watch".to_owned()).spawn(move || self.run(meter, &ended))?;
        Ok(Watched { end, thread })
    }

    /// Until it is told to end; answers when the first record was handled.
    fn run(self, mut meter: Meter, ended: &Receiver<()>) -> Option<Duration> {
        let every = if self.screen.is_some() { FRAME } else { LINE };
        // Nothing is to be seen before the daemons are made, and the time counts from there.
        let mut running: Option<Instant> = None;
        let (mut first, mut due, mut told) = (None, Instant::now(), Told::default());
        loop {
            let now = Instant::now();
            if running.is_none() && !self.roster.daemons().is_empty() {
                running = Some(now);
            }
            let over = self.time.zip(running).map(|(time, running)| running + time);
            if over.is_some_and(|over| now >= over) {
                self.shutdown.request();
            }
            if let Some(running) = running.filter(|_| now >= due) {
                due = now + every;
                self.show(&mut meter, now - running, self.phase(), &mut told);
            }
            if first.is_none() && meter.finished() > 0 {
                first = Some(self.begun.elapsed());
            }
            let close = (first.is_none() || running.is_none()).then(|| now + CLOSE);
            let over = over.filter(|_| !self.shutdown.is_requested());
            let next = [running.map(|_| due), over, close].into_iter().flatten().min().unwrap_or(due);
            match ended.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Some(running) = running {
            self.show(&mut meter, running.elapsed(), Phase::Stopped, &mut told);
        }
        if let Some(screen) = &self.screen {
            screen.leave();
        }
        first
    }

    fn phase(&self) -> Phase {
        if self.shutdown.is_requested() { Phase::Stopping } else { Phase::Running }
    }

    fn show(&self, meter: &mut Meter, running: Duration, phase: Phase, told: &mut Told) {
        let daemons = meter.read(Instant::now(), phase != Phase::Running);
        let (brokers, admin, api) = (self.brokers.clone(), self.roster.admin(), self.roster.api());
        match &self.screen {
            Some(screen) => {
                let heading = Heading { brokers, admin, api, running, time: self.time, phase };
                screen.draw(view::block(&heading, &daemons, screen.width()));
            }
            None => {
                let mut lines = String::new();
                // Each as soon as it is there: one is served before the other.
                if let Some(admin) = admin.filter(|_| !std::mem::replace(&mut told.admin, true)) {
                    lines += &format!("Kafka in this process, {brokers}; http://{admin}/livez, /readyz, /metrics\n");
                }
                if let Some(api) = api.filter(|_| !std::mem::replace(&mut told.api, true)) {
                    lines +=
                        &format!("what the daemons are at: http://{api}, or handlers ps orders --api http://{api}\n");
                }
                lines += &view::lines(running, &daemons);
                // Whoever doesn't listen any more needs no error.
                io::stderr().write_all(lines.as_bytes()).ok();
            }
        }
    }
}

/// Which addresses were said.
#[derive(Default)]
struct Told {
    admin: bool,
    api: bool,
}

impl Watched {
    /// Shows it a last time, and answers how long after the start the first record was handled.
    pub(super) fn end(self) -> Option<Duration> {
        drop(self.end);
        self.thread.join().ok().flatten()
    }
}
