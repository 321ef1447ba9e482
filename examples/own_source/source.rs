//! The source: what a WebSocket, or anything else that can take acknowledgements, has to do to stand under the pipeline.
//!
//! | the pipeline | the feed |
//! |---|---|
//! | a partition that is assigned | the one connection, from its start |
//! | a demand | the position below which quotes may be sent: what is not asked for is not sent, so nothing piles up here |
//! | a commit | an acknowledgement; what is finished above it goes into its note |
//! | a partition that is lost, and then a failure | it hung up: a new run of the daemon connects again |

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use daemonry::pipeline::demand::Demand;
use daemonry::pipeline::source::{Assigned, Batch, CommitError, Committer, Epoch, Event, Source, SourceError};
use daemonry::pipeline::subscription::Subscription;
use daemonry::pipeline::tracker::{OffsetCommit, OffsetTracker};
use daemonry::record::{NextOffset, Offset, OwnedRecord, OwnedRecords, Topic, TopicPartition};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::feed::{Acknowledged, Asks, Says, Sent};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A connection is assigned once, as a whole.
const EPOCH: Epoch = Epoch(1);
/// What the records of the feed come in as.
pub(crate) const FEED: &str = "quotes";
/// How long a note may get.
const NOTE: usize = 4096;

/// See the module.
pub(crate) struct QuoteSource {
    place: TopicPartition,
    incoming: SplitStream<Socket>,
    outgoing: Outgoing,
    /// Told once, by the first poll.
    assigned: Option<OffsetTracker>,
    /// Came and was not delivered yet: the demand has become smaller since it was asked for.
    waiting: VecDeque<Sent>,
    /// The position behind the last quote that came, and the one below which the feed was told to send.
    next: i64,
    below: i64,
    end: Option<i64>,
    /// Why there is no connection any more.
    gone: Option<String>,
    /// What is safe at the feed; none any more once it hung up.
    acknowledged: watch::Sender<Option<Acknowledged>>,
}

/// Our side of the connection, for the source and for its committer.
#[derive(Clone)]
struct Outgoing(Arc<Mutex<SplitSink<Socket, Message>>>);

impl Outgoing {
    async fn send(&self, asks: &Asks) -> Result<(), String> {
        let text = serde_json::to_string(asks).map_err(|error| error.to_string())?;
        self.0.lock().await.send(Message::text(text)).await.map_err(|error| error.to_string())
    }
}

impl QuoteSource {
    /// Connects, and hears from the feed where to go on.
    pub(crate) async fn connect(address: SocketAddr, subscription: Subscription) -> Result<Self, SourceError> {
        let topic = Topic::from(FEED);
        let Some(tag) = subscription.tag(&topic).filter(|_| subscription.topics().count() == 1) else {
            return Err(SourceError::Misconfigured(format!("the feed is the topic `{FEED}`, and no other")));
        };
        let failed = |error: String| SourceError::Failed(format!("the feed can't be reached: {error}"));
        let (socket, _) = connect_async(format!("ws://{address}")).await.map_err(|error| failed(error.to_string()))?;
        let (outgoing, mut incoming) = socket.split();
        let Some(Says::Resume { from, end }) = hear(&mut incoming).await? else {
            return Err(failed("it doesn't say where to go on".to_owned()));
        };
        let next = NextOffset::at(from.next);
        // A note of other lanes is no reason not to go on: what it remembers runs again.
        let tracker = OffsetTracker::resume(Some(next), &from.note, tag, NOTE).tracker;
        Ok(Self {
            place: TopicPartition::new(topic, 0),
            incoming,
            outgoing: Outgoing(Arc::new(Mutex::new(outgoing))),
            assigned: Some(tracker),
            waiting: VecDeque::new(),
            next: from.next,
            below: 0,
            end: Some(end),
            gone: None,
            acknowledged: watch::Sender::new(Some(from)),
        })
    }

    /// What the demand takes of the quotes that have come.
    fn deliver(&mut self, demand: &Demand) -> Option<Event<OffsetTracker>> {
        let count = demand.records(EPOCH).min(self.waiting.len());
        let quotes = self
            .waiting
            .drain(..count)
            .map(|Sent { position, key, text }| (Offset(position), Arc::new(OwnedRecord::new(text).with_key(key))));
        let records = OwnedRecords::handles(self.place.clone(), quotes.collect());
        (count > 0).then(|| Event::Records(vec![Batch { epoch: EPOCH, records, next: None, rewritten: None }]))
    }

    /// What there is now; waits where there is nothing.
    async fn next(&mut self, demand: &Demand) -> Result<Event<OffsetTracker>, SourceError> {
        loop {
            if let Some(progress) = self.assigned.take() {
                let assigned = Assigned { epoch: EPOCH, topic_partition: self.place.clone(), progress };
                return Ok(Event::Assigned(vec![assigned]));
            }
            if let Some(event) = self.deliver(demand) {
                return Ok(event);
            }
            if let Some(end) = self.end.take() {
                return Ok(Event::Ends(vec![(EPOCH, Offset(end))]));
            }
            // A position and not a number: said twice, as after a poll that was dropped in between, it is still right.
            let below = self.next + i64::try_from(demand.records(EPOCH)).unwrap_or(i64::MAX >> 1);
            if below > self.below {
                self.outgoing.send(&Asks::Below(below)).await.map_err(SourceError::Failed)?;
                self.below = below;
            }
            match hear(&mut self.incoming).await? {
                Some(Says::Quote { quote, end }) => {
                    self.next = quote.position + 1;
                    self.end = Some(end);
                    self.waiting.push_back(quote);
                }
                Some(Says::Acknowledged(safe)) => drop(self.acknowledged.send_replace(Some(safe))),
                Some(Says::Resume { .. }) => {}
                None => return Err(SourceError::Failed("the feed hung up".to_owned())),
            }
        }
    }
}

/// What the feed says next; `None` where it hung up. Safe to cancel.
async fn hear(incoming: &mut SplitStream<Socket>) -> Result<Option<Says>, SourceError> {
    loop {
        match incoming.next().await {
            Some(Ok(Message::Text(text))) => {
                let says = serde_json::from_str(&text);
                return says
                    .map(Some)
                    .map_err(|error| SourceError::Failed(format!("the feed says what it can't: {error}")));
            }
            Some(Ok(Message::Close(_))) | None => return Ok(None),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(SourceError::Failed(error.to_string())),
        }
    }
}

impl Source for QuoteSource {
    type Progress = OffsetTracker;
    type Committer = Acknowledger;

    async fn poll(&mut self, demand: &Demand, timeout: Duration) -> Result<Event<OffsetTracker>, SourceError> {
        if let Some(error) = &self.gone {
            return Err(SourceError::Failed(error.clone()));
        }
        match tokio::time::timeout(timeout, self.next(demand)).await {
            Ok(Err(SourceError::Failed(error))) => {
                // First the loss, so that nobody tries to acknowledge what can't be any more; then the failure, which ends the run.
                self.gone = Some(error);
                self.acknowledged.send_replace(None);
                Ok(Event::Lost(vec![EPOCH]))
            }
            Ok(event) => event,
            Err(_) => Ok(Event::Idle),
        }
    }

    fn committer(&mut self) -> Acknowledger {
        Acknowledger { outgoing: self.outgoing.clone(), acknowledged: self.acknowledged.subscribe() }
    }

    async fn close(self, deadline: Instant) -> Result<(), SourceError> {
        let close = async { self.outgoing.0.lock().await.close().await };
        match timeout_at(deadline, close).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(SourceError::Failed(error.to_string())),
            Err(_) => Err(SourceError::Failed("the feed doesn't take our leave".to_owned())),
        }
    }
}

/// Acknowledges, and waits until the feed says that it is safe.
pub(crate) struct Acknowledger {
    outgoing: Outgoing,
    acknowledged: watch::Receiver<Option<Acknowledged>>,
}

impl Committer for Acknowledger {
    type Commit = OffsetCommit;

    async fn commit(&mut self, commits: Vec<(Epoch, OffsetCommit)>, deadline: Instant) -> Result<(), CommitError> {
        for (_, OffsetCommit { next, metadata }) in commits {
            let ours = Acknowledged { next: next.offset().0, note: metadata };
            let acknowledge = async {
                let sent = self.outgoing.send(&Asks::Acknowledge(ours.clone())).await;
                // What is done of this connection can't be acknowledged on another one: the feed sends it again there.
                sent.map_err(CommitError::IllegalGeneration)?;
                let answered = |safe: &Option<Acknowledged>| safe.as_ref().is_none_or(|safe| *safe == ours);
                match self.acknowledged.wait_for(answered).await.as_deref() {
                    Ok(Some(_)) => Ok(()),
                    Ok(None) | Err(_) => Err(CommitError::IllegalGeneration("the feed hung up".to_owned())),
                }
            };
            let late = Err(CommitError::Retriable("the feed doesn't answer".to_owned()));
            timeout_at(deadline, acknowledge).await.unwrap_or(late)?;
        }
        Ok(())
    }
}
