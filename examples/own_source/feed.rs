//! The service that is read: a feed of quotes over a WebSocket, one text message a frame.
//!
//! ```text
//! feed → reader   {"resume":{"from":{"next":12,"note":""},"end":40}}      at the start: what was acknowledged, and where the feed ends
//! reader → feed   {"below":52}                                            quotes below this position may be sent
//! feed → reader   {"quote":{"quote":{"position":12,"key":"EURUSD","text":"…"},"end":41}}
//! reader → feed   {"acknowledge":{"next":13,"note":""}}                   all below 13 are done; the note is kept beside it
//! feed → reader   {"acknowledged":{"next":13,"note":""}}                  and is safe
//! ```

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

/// What the reader has acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub(crate) struct Acknowledged {
    /// Where to read on.
    pub(crate) next: i64,
    /// Whatever the reader wants to find again.
    pub(crate) note: String,
}

/// A quote as it is sent.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Sent {
    pub(crate) position: i64,
    pub(crate) key: String,
    pub(crate) text: String,
}

/// What the feed says.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Says {
    Resume { from: Acknowledged, end: i64 },
    Quote { quote: Sent, end: i64 },
    Acknowledged(Acknowledged),
}

/// What the reader says.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Asks {
    Below(i64),
    Acknowledge(Acknowledged),
}

/// A handle of the feed.
#[derive(Clone)]
pub(crate) struct Feed {
    inner: Arc<Inner>,
}

struct Inner {
    address: SocketAddr,
    /// How many there are to be in all.
    quotes: Option<usize>,
    written: watch::Sender<Vec<Sent>>,
    acknowledged: watch::Sender<Acknowledged>,
    /// What was acknowledged when it hung up, once it has.
    hung_up: OnceLock<i64>,
    tasks: std::sync::Mutex<JoinSet<()>>,
}

/// The position from which on the feed hangs up, once, where something was acknowledged.
const HANGS_UP_AT: usize = 100;

impl Feed {
    /// Listens on a free port of loopback, and writes a quote every few milliseconds: `quotes` of them, or for ever.
    pub(crate) async fn start(quotes: Option<usize>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let inner = Inner {
            address: listener.local_addr()?,
            quotes,
            written: watch::Sender::default(),
            acknowledged: watch::Sender::default(),
            hung_up: OnceLock::new(),
            tasks: std::sync::Mutex::default(),
        };
        let feed = Self { inner: Arc::new(inner) };
        let mut tasks = feed.inner.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tasks.spawn(feed.clone().write());
        tasks.spawn(feed.clone().accept(listener));
        drop(tasks);
        Ok(feed)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.inner.address
    }

    pub(crate) fn written(&self) -> usize {
        self.inner.written.borrow().len()
    }

    pub(crate) fn acknowledged(&self) -> i64 {
        self.inner.acknowledged.borrow().next
    }

    /// What was acknowledged when it hung up; `None` where it never did.
    pub(crate) fn hung_up(&self) -> Option<i64> {
        self.inner.hung_up.get().copied()
    }

    /// Waits until as many are acknowledged as there are to be; for ever where they don't end.
    pub(crate) async fn all_acknowledged(&self) {
        let all =
            |acknowledged: &Acknowledged| self.inner.quotes.is_some_and(|quotes| acknowledged.next >= quotes as i64);
        // The sender lives as long as this.
        self.inner.acknowledged.subscribe().wait_for(all).await.ok();
    }

    async fn write(self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(4));
        for position in (0_usize..).take_while(|&position| self.inner.quotes.is_none_or(|quotes| position < quotes)) {
            ticks.tick().await;
            let key = ["EURUSD", "USDJPY", "GBPUSD", "AUDUSD"][position % 4].to_owned();
            let rate = 1.0 + (position % 100) as f64 / 1_000.0;
            let text = match position % 90 {
                45 => "no quote".to_owned(),
                _ => format!(r#"{{"pair":"{key}","rate":{rate}}}"#),
            };
            let position = position as i64;
            self.inner.written.send_modify(|written| written.push(Sent { position, key, text }));
        }
    }

    async fn accept(self, listener: TcpListener) {
        let mut readers = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let feed = self.clone();
            // Whoever hangs up has a reason; the next reader goes on.
            readers.spawn(async move { feed.serve(stream).await.ok() });
            while readers.try_join_next().is_some() {}
        }
    }

    /// Serves one reader, until either side hangs up.
    async fn serve(&self, stream: TcpStream) -> anyhow::Result<()> {
        let mut socket = accept_async(stream).await?;
        let say = |says: &Says| serde_json::to_string(says).map(Message::text);
        let mut written = self.inner.written.subscribe();
        let from = self.inner.acknowledged.borrow().clone();
        let (mut next, mut below) = (usize::try_from(from.next)?, 0);
        socket.send(say(&Says::Resume { from, end: self.written() as i64 })?).await?;
        loop {
            let quote = written.borrow_and_update().get(next).cloned().filter(|quote| quote.position < below);
            if let Some(quote) = quote {
                if next >= HANGS_UP_AT && self.acknowledged() > 0 && self.inner.hung_up.set(self.acknowledged()).is_ok()
                {
                    return Ok(());
                }
                next += 1;
                socket.send(say(&Says::Quote { quote, end: self.written() as i64 })?).await?;
            }
            tokio::select! {
                biased;
                message = socket.next() => {
                    let Some(message) = message else { return Ok(()) };
                    let Message::Text(text) = message? else { continue };
                    match serde_json::from_str(&text)? {
                        Asks::Below(position) => below = position,
                        Asks::Acknowledge(acknowledged) => {
                            self.inner.acknowledged.send_replace(acknowledged.clone());
                            socket.send(say(&Says::Acknowledged(acknowledged))?).await?;
                        }
                    }
                }
                () = std::future::ready(()), if self.has(next, below) => {}
                _ = written.changed() => {}
            }
        }
    }

    /// Whether a quote is to be sent now.
    fn has(&self, next: usize, below: i64) -> bool {
        next < self.written() && (next as i64) < below
    }
}
