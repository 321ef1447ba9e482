//! Connections to the admin server, bounded in number and in time.
//!
//! The invariant: at most [`CONNECTIONS`] are served and [`WAITING`] wait for that, none for longer than [`LIFETIME`], whatever the other
//! side does. Where as many are served, [`guests`](super::guests) says which of them goes for the next one, or that it waits; and where none
//! can be accepted, as the process may open no more files, it is soon tried again: a probe waits for a second.

use std::collections::VecDeque;
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
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
#[cfg(feature = "api")]
use tokio_rustls::{Accept, TlsAcceptor, server::TlsStream};
use tokio_util::sync::WaitForCancellationFutureOwned;

#[cfg(feature = "api")]
use super::guests::HasAsked;
use super::guests::{Guests, Stay};

/// How many connections are served at once; for one more another one goes, or it waits.
const CONNECTIONS: usize = 64;

/// How many wait, of those who have as many as anybody.
const WAITING: usize = 64;

/// How long a connection may last, from its accept to the last byte of its one response.
const LIFETIME: Duration = Duration::from_secs(10);

/// How long after a failure it is tried again to accept one.
const AGAIN: Duration = Duration::from_millis(50);

/// Accepts connections within the bounds.
pub(crate) struct BoundedListener {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    guests: Guests,
    /// In the order in which they came.
    waiting: VecDeque<Waiting>,
    lifetime: Duration,
    #[cfg(feature = "api")]
    acceptor: Option<TlsAcceptor>,
}

impl BoundedListener {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            slots: Arc::new(Semaphore::new(CONNECTIONS)),
            guests: Guests::default(),
            waiting: VecDeque::new(),
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

impl BoundedListener {
    /// The next one that connects.
    async fn next(&self) -> (TcpStream, SocketAddr) {
        let mut failing: Option<Instant> = None;
        let accepted = loop {
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
        accepted
    }

    /// A slot for somebody from there; none where those who have them have a better right to them.
    async fn slot(&self, from: SocketAddr) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
                return Some(slot);
            }
            if !self.guests.make_room(from.ip()) {
                return None;
            }
            // One that is being answered may hear of it late: then another one goes too.
            if let Ok(slot) = timeout(AGAIN, Arc::clone(&self.slots).acquire_owned()).await {
                return Some(slot.expect("the semaphore is never closed"));
            }
        }
    }
}

impl BoundedListener {
    fn serve(&self, newcomer: Waiting, slot: OwnedSemaphorePermit) -> (Connection, SocketAddr) {
        let Waiting { stream, address, since } = newcomer;
        let stay = self.guests.enter(address.ip());
        let connection = Connection {
            stream: self.greet(stream),
            end: Box::pin(sleep_until(since + self.lifetime)),
            told_to_go: Box::pin(stay.leave.clone().cancelled_owned()),
            stay,
            _slot: slot,
        };
        (connection, address)
    }
}

/// Somebody who is connected, and not served yet.
struct Waiting {
    stream: TcpStream,
    address: SocketAddr,
    since: Instant,
}

impl Listener for BoundedListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let (slots, waiting) = (Arc::clone(&self.slots), !self.waiting.is_empty());
            let (newcomer, slot) = tokio::select! {
                biased;
                slot = slots.acquire_owned(), if waiting => {
                    (self.waiting.pop_front().expect("somebody waits"), Some(slot.expect("the semaphore is never closed")))
                }
                (stream, address) = self.next() => {
                    (Waiting { stream, address, since: Instant::now() }, self.slot(address).await)
                }
            };
            match slot {
                Some(slot) if newcomer.since.elapsed() < self.lifetime => return self.serve(newcomer, slot),
                // Nobody is behind it any more, or ought to be.
                Some(_) => {}
                None if self.waiting.len() < WAITING => self.waiting.push_back(newcomer),
                None => drop(newcomer),
            }
        }
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

/// A connection that fails once its time is over, or once it was told to go.
pub(crate) struct Connection {
    stream: Stream,
    end: Pin<Box<Sleep>>,
    told_to_go: Pin<Box<WaitForCancellationFutureOwned>>,
    stay: Stay,
    // Behind all else: who waits for it has the stream's descriptor then.
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    /// To note that it has asked something whole. Whoever doesn't is taken to have asked once it is answered.
    #[cfg(feature = "api")]
    pub(crate) fn has_asked(&self) -> HasAsked {
        self.stay.has_asked.clone()
    }

    /// The stream while there is time, else an error. Whoever is pending on the stream is woken at the end as well.
    fn poll_stream(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Pin<&mut dyn Duplex>>> {
        if self.told_to_go.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
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
        self.stay.has_asked.note();
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpSocket;
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

    /// Connects so many times from this address of the loopback network; accepts meanwhile.
    async fn connect(
        listener: &mut BoundedListener,
        from: [u8; 4],
        count: usize,
    ) -> io::Result<Vec<(TcpStream, Connection)>> {
        let address = listener.local_addr()?;
        let mut all = Vec::new();
        for _ in 0..count {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::from((from, 0)))?;
            let (client, accepted) = tokio::join!(socket.connect(address), listener.accept());
            all.push((client?, accepted.0));
        }
        Ok(all)
    }

    #[tokio::test]
    async fn connections_that_say_nothing_keep_nobody_out() -> io::Result<()> {
        let mut listener = BoundedListener::new(TcpListener::bind("127.0.0.1:0").await?);
        let mut silent = connect(&mut listener, [127, 0, 0, 1], CONNECTIONS).await?;
        let address = listener.local_addr()?;
        for from in [[127, 0, 0, 2], [127, 0, 0, 1]] {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::from((from, 0)))?;
            let (client, mut oldest) = silent.remove(0);
            // As hyper does with a connection that fails.
            let leaves = async move {
                let error = oldest.read_u8().await.expect_err("it was told to go");
                drop((oldest, client));
                error.kind()
            };
            let (client, accepted, left) = tokio::join!(socket.connect(address), listener.accept(), leaves);
            assert_eq!(left, io::ErrorKind::ConnectionAborted);
            assert_eq!(accepted.1.ip(), std::net::IpAddr::from(from));
            silent.push((client?, accepted.0));
            assert_eq!(listener.slots.available_permits(), 0);
        }
        Ok(())
    }

    /// Connections that are all being answered.
    async fn busy(listener: &mut BoundedListener) -> io::Result<Vec<(TcpStream, Connection)>> {
        let mut busy = connect(listener, [127, 0, 0, 1], CONNECTIONS).await?;
        for (_, connection) in &mut busy {
            connection.write_u8(0).await?;
        }
        Ok(busy)
    }

    #[tokio::test]
    async fn who_has_all_of_them_at_work_waits_for_the_next_and_keeps_no_stranger_waiting() -> io::Result<()> {
        let mut listener = BoundedListener::new(TcpListener::bind("127.0.0.1:0").await?);
        let mut busy = busy(&mut listener).await?;
        let address = listener.local_addr()?;
        let waits = TcpStream::connect(address).await?;
        let stranger = TcpSocket::new_v4()?;
        stranger.bind("127.0.0.2:0".parse().expect("an address"))?;
        let (_, mut oldest) = busy.remove(0);
        let leaves = async move { oldest.read_u8().await.expect_err("it was told to go").kind() };
        let (client, accepted, left) = tokio::join!(stranger.connect(address), listener.accept(), leaves);
        assert_eq!((left, accepted.1), (io::ErrorKind::ConnectionAborted, client?.local_addr()?));
        assert_eq!(listener.waiting.len(), 1);
        drop(busy.remove(0));
        assert_eq!(listener.accept().await.1, waits.local_addr()?, "it is its turn");
        Ok(())
    }

    #[tokio::test]
    async fn those_who_wait_are_bounded_too() -> io::Result<()> {
        let mut listener = BoundedListener::new(TcpListener::bind("127.0.0.1:0").await?);
        let _busy = busy(&mut listener).await?;
        let address = listener.local_addr()?;
        let mut waiting = Vec::new();
        for _ in 0..WAITING {
            waiting.push(TcpStream::connect(address).await?);
        }
        let mut refused = TcpStream::connect(address).await?;
        let mut byte = [0];
        let hung_up = tokio::select! {
            _ = listener.accept() => unreachable!("all of them are at work"),
            read = refused.read(&mut byte) => read?,
        };
        assert_eq!((hung_up, listener.waiting.len()), (0, WAITING));
        Ok(())
    }
}
