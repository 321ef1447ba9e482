//! A server on a thread and a runtime of its own, so that it answers while every other thread is busy or blocked.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::serve::IncomingStream;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::listener::BoundedListener;
#[cfg(feature = "api")]
use super::tls::Tls;

/// How long open connections may take to end with the server.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The address can't be listened on.
    #[error("{server} can't listen on {address}, choose a free address of this machine")]
    Bind {
        /// Which server.
        server: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Its thread or runtime can't be started.
    #[error("{server} can't be started")]
    Start {
        /// Which server.
        server: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// How whoever connects is greeted.
#[derive(Debug, Default)]
pub(crate) struct Greeting {
    /// By TLS, where there is a certificate.
    #[cfg(feature = "api")]
    pub(crate) tls: Option<Tls>,
}

impl Greeting {
    #[cfg(feature = "api")]
    fn of(&self, listener: BoundedListener) -> io::Result<BoundedListener> {
        Ok(listener.greeting(self.tls.as_ref().map(Tls::acceptor).transpose()?))
    }

    #[cfg(not(feature = "api"))]
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "with the API it may fail")]
    fn of(&self, listener: BoundedListener) -> io::Result<BoundedListener> {
        Ok(listener)
    }
}

/// Connections that the system holds for us until they are accepted. With the usual 128 a crowd that connects at once has the system drop
/// what comes behind it, and whoever that is tries again after a second.
const BACKLOG: u32 = 1_024;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A process that has just ended leaves connections behind that keep the address.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A running server. Dropping it ends it and waits for that, a second at most.
#[derive(Debug)]
pub(crate) struct HttpServer {
    name: &'static str,
    address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Listens on `address` and answers from then on. `service` makes what answers on a connection; `beside` is done there too, for as long.
    pub(crate) fn start<M, S>(
        name: &'static str,
        address: SocketAddr,
        greeting: Greeting,
        service: M,
        beside: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Self, AdminError>
    where
        M: for<'a> Service<IncomingStream<'a, BoundedListener>, Error = Infallible, Response = S> + Send + 'static,
        for<'a> <M as Service<IncomingStream<'a, BoundedListener>>>::Future: Send,
        S: Service<Request, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let start = |source| AdminError::Start { server: name, source };
        let bind = |source| AdminError::Bind { server: name, address, source };
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(start)?;
        let listener = runtime.block_on(async { listen(address) }).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let listener = greeting.of(BoundedListener::new(listener)).map_err(start)?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serve = async move {
            let server = axum::serve(listener, service);
            let server = server.with_graceful_shutdown(stopped.clone().cancelled_owned());
            let overtime = async {
                stopped.cancelled().await;
                tokio::time::sleep(GOODBYE).await;
            };
            tokio::select! {
                // Never an error: accepting goes on after one.
                _ = server.into_future() => {}
                () = overtime => {}
                () = beside => {}
            }
        };
        let thread = thread::Builder::new().name(format!("daemonry-{}", name.split(' ').next().unwrap_or(name)));
        let work = move || {
            runtime.block_on(serve);
            // What still blocks on a question is not waited for.
            runtime.shutdown_background();
        };
        let thread = thread.spawn(work).map_err(start)?;
        Ok(Self { name, address, stop, thread: Some(thread) })
    }

    /// Where it listens: the port that was chosen, where the address left it open.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(server = self.name, "server panicked");
        }
    }
}
