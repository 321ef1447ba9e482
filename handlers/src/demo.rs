//! The demo: a cluster inside this process, sample orders, and the daemons of this program on them, shown live.
//!
//! The live view goes to standard error, as the log does: a table on a terminal, else a line every few seconds. The summary goes to
//! standard output.

mod figures;
mod log;
mod samples;
mod screen;
mod summary;
mod view;
mod watch;

use std::io::{self, Write};
use std::net::TcpListener;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use anyhow::{Context, bail};
use daemonry::app::{Launch, Setup};
use daemonry::config::Period;
use daemonry::kafka::EmbeddedCluster;
use daemonry::shutdown::Exit;
use daemonry::{admin, api, fleet};

use crate::SAMPLE;
use crate::state::AppState;
use figures::Meter;
use samples::SampleOrders;
use screen::Screen;
use summary::{Account, Summary};
use watch::Watch;

/// Of each topic.
const PARTITIONS: i32 = 4;

/// Runs until a signal, or for as long as `--for` says, and compares what was counted with what the brokers have.
pub(crate) fn run(launch: Launch<AppState>) -> anyhow::Result<Exit> {
    let begun = Instant::now();
    let time = match launch.option("for").map(str::parse::<Period>).transpose() {
        Ok(time) => time.map(|time| time.0),
        Err(error) => {
            writeln!(io::stderr(), "handlers: --for: {error}")?;
            return Ok(Exit::Misconfigured);
        }
    };
    let consumers = launch.consumers();
    let topics = consumers.iter().flat_map(|one| one.topics.iter().chain(&one.dead_letters));
    let fleet = [fleet::DEFAULT_REPORTS, fleet::DEFAULT_CONTROL].map(|topic| (topic, 1));
    let topics: Vec<_> = topics.map(|topic| (topic.as_str(), PARTITIONS)).chain(fleet).collect();
    // For as long as the process: clients that are still closing would have it in their log that it is gone.
    let cluster: &EmbeddedCluster = Box::leak(Box::new(EmbeddedCluster::start(&topics)?));
    let screen = Screen::stderr();
    if let Some(screen) = &screen {
        log::init(screen.clone())?;
    }

    let (metrics, roster, shutdown) = (launch.metrics(), launch.roster(), launch.shutdown());
    let watch = Watch { begun, time, brokers: cluster.brokers(), screen, roster: roster.clone(), shutdown };
    let watched = watch.start(Meter::new(metrics.clone(), roster.clone()))?;
    let seen = Arc::new(OnceLock::<Setup>::new());
    let setup = Arc::clone(&seen);
    let mut launch = launch
        .config("config/shop.yaml", SAMPLE)
        .set("kafka.main.brokers", cluster.brokers())
        .set("kafka.main.protocol", "consumer")
        .set("fleet.enabled", true)
        .set("log.filter", log::filter())
        .daemon("samples", move |given, _| {
            SampleOrders::new(setup.get_or_init(|| given.clone()).config().kafka("main").cloned())
        });
    // Another demo may have it.
    for (variable, key, address) in [
        ("ADMIN_ADDRESS", "admin.address", admin::DEFAULT_ADDRESS),
        ("API_ADDRESS", "api.address", api::DEFAULT_ADDRESS),
    ] {
        if std::env::var_os(variable).is_none() && TcpListener::bind(address).is_err() {
            launch = launch.set(key, "127.0.0.1:0");
        }
    }
    let exit = launch.run();
    let first = watched.end();
    let Some(setup) = seen.get() else { return Ok(exit) };

    let meter = Meter::new(metrics, roster);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut accounts = Vec::new();
    for read in consumers {
        let Some(kafka) = setup.config().kafka_of(&read.consumer) else { continue };
        let counted = meter.records(&read.consumer);
        let account = runtime.block_on(Account::of(kafka, &read, counted));
        accounts.push(account.context("the brokers don't say where the groups stand")?);
    }
    let summary = Summary(accounts);
    let mut output = io::stdout();
    if let Some(first) = first {
        writeln!(output, "\nThe first record was handled {:.1} s after the start.", first.as_secs_f64())?;
    }
    write!(output, "\n{summary}\n")?;
    let differences = summary.differences();
    if !differences.is_empty() {
        bail!("brokers and daemons differ: {}", differences.join("; "));
    }
    writeln!(output, "Brokers and daemons agree.")?;
    Ok(exit)
}
