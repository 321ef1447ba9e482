//! A network between a client and a broker that can be slow, cut, or silent: a TCP proxy on loopback.
//!
//! A client that has found a broker talks to the address that the broker tells of itself; so the broker is given a
//! [listener](crate::BrokerOptions::listener_behind) that tells the proxy's. The invariant: bytes come out in the order in which they went
//! in, but for answers that are [late](Commits::Delay), and none of a connection that was silenced is lost while the connection is there.

mod commits;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex as Turns, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub use commits::Commits;
use commits::{Conversation, Passed};

/// What may be on its way at once in each direction of a connection, in pieces of this many bytes.
const PIECES: usize = 256;
const PIECE: usize = 16 << 10;

/// What the network is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// What goes in comes out so much later, in each direction.
    Open(Duration),
    /// Connections are closed, and so is each new one.
    Cut,
    /// Connections stay open, new ones are taken, and nothing comes out; it does once the link is open again.
    Silent,
}

#[derive(Clone, Copy, Debug)]
struct State {
    link: Link,
    /// Connections of an earlier age stay silent for ever.
    age: u64,
    /// Connections of an age before this one are closed.
    hung_up: u64,
    target: Option<SocketAddr>,
    commits: Commits,
    understands: bool,
    is_over: bool,
}

impl State {
    fn flows(&self, born: u64) -> bool {
        matches!(self.link, Link::Open(_)) && born == self.age
    }

    /// Whether the connections of this age are to be closed.
    fn closes(&self, born: u64) -> bool {
        self.is_over || self.link == Link::Cut || born < self.hung_up
    }
}

/// A proxy in the background. It ends with its owner, and its connections with it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: watch::Sender<State>,
    met: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// One that listens on a free port, and closes whatever connects until it has a [target](Self::lead_to).
    ///
    /// # Errors
    /// When it can't listen.
    pub fn start() -> Result<Self> {
        Self::start_that(false)
    }

    /// One before a broker, that can say [what becomes of commits](Self::have_commits): it passes on whole frames of Kafka's protocol.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_understanding() -> Result<Self> {
        Self::start_that(true)
    }

    fn start_that(understands: bool) -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a proxy can't listen")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let (state, watched) = watch::channel(State {
            link: Link::Open(Duration::ZERO),
            age: 0,
            hung_up: 0,
            target: None,
            commits: Commits::Pass,
            understands,
            is_over: false,
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let met = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&met);
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                // A listener that is registered with a runtime listens until it is over.
                if let Ok(listener) = TcpListener::from_std(listener) {
                    serve(listener, watched, counted).await;
                }
            });
        });
        Ok(Self { port, state, met, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As [`port`](Self::port), as clients have it.
    pub fn address(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// Says where connections go.
    ///
    /// # Errors
    /// When that is no address.
    pub fn lead_to(&self, target: &str) -> Result<()> {
        let target = target.parse().with_context(|| format!("`{target}` is no address"))?;
        self.state.send_modify(|state| state.target = Some(target));
        Ok(())
    }

    /// Changes the network.
    pub fn set(&self, link: Link) {
        self.state.send_modify(|state| state.link = link);
    }

    /// Says what becomes of commits from now on, where it [understands](Self::start_understanding) what they are.
    pub fn have_commits(&self, commits: Commits) {
        self.state.send_modify(|state| state.commits = commits);
    }

    /// Of how many commits something became so far.
    pub fn commits_met(&self) -> usize {
        self.met.load(Ordering::Relaxed)
    }

    /// Closes all connections that there are. New ones are taken.
    pub fn hang_up(&self) {
        self.state.send_modify(|state| {
            state.age += 1;
            state.hung_up = state.age;
        });
    }

    /// Half-opens all connections that there are, for ever: both ends still take them for connected, and hear nothing any more. New
    /// connections are none of these.
    pub fn half_open(&self) {
        self.state.send_modify(|state| state.age += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.send_modify(|state| state.is_over = true);
        if let Some(thread) = self.thread.take() {
            // There is nobody to tell of a panic but the test, whose connections are closed.
            drop(thread.join());
        }
    }
}

async fn serve(listener: TcpListener, state: watch::Receiver<State>, met: Arc<AtomicUsize>) {
    let mut over = state.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                connections.spawn(connect(client, state.clone(), Arc::clone(&met)));
            },
            Some(_) = connections.join_next() => {}
            _ = over.wait_for(|state| state.is_over) => return,
        }
    }
}

/// One connection, until an end closes it or the network does.
async fn connect(client: TcpStream, mut state: watch::Receiver<State>, met: Arc<AtomicUsize>) {
    let State { age: born, target, understands, .. } = *state.borrow_and_update();
    let Some(target) = target.filter(|_| !state.borrow().closes(born)) else { return };
    let mut closing = state.clone();
    let passing = async {
        // Whoever connects through a silent network hears nothing of the other side.
        state.wait_for(|state| state.flows(born)).await.map_err(io::Error::other)?;
        let broker = TcpStream::connect(target).await?;
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_broker, to_broker) = broker.into_split();
        let conversation = Mutex::new(Conversation::default());
        let conversation = || conversation.lock().unwrap_or_else(PoisonError::into_inner);
        let ask = |bytes: &[u8], commits| {
            if !understands {
                return Ok(Passed::all(bytes));
            }
            let (now, count) = conversation().ask(bytes, commits)?;
            met.fetch_add(count, Ordering::Relaxed);
            Ok(Passed { now, late: Vec::new() })
        };
        let answer = |bytes: &[u8], _| if understands { conversation().answer(bytes) } else { Ok(Passed::all(bytes)) };
        tokio::select! {
            ended = pass(from_client, to_broker, state.clone(), born, ask) => ended,
            ended = pass(from_broker, to_client, state.clone(), born, answer) => ended,
        }
    };
    tokio::select! {
        // How it ended is what the two ends see.
        _ = passing => {}
        _ = closing.wait_for(|state| state.closes(born)) => {}
    }
}

/// Passes on what `change` makes of what comes, each piece as much later as the network is slow.
async fn pass(
    mut from: OwnedReadHalf,
    to: OwnedWriteHalf,
    state: watch::Receiver<State>,
    born: u64,
    change: impl Fn(&[u8], Commits) -> Result<Passed>,
) -> io::Result<()> {
    let (under_way, arriving) = mpsc::channel(PIECES);
    // They are overtaken, and whole.
    let (held_back, late) = mpsc::channel(PIECES);
    let (mut reading, to) = (state.clone(), Turns::new(to));
    let take = async move {
        let mut piece = vec![0; PIECE];
        loop {
            let size = from.read(&mut piece).await?;
            if size == 0 {
                return io::Result::Ok(());
            }
            let State { link, commits, .. } = *reading.borrow_and_update();
            let latency = match link {
                Link::Open(latency) => latency,
                Link::Cut | Link::Silent => Duration::ZERO,
            };
            let Passed { now, late } = change(&piece[..size], commits).map_err(io::Error::other)?;
            let due = Instant::now() + latency;
            for (time, frame) in late {
                if held_back.send((due + time, frame)).await.is_err() {
                    return Ok(());
                }
            }
            if under_way.send((due, now)).await.is_err() {
                return Ok(());
            }
        }
    };
    tokio::try_join!(take, give(arriving, &to, state.clone(), born), give(late, &to, state, born))?;
    to.into_inner().shutdown().await
}

/// Lets what arrives come out, each piece when it is due, one after the other.
async fn give(
    mut arriving: mpsc::Receiver<(Instant, Vec<u8>)>,
    to: &Turns<OwnedWriteHalf>,
    mut state: watch::Receiver<State>,
    born: u64,
) -> io::Result<()> {
    while let Some((due, piece)) = arriving.recv().await {
        sleep_until(due).await;
        state.wait_for(|state| state.flows(born)).await.map_err(io::Error::other)?;
        to.lock().await.write_all(&piece).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::time::Instant;

    use super::*;

    /// A server that sends back what it gets.
    fn echo() -> Result<String> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?.to_string();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || io::copy(&mut stream.try_clone()?, &mut stream));
            }
        });
        Ok(address)
    }

    fn connect_through(proxy: &Proxy) -> Result<std::net::TcpStream> {
        let stream = std::net::TcpStream::connect(proxy.address())?;
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        Ok(stream)
    }

    fn say(stream: &mut std::net::TcpStream, word: &str) -> io::Result<()> {
        stream.write_all(word.as_bytes())
    }

    fn hears(stream: &mut std::net::TcpStream, word: &str) -> io::Result<()> {
        let mut heard = vec![0; word.len()];
        stream.read_exact(&mut heard)?;
        assert_eq!(heard, word.as_bytes());
        Ok(())
    }

    fn proxy() -> Result<Proxy> {
        let proxy = Proxy::start()?;
        proxy.lead_to(&echo()?)?;
        Ok(proxy)
    }

    #[test]
    fn what_goes_in_comes_out_and_later_where_it_is_slow() -> Result<()> {
        let proxy = proxy()?;
        let mut stream = connect_through(&proxy)?;
        say(&mut stream, "one")?;
        hears(&mut stream, "one")?;

        proxy.set(Link::Open(Duration::from_millis(50)));
        let before = Instant::now();
        say(&mut stream, "two")?;
        hears(&mut stream, "two")?;

        assert!(before.elapsed() >= Duration::from_millis(100), "{:?}", before.elapsed());
        Ok(())
    }

    #[test]
    fn a_cut_closes_what_is_there_and_what_comes() -> Result<()> {
        let proxy = proxy()?;
        let mut stream = connect_through(&proxy)?;
        say(&mut stream, "one")?;
        hears(&mut stream, "one")?;

        proxy.set(Link::Cut);
        assert!(matches!(stream.read(&mut [0; 1]), Ok(0)), "it is still open");
        // Taken by the system, and closed at once.
        let closed = connect_through(&proxy).and_then(|mut stream| Ok(stream.read(&mut [0; 1])?));
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");

        proxy.set(Link::Open(Duration::ZERO));
        let mut stream = connect_through(&proxy)?;
        say(&mut stream, "two")?;
        hears(&mut stream, "two")?;
        Ok(())
    }

    #[test]
    fn what_was_hung_up_is_closed_and_what_comes_is_not() -> Result<()> {
        let proxy = proxy()?;
        let mut stream = connect_through(&proxy)?;
        say(&mut stream, "one")?;
        hears(&mut stream, "one")?;

        proxy.hang_up();
        assert!(matches!(stream.read(&mut [0; 1]), Ok(0)), "it is still open");

        let mut stream = connect_through(&proxy)?;
        say(&mut stream, "two")?;
        hears(&mut stream, "two")?;
        Ok(())
    }

    #[test]
    fn a_silent_link_keeps_what_was_said_until_it_opens() -> Result<()> {
        let proxy = proxy()?;
        let mut stream = connect_through(&proxy)?;
        proxy.set(Link::Silent);
        say(&mut stream, "one")?;
        let error = hears(&mut stream, "one").err().context("nothing comes out")?;
        assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{error}");

        proxy.set(Link::Open(Duration::ZERO));
        hears(&mut stream, "one")?;
        Ok(())
    }

    #[test]
    fn a_half_open_connection_stays_silent_and_new_ones_do_not() -> Result<()> {
        let proxy = proxy()?;
        let mut stream = connect_through(&proxy)?;
        say(&mut stream, "one")?;
        hears(&mut stream, "one")?;

        proxy.half_open();
        say(&mut stream, "two")?;
        let error = hears(&mut stream, "two").err().context("nothing comes out")?;
        assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{error}");

        let mut other = connect_through(&proxy)?;
        say(&mut other, "two")?;
        hears(&mut other, "two")?;
        Ok(())
    }
}
