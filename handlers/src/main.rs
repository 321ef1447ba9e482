//! The deployable daemon: handler modules, one a topic family, and the process that serves them.
//!
//! ```text
//! handlers run     reads the cluster at KAFKA_BROKERS as a member of the group KAFKA_GROUP [shop]
//! handlers demo    starts a cluster in this process, keeps writing sample orders to it, and handles them
//! ```
//!
//! Both serve `/livez`, `/readyz` and `/metrics` at ADMIN_ADDRESS [127.0.0.1:9465], and run until SIGTERM or SIGINT.

mod orders;
mod samples;

use std::env;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, bail};
use daemonry::admin::DEFAULT_ADDRESS;
use daemonry::daemon::Consumer;
use daemonry::handler::Router;
use daemonry::kafka::{EmbeddedCluster, GroupProtocol, KafkaConfig};
use daemonry::shutdown::Exit;
use daemonry::supervisor::Supervisor;
use daemonry::telemetry::{self, LogFormat};

/// Every topic family of this daemon. A new one is a module with a `router`, and a line here.
fn router() -> Router {
    orders::router()
}

fn supervisor() -> anyhow::Result<Supervisor> {
    let address: SocketAddr = match env::var("ADMIN_ADDRESS") {
        Ok(text) => text
            .parse()
            .with_context(|| format!("ADMIN_ADDRESS is `{text}`, expected an address such as 127.0.0.1:9465"))?,
        Err(_) => DEFAULT_ADDRESS,
    };
    Ok(Supervisor::new().admin(address))
}

fn run() -> anyhow::Result<Exit> {
    let brokers = env::var("KAFKA_BROKERS").context("KAFKA_BROKERS is not set, name the cluster as host:port")?;
    let group = env::var("KAFKA_GROUP").unwrap_or_else(|_| "shop".to_owned());
    let kafka = KafkaConfig::new(brokers, group);
    Ok(supervisor()?.daemon(move || Consumer::new("orders", kafka.clone(), router())).run())
}

fn demo() -> anyhow::Result<Exit> {
    let cluster = EmbeddedCluster::start(&[(orders::CREATED, 4), (orders::CREATED_LETTERS, 4)])?;
    tracing::info!(brokers = cluster.brokers(), "embedded cluster started");
    let mut kafka = KafkaConfig::new(cluster.brokers(), "shop");
    kafka.protocol = GroupProtocol::Consumer;
    let samples = kafka.clone();
    let supervisor = supervisor()?
        .daemon(move || Consumer::new("orders", kafka.clone(), router()))
        .daemon(move || samples::SampleOrders::new(samples.clone()));
    Ok(supervisor.run())
}

fn serve() -> anyhow::Result<Exit> {
    telemetry::init(LogFormat::Human)?;
    match env::args().skip(1).collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run"] => run(),
        ["demo"] => demo(),
        _ => bail!("expected one argument: `run` for the cluster at KAFKA_BROKERS, or `demo` for one in this process"),
    }
}

fn main() -> ExitCode {
    match serve() {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("handlers: {error:#}");
            Exit::Misconfigured.into()
        }
    }
}
