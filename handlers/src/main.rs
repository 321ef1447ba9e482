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

/// Every topic family of this daemon. A new one is a module with a `router`, and a line here.
fn app() -> App<AppState> {
    App::new("handlers")
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
