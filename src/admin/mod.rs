//! The admin server: probes and metrics over HTTP.
//!
//! It runs on a thread and a runtime of its own, so that it answers while every other thread is busy or blocked. Owned by the
//! supervisor, which ends it last. The invariant: it only reads; nothing that it does can hold a daemon up.
//!
//! | path | answers 200 while |
//! |---|---|
//! | `/livez` | the daemons' heartbeats come; 503 names the silent ones. Never asks the broker. A daemon that waits for its restart is fine |
//! | `/readyz` | all daemons are ready and the process is not draining; 503 says why not, and of a daemon that failed, after which error |
//! | `/startupz` | each daemon was ready once, or stood by; 503 names those that were not. Stays 200 from then on |
//! | `/metrics` | always: Prometheus's text format |
//!
//! A consumer daemon is ready while it is a member of its group, with partitions or standing by without, while a broker has answered
//! within the last 30 s and nothing else stands in the way of its reading, and while something comes of the records that wait: see
//! [`stall_after`](crate::pipeline::PipelineSettings::stall_after).

mod guests;
mod health;
#[cfg(feature = "api")]
mod lifetime;
mod listener;
mod routes;
mod server;
#[cfg(feature = "api")]
mod tls;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

#[cfg(feature = "api")]
pub(crate) use guests::{HasAsked, household};
pub use health::Health;
pub(crate) use health::HealthBoard;
#[cfg(feature = "cli")]
pub(crate) use lifetime::{Lifetime, lifetimes};
#[cfg(feature = "api")]
pub(crate) use listener::BoundedListener;
pub use server::AdminError;
pub(crate) use server::{Greeting, HttpServer};
#[cfg(feature = "api")]
pub use tls::CertificateError;
#[cfg(feature = "api")]
pub(crate) use tls::{CertificateFiles, Tls};

use crate::metrics::Metrics;

/// Where the admin server listens unless it is told otherwise: on loopback, because it asks nobody who they are.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9465));

/// Serves probes and metrics on `address` from then on.
pub(crate) fn serve(address: SocketAddr, board: HealthBoard, metrics: Metrics) -> Result<HttpServer, AdminError> {
    HttpServer::start(
        "admin server",
        address,
        Greeting::default(),
        routes::router(board, metrics).into_make_service(),
        std::future::pending(),
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Instant;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::metrics::MessageStatus;
    use crate::supervisor::Roster;

    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("the server listens");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\n\r\n").expect("the server reads");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("the server answers and closes");
        response
    }

    fn empty_board() -> HealthBoard {
        HealthBoard::new(Roster::default(), Health::new("supervisor"), CancellationToken::new())
    }

    fn loopback() -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
    }

    #[test]
    fn probes_and_metrics_are_served_over_http() {
        let (roster, stop, metrics) = (Roster::default(), CancellationToken::new(), Metrics::new());
        metrics.daemon("orders").messages.of(MessageStatus::Success).add(3);
        let entry = roster.enter("orders".into(), metrics.daemon("orders"));
        let health = Health::new("orders");
        entry.start(health.clone());
        let board = HealthBoard::new(roster, Health::new("supervisor"), stop.clone());
        let server = serve(loopback(), board, metrics).expect("a free port");
        let address = server.address();

        assert!(get(address, "/livez").starts_with("HTTP/1.1 200 "));
        let unready = get(address, "/readyz");
        assert!(unready.starts_with("HTTP/1.1 503 ") && unready.ends_with("orders: starting\n"), "{unready}");
        assert!(get(address, "/startupz").ends_with("orders: starting\n"));
        health.ready();
        assert!(get(address, "/readyz").starts_with("HTTP/1.1 200 "));
        assert!(get(address, "/startupz").starts_with("HTTP/1.1 200 "));
        stop.cancel();
        assert!(get(address, "/readyz").ends_with("process: draining\n"));
        assert!(get(address, "/startupz").starts_with("HTTP/1.1 200 "));

        let text = get(address, "/metrics");
        assert!(text.contains("content-type: text/plain; version=0.0.4"), "{text}");
        assert!(text.contains(r#"daemon_messages_processed_total{daemon_name="orders",status="success"} 3"#), "{text}");
        assert!(get(address, "/nothing").starts_with("HTTP/1.1 404 "));

        drop(server);
        assert!(TcpStream::connect(address).is_err(), "the port is closed");
    }

    #[test]
    fn address_in_use_is_an_error_that_says_what_to_do() {
        let board = empty_board();
        let taken = std::net::TcpListener::bind(loopback()).expect("a free port");
        let address = taken.local_addr().expect("it is bound");
        let error = serve(address, board, Metrics::new()).expect_err("the port is taken");
        assert!(error.to_string().contains("choose a free address"), "{error}");
    }

    #[test]
    fn open_connection_does_not_hold_the_end_up() {
        let board = empty_board();
        let server = serve(loopback(), board, Metrics::new()).expect("a free port");
        let mut half = TcpStream::connect(server.address()).expect("the server listens");
        half.write_all(b"GET /livez HTTP/1.1\r\n").expect("the server reads");
        let before = Instant::now();
        drop(server);
        assert!(before.elapsed() < server::GOODBYE * 5);
    }
}
