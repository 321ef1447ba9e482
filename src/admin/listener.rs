//! Connections to the admin server, bounded in number and in time.
//!
//! The invariant: at most [`CONNECTIONS`] are open, none for longer than [`LIFETIME`], whatever the other side does; and where none can be
//! accepted, as the process may open no more files, it is soon tried again: a probe waits for a second.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};
#[cfg(feature = "api")]
use tokio_rustls::{Accept, TlsAcceptor, server::TlsStream};

/// How many connections are open at once; others wait to be accepted.
const CONNECTIONS: usize = 64;

/// How long a connection may last, from its accept to the last byte of its one response.
const LIFETIME: Duration = Duration::from_secs(10);

/// How long after a failure it is tried again to accept one.
const AGAIN: Duration = Duration::from_millis(50);

/// Accepts connections within the bounds.
pub(crate) struct BoundedListener {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    lifetime: Duration,
    #[cfg(feature = "api")]
    acceptor: Option<TlsAcceptor>,
}

impl BoundedListener {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            slots: Arc::new(Semaphore::new(CONNECTIONS)),
            lifetime: LIFETIME,
            #[cfg(feature = "api")]
            acceptor: None,
        }
    }

    /// The same, which greets whoever connects by TLS.
    #[cfg(feature = "api")]
    pub(super) fn greeting(self, acceptor: Option<TlsAcceptor>) -> Self {
        Self { acceptor, ..self }
    }

    fn greet(&self, stream: TcpStream) -> Stream {
        #[cfg(feature = "api")]
        if let Some(acceptor) = &self.acceptor {
            return Stream::Greeting(Box::new(acceptor.accept(stream)));
        }
        Stream::Plain(stream)
    }
}

impl Listener for BoundedListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let slot = Arc::clone(&self.slots).acquire_owned().await.expect("the semaphore is never closed");
        let mut failing: Option<Instant> = None;
        let (stream, address) = loop {
            match self.listener.accept().await {
                Ok(accepted) => break accepted,
                Err(error) if is_of_the_other_side(&error) => {}
                Err(error) => {
                    if failing.is_none() {
                        failing = Some(Instant::now());
                        tracing::error!(%error, "no connection can be accepted, it is tried again");
                    }
                    sleep(AGAIN).await;
                }
            }
        };
        if let Some(since) = failing {
            tracing::info!(seconds = since.elapsed().as_secs_f64(), "connections can be accepted again");
        }
        (Connection { stream: self.greet(stream), end: Box::pin(sleep(self.lifetime)), _slot: slot }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Whether it concerns the one connection that was to be accepted alone.
fn is_of_the_other_side(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// What a connection is read from and written to.
enum Stream {
    Plain(TcpStream),
    /// By TLS, which is not agreed on yet: that is done by who reads first, so that nobody else waits for it.
    #[cfg(feature = "api")]
    Greeting(Box<Accept<TcpStream>>),
    #[cfg(feature = "api")]
    Tls(Box<TlsStream<TcpStream>>),
    /// It could not be agreed on.
    #[cfg(feature = "api")]
    Failed,
}

/// What both kinds can.
trait Duplex: AsyncRead + AsyncWrite {}
impl<S: AsyncRead + AsyncWrite> Duplex for S {}

impl Stream {
    #[cfg_attr(not(feature = "api"), expect(unused_variables, reason = "there is nothing to agree on"))]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Pin<&mut dyn Duplex>>> {
        #[cfg(feature = "api")]
        if let Self::Greeting(greeting) = self {
            match ready!(Pin::new(&mut **greeting).poll(context)) {
                Ok(stream) => *self = Self::Tls(Box::new(stream)),
                Err(error) => {
                    *self = Self::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(match self {
            Self::Plain(stream) => Ok(Pin::new(stream) as Pin<&mut dyn Duplex>),
            #[cfg(feature = "api")]
            Self::Tls(stream) => Ok(Pin::new(&mut **stream) as Pin<&mut dyn Duplex>),
            #[cfg(feature = "api")]
            Self::Failed => Err(io::ErrorKind::ConnectionAborted.into()),
            #[cfg(feature = "api")]
            Self::Greeting(_) => unreachable!("it was just over"),
        })
    }
}

/// A connection that fails once its time is over.
pub(crate) struct Connection {
    stream: Stream,
    end: Pin<Box<Sleep>>,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    /// The stream while there is time, else an error. Whoever is pending on the stream is woken at the end as well.
    fn poll_stream(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Pin<&mut dyn Duplex>>> {
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => self.stream.poll_ready(context),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_stream(context))?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_stream(context))?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_stream(context))?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_stream(context))?.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn connection_that_says_nothing_ends_after_its_lifetime() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut listener = BoundedListener { lifetime: Duration::from_millis(20), ..BoundedListener::new(listener) };
        let before = Instant::now();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (_client, mut connection) = (client?, accepted.0);
        let error = connection.read_u8().await.expect_err("nothing was sent");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(before.elapsed() >= listener.lifetime);
        Ok(())
    }

    #[tokio::test]
    async fn connection_gives_its_slot_back() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut listener = BoundedListener::new(listener);
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        assert_eq!(listener.slots.available_permits(), CONNECTIONS - 1);
        drop((client?, accepted));
        assert_eq!(listener.slots.available_permits(), CONNECTIONS);
        Ok(())
    }
}
