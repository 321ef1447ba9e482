//! A supervised process: how it ends, in time and with which exit code, and how it goes on when a daemon fails.
//!
//! Each test starts this very test binary again as a child that runs one scenario of [`run_scenario`], sends it signals once it
//! reports that it runs, and looks at its log, its probes and its exit code.

mod ends;
mod fake;
mod process;
mod restarts;

use std::time::Duration;

use daemonry::supervisor::{RestartPolicy, Supervisor};
use daemonry::telemetry::{self, LogFormat};

use fake::Behaviour::{
    Blocks, Drains, Ends, Fails, Floods, Hangs, IsFenced, LeavesThread, LeavesWork, Misconfigured, Panics,
};
use fake::{Fake, fake};
use process::PATIENCE;

/// Names the scenario of a child.
const SCENARIO: &str = "DAEMONRY_TEST_SCENARIO";
/// Where the child's admin server listens, if it is to have one.
const ADDRESS: &str = "DAEMONRY_TEST_ADDRESS";

/// The child: a program as a user would write it. Does nothing where it isn't asked to be one.
#[test]
fn run_scenario() {
    let Ok(scenario) = std::env::var(SCENARIO) else { return };
    telemetry::init(LogFormat::Json).expect("logging is set up once");
    let supervisor = Supervisor::new().drain(Duration::from_millis(300)).grace(Duration::from_millis(200));
    let long = PATIENCE * 10;
    let soon = RestartPolicy::exponential().max_restarts(3).base(Duration::from_millis(20));
    let late = RestartPolicy::exponential().base(long).cap(long).no_jitter().window(long * 10);
    let supervisor = match scenario.as_str() {
        "listening_already" => {
            supervisor.shutdown().listen_to_signals().expect("signals can be received");
            supervisor.daemon(fake("one", [Drains]))
        }
        "drained" => supervisor.daemon(fake("one", [Drains])).daemon(fake("two", [Drains])),
        "ended" => supervisor.daemon(fake("one", [Ends])).daemon(fake("two", [Ends])),
        "ended_and_running" => supervisor.daemon(fake("one", [Ends])).daemon(fake("two", [Drains])),
        "requested" => {
            supervisor.shutdown().request();
            supervisor.daemon(fake("one", [Drains]))
        }
        "unfinished" => supervisor.daemon(fake("one", [LeavesWork])).daemon(fake("two", [Drains])),
        "misconfigured" => supervisor.daemon(fake("one", [Drains])).daemon(fake("two", [Misconfigured])),
        "same_name" => supervisor.daemon(fake("one", [Drains])).daemon(fake("one", [Drains])),
        "none" => supervisor,
        "failed" => supervisor.daemon(fake("one", [Drains])).daemon(fake("two", [IsFenced])),
        "failed_and_hanging" => supervisor.daemon(fake("one", [Hangs])).daemon(fake("two", [IsFenced])),
        "panicked" => {
            supervisor.daemon(fake("one", [Drains])).daemon_with(RestartPolicy::never(), fake("two", [Panics]))
        }
        "recovered" => {
            supervisor.restart(soon).daemon(fake("one", [Drains])).daemon(fake("two", [Fails, Panics, Drains]))
        }
        "exhausted" => supervisor.restart(soon).daemon(fake("one", [Drains])).daemon(fake("two", [Fails])),
        "misconfigured_later" => {
            supervisor.restart(soon).daemon(fake("one", [Drains])).daemon(fake("two", [Fails, Misconfigured]))
        }
        "waiting" => supervisor.restart(late).daemon(fake("one", [Drains])).daemon(fake("two", [Fails])),
        "not_made" => supervisor.daemon(fake("one", [Drains])).daemon(|| -> Fake { panic!("no memory") }),
        "never_exhausted" => supervisor.restart(late.max_restarts(50)).daemon(fake("one", [Drains])),
        "hanging" => supervisor.daemon(fake("one", [Hangs])).daemon(fake("two", [Drains])),
        "blocked" => supervisor.daemon(fake("one", [Blocks])),
        "thread_left" => supervisor.daemon(fake("one", [LeavesThread])),
        "hanging_for_long" => supervisor.drain(long).daemon(fake("one", [Hangs])),
        "blocked_for_long" => supervisor.drain(long).daemon(fake("one", [Blocks])),
        "flooding_for_long" => supervisor.drain(long).daemon(fake("one", [Floods])),
        "admin" => supervisor.daemon(fake("one", [Blocks])),
        other => panic!("no scenario `{other}`"),
    };
    let supervisor = match std::env::var(ADDRESS) {
        Ok(address) => supervisor.admin(address.parse().expect("an address")),
        Err(_) => supervisor,
    };
    std::process::exit(i32::from(supervisor.run().code()))
}
