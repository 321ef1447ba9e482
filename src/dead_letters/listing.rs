//! Letters on their way from the thread that reads them to whoever lists them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::shelf::StopOnDrop;
use super::{Entry, LettersError};

/// How many letters, or bytes of them, are handed over at once.
const CHUNK: usize = 256;
const CHUNK_BYTES: usize = 1024 * 1024;

type Chunk = Result<Vec<Entry>, LettersError>;

/// A list that is being read: a stream that ends where the topic ended when it was asked for. What is not taken is not read, but for a few
/// hundred letters, 3 MiB of them at most. Dropped, it stops reading. After an error nothing more comes.
#[derive(Debug)]
pub struct Listing {
    /// `None` once it has ended.
    chunks: Option<Receiver<Option<Chunk>>>,
    ready: std::vec::IntoIter<Entry>,
    _stop: StopOnDrop,
}

impl Listing {
    pub(super) fn new(stop: StopOnDrop) -> (Self, Lister) {
        // With the one that is taken and the one that is gathered: three.
        let (send, receive) = channel(1);
        let listing = Self { chunks: Some(receive), ready: Vec::new().into_iter(), _stop: stop };
        (listing, Lister { chunks: send, gathered: Vec::new(), bytes: 0 })
    }

    /// The next letter; `None` at the end.
    ///
    /// # Errors
    /// Why there may be more that can't be read.
    pub async fn next(&mut self) -> Option<Result<Entry, LettersError>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for Listing {
    type Item = Result<Entry, LettersError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(entry) = self.ready.next() {
                return Poll::Ready(Some(Ok(entry)));
            }
            let Some(chunks) = &mut self.chunks else { return Poll::Ready(None) };
            match ready!(chunks.poll_recv(context)) {
                Some(Some(Ok(chunk))) => self.ready = chunk.into_iter(),
                Some(None) => self.chunks = None,
                Some(Some(Err(error))) => {
                    self.chunks = None;
                    return Poll::Ready(Some(Err(error)));
                }
                // Without a word about its end: what was listed must not pass for all of it.
                None => {
                    self.chunks = None;
                    let what = "the thread that read the letters has died".to_owned();
                    return Poll::Ready(Some(Err(LettersError::Unavailable(what))));
                }
            }
        }
    }
}

/// The thread's end of it.
pub(super) struct Lister {
    chunks: Sender<Option<Chunk>>,
    gathered: Vec<Entry>,
    bytes: usize,
}

impl Lister {
    /// Hands a letter over; says whether somebody still wants more.
    pub(super) fn push(&mut self, entry: Entry) -> bool {
        self.bytes += entry.weight();
        self.gathered.push(entry);
        if self.gathered.len() < CHUNK && self.bytes < CHUNK_BYTES {
            return true;
        }
        self.bytes = 0;
        let chunk = std::mem::take(&mut self.gathered);
        self.chunks.blocking_send(Some(Ok(chunk))).is_ok()
    }

    /// Says that this was all, or why it wasn't.
    pub(super) fn end(mut self, outcome: Result<(), LettersError>) {
        let rest = std::mem::take(&mut self.gathered);
        let last = outcome.map_or_else(|error| Some(Err(error)), |()| None);
        // Whoever has gone doesn't want to know.
        if self.chunks.blocking_send(Some(Ok(rest))).is_ok() {
            drop(self.chunks.blocking_send(last));
        }
    }
}
