//! The deployable daemon: handler modules, one a topic family, and the program that serves them.
//!
//! ```text
//! handlers run --config config/shop.yaml     reads the cluster that the file names
//! handlers check --config config/shop.yaml   tells everything that is wrong with the file
//! handlers demo --for 20s                    starts a cluster in this process, writes sample orders to it, handles them, and shows it live
//! ```
//!
//! `run` and `demo` serve `/livez`, `/readyz` and `/metrics`, and go on until SIGTERM or SIGINT.

mod demo;
mod orders;
mod payments;
mod shipments;
mod state;

use std::process::ExitCode;

use daemonry::app::App;

use state::AppState;

/// The configuration that `demo` starts from.
const SAMPLE: &str = include_str!("../../config/shop.yaml");

/// Every topic family of this daemon. A new one is a module with a `router`, a line here, and an entry below `daemons` in
/// `config/shop.yaml` and `deploy/k8s/shop.yaml`, with a group of its own; `deploy/k8s/scaled-object.yaml` scales by it. The demo makes its
/// topics, and `check` and the tests tell what is forgotten.
fn app() -> App<AppState> {
    App::new("handlers")
        .version(env!("CARGO_PKG_VERSION"))
        .state(AppState::connect)
        .consumer("orders", orders::router())
        .consumer("shipments", shipments::router())
        .command("demo", "Handles sample orders on a Kafka inside the process, and shows it live", demo::run)
        .option("for", "TIME", "Ends after so long, as in 20s; otherwise Ctrl-C ends it")
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
