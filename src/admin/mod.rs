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

mod health;
mod listener;
mod routes;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime;
use tokio_util::sync::CancellationToken;

pub use health::Health;
pub(crate) use health::HealthBoard;

use crate::metrics::Metrics;
use listener::BoundedListener;

/// Where the admin server listens unless it is told otherwise: on loopback, because it asks nobody who they are.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9465));

/// How long open connections may take to end with the server.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why the admin server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The address can't be listened on.
    #[error("admin server can't listen on {address}, choose a free address of this machine")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Its thread or runtime can't be started.
    #[error("admin server can't be started")]
    Start(#[source] io::Error),
}

/// A running admin server. Dropping it ends it and waits for that, a second at most.
#[derive(Debug)]
pub(crate) struct AdminServer {
    address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl AdminServer {
    /// Listens on `address` and answers from then on.
    pub(crate) fn start(address: SocketAddr, board: HealthBoard, metrics: Metrics) -> Result<Self, AdminError> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(AdminError::Start)?;
        let bind = |source| AdminError::Bind { address, source };
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serve = async move {
            let server = axum::serve(BoundedListener::new(listener), routes::router(board, metrics));
            let server = server.with_graceful_shutdown(stopped.clone().cancelled_owned());
            let overtime = async {
                stopped.cancelled().await;
                tokio::time::sleep(GOODBYE).await;
            };
            tokio::select! {
                // Never an error: accepting goes on after one.
                _ = server.into_future() => {}
                () = overtime => {}
            }
        };
        let thread = thread::Builder::new().name("daemonry-admin".to_owned());
        let thread = thread.spawn(move || runtime.block_on(serve)).map_err(AdminError::Start)?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Where it listens: the port that was chosen, where the address left it open.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("admin server panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Instant;

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
        let server = AdminServer::start(loopback(), board, metrics).expect("a free port");
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
        let error = AdminServer::start(address, board, Metrics::new()).expect_err("the port is taken");
        assert!(error.to_string().contains("choose a free address"), "{error}");
    }

    #[test]
    fn open_connection_does_not_hold_the_end_up() {
        let board = empty_board();
        let server = AdminServer::start(loopback(), board, Metrics::new()).expect("a free port");
        let mut half = TcpStream::connect(server.address()).expect("the server listens");
        half.write_all(b"GET /livez HTTP/1.1\r\n").expect("the server reads");
        let before = Instant::now();
        drop(server);
        assert!(before.elapsed() < GOODBYE * 5);
    }
}
