//! The deployable daemon: handler modules, one a topic family, and the program that serves them.
//!
//! ```text
//! handlers run --config config/shop.yaml     reads the cluster that the file names
//! handlers check --config config/shop.yaml   tells everything that is wrong with the file
//! handlers demo                              starts a cluster in this process, keeps writing sample orders to it, and handles them
//! ```
//!
//! `run` and `demo` serve `/livez`, `/readyz` and `/metrics`, and go on until SIGTERM or SIGINT.

mod orders;
mod samples;

use std::process::ExitCode;

use daemonry::app::{App, Launch};
use daemonry::kafka::EmbeddedCluster;
use daemonry::shutdown::Exit;

/// The configuration that `demo` starts from.
const SAMPLE: &str = include_str!("../../config/shop.yaml");

/// Every topic family of this daemon. A new one is a module with a `router`, and a line here.
fn app() -> App {
    App::new("handlers").consumer("orders", orders::router()).command(
        "demo",
        "Handles sample orders on a Kafka inside the process",
        demo,
    )
}

fn demo(launch: Launch) -> anyhow::Result<Exit> {
    let cluster = EmbeddedCluster::start(&[(orders::CREATED, 4), (orders::CREATED_LETTERS, 4)])?;
    let exit = launch
        .config("config/shop.yaml", SAMPLE)
        .set("kafka.main.brokers", cluster.brokers())
        .set("kafka.main.protocol", "consumer")
        .daemon("samples", |setup, ()| samples::SampleOrders::new(setup.config().kafka("main").cloned()))
        .run();
    Ok(exit)
}

fn main() -> ExitCode {
    app().main()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_configuration_can_work() {
        app().check_text("config/shop.yaml", SAMPLE).expect("it names what there is");
    }
}
