//! Dead letters, from the side of whoever deals with them: list, show, re-drive, discard. What writes them is
//! [`pipeline::dead_letter`](crate::pipeline::dead_letter), which has the table of their headers.
//!
//! ```no_run
//! use daemonry::dead_letters::{DeadLetters, Filter, Redrive};
//! use daemonry::kafka::KafkaConfig;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let letters = DeadLetters::open(&KafkaConfig::new("localhost:9092", "unused"), "orders.dlq")?;
//!
//! let timeouts = Filter::all().error_contains("connection refused").origin("orders");
//! let mut listing = letters.list(timeouts.clone());
//! while let Some(entry) = listing.next().await {
//!     let entry = entry?;
//!     println!("{}:{} {:?}", entry.partition, entry.offset, entry.letter().map(|letter| &letter.error));
//! }
//!
//! let request = Redrive::new("after-the-outage", timeouts).per_second(200.0).by("ada");
//! println!("would re-drive {}", letters.dry_run(request.clone()).await?.selected);
//! println!("did re-drive {}", letters.redrive(request).await?.selected);
//!
//! let tests = Filter::all().header("origin", "load-test");
//! letters.discard(tests, "ada", "orders of a load test").await?;
//! # Ok(())
//! # }
//! ```
//!
//! - **Reading** joins no group and commits nothing. It goes from where the topic begins to where it ended when it was asked, oldest
//!   letters first, in memory that is bounded whatever the topic's size.
//! - **What became of a letter** is a mark in the topic `<letters' topic>.marks`, which is made when it is first needed: compacted, one
//!   partition, some 100 bytes a letter, kept for as long as it is kept. What has a mark is left out by default. If the letters' topic
//!   has a retention of its own, the marks' may get a longer one (`cleanup.policy=compact,delete`). A topic that is deleted and made anew
//!   starts without marks.
//! - **A re-drive is a request with a name.** Each of its transactions (5,000 letters, 4 MiB or one second) writes records, their marks,
//!   and how far the request got, as commits of the group `daemonry-redrive.<letters' topic>.<request>`, which nobody joins. A process
//!   that is killed leaves a transaction that is undone; the same request goes on behind the last one that was committed, without a
//!   second copy for whoever reads committed records only (as this library does). Where it ends is written down when it begins: letters
//!   of what it re-drove and that failed again are not its own, and it goes on only with the selection and the target that it was begun
//!   with. So a name is taken from then on, also where there was nothing to do. The brokers keep its progress for
//!   `offsets.retention.minutes` [7 days] after its last commit.
//! - **One at a time.** All re-drives and discards of a topic write as one transactional producer, `daemonry-redrive.<letters' topic>`:
//!   one that begins stops the one before, which can go on later, and no two of them can write the record of one letter. A killed one's
//!   transaction is open until the next one begins, 20 s at most and the brokers' next look; until then readers of committed records wait
//!   in the partitions that it wrote to.
//! - **Order.** Letters are taken by their time over all partitions, and in the order of offsets within each, and each record goes to the
//!   partition of its key as the target has them now. Its old partition would be the wrong one after the topic got more of them, and then
//!   its key's newer records would be elsewhere. So the records of a key are written in the order of their letters, into the partition
//!   where the key's other records are, if they were written with the partitioner of Java's producers (`murmur2_random`), as this library
//!   does. Records without a key go anywhere.
//! - **The loop.** A record goes out with its own headers, and `daemonry-redrives`, one more than before. If it fails again its next
//!   letter has that header too, and at the cap it is left alone. What a letter says of its topic is believed, but no record goes where
//!   the marks are.
//! - **What can't be done is left.** A letter whose record is too large for its topic, or whose topic is gone, and a record that
//!   is no letter, end nothing: each is passed over, [counted](Counts::unwritten) and [told](DeadLetters::hearing_of_left) with its place and why, and has no
//!   mark. A right that is missing ends the work: it goes on once that is granted. Where all records were to go to one topic that isn't there,
//!   nothing is done.
//! - **What became of them is read once.** A [`DeadLetters`] and its clones keep it, in some 300 bytes for 512 letters, and read on from there for
//!   each page, letter and list. Those that are done with are passed over unread where there are many of them.
//! - **Measured** with 1,000,000 letters, each with a mark: the figures are in the book, under "Operating", and `make letters` repeats them. Letters to
//!   try things with are written by `cargo run -p integration --bin sample-letters -- BROKERS TOPIC 1000000`.
//! - **Rights**: READ on the letters' topic; and to change anything READ on groups and WRITE on transactional ids with the prefix
//!   `daemonry-redrive.<letters' topic>`, WRITE on the targets, READ and WRITE (and once CREATE) on the marks' topic.

mod entry;
mod error;
mod filter;
mod kinds;
mod left;
mod letter;
mod listing;
mod marked;
mod marks;
mod opened;
mod page;
mod pass;
mod plan;
mod redrive;
mod register;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod shelf;
mod show;
pub(crate) mod tail;
#[cfg(test)]
mod tests;
mod watch;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use entry::{Content, Entry, Shown};
pub use error::{Interrupted, LettersError};
pub use filter::Filter;
pub use kinds::{Kind, Kinds, Waiting};
pub use left::Left;
pub use letter::{DeadLetter, NotALetter};
pub use listing::Listing;
pub use marks::{Mark, MarkKind};
pub(crate) use marks::{TopicId, letters_of_marks};
#[cfg(feature = "api")]
pub(crate) use page::place_of;
pub use page::{Cursor, LettersPage, NotACursor};
pub use plan::{Plan, Way};
pub use redrive::{Counts, Edit, Redrive};

use self::left::Ear;
use self::opened::Pile;
use self::pass::{Heard, Work};
use self::register::{Register, Time};
use self::shelf::{Shelf, StopOnDrop};
use self::watch::Watch;
#[cfg(feature = "kafka")]
use crate::kafka::{ConfigError, KafkaConfig, KafkaShelf};
use crate::record::{Offset, Partition, Topic};
use crate::testing::MemoryBroker;

/// The letters of one topic. Its methods want a tokio runtime around them: they block, on threads of its pool for that. See the
/// [module](self).
#[derive(Clone, Debug)]
pub struct DeadLetters {
    shelf: Arc<dyn Shelf>,
    topic: Topic,
    watch: Watch,
    ear: Ear,
    /// What became of them, as far as it was read; clones share it.
    register: Arc<Register>,
}

impl DeadLetters {
    /// Those of a topic in Kafka, with the connection of `config`, without its group. Connects to nobody yet.
    ///
    /// # Errors
    /// What librdkafka refuses.
    #[cfg(feature = "kafka")]
    pub fn open(config: &KafkaConfig, topic: impl Into<Topic>) -> Result<Self, ConfigError> {
        Ok(Self::on(Arc::new(KafkaShelf::new(config)?), topic.into()))
    }

    /// Those of a topic of the broker in memory, to test with.
    pub fn in_memory(broker: &MemoryBroker, topic: impl Into<Topic>) -> Self {
        Self::on(Arc::new(broker.clone()), topic.into())
    }

    pub(crate) fn on(shelf: Arc<dyn Shelf>, topic: Topic) -> Self {
        Self { shelf, topic, watch: Watch::default(), ear: Ear::default(), register: Arc::default() }
    }

    /// The same with somebody who watches. A re-drive or a discard tells after each of its transactions what it has done, for good; what
    /// only counts tells every 500 records. Where the answer is to break, it ends there with [`LettersError::Stopped`], and leaves no
    /// transaction open. Called on the thread that does the work, which waits for the answer.
    ///
    /// ```no_run
    /// use std::ops::ControlFlow;
    ///
    /// use daemonry::dead_letters::{DeadLetters, Filter, Redrive};
    ///
    /// # async fn example(letters: DeadLetters) -> Result<(), Box<dyn std::error::Error>> {
    /// let watched = letters.watched(|counts| {
    ///     println!("{} so far", counts.selected);
    ///     ControlFlow::Continue(())
    /// });
    /// watched.redrive(Redrive::new("after-the-outage", Filter::all())).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn watched(self, watch: impl Fn(Counts) -> ControlFlow<()> + Send + Sync + 'static) -> Self {
        Self { watch: Watch::by(watch), ..self }
    }

    /// The same with somebody who hears of each letter that a re-drive leaves since nothing can be done with it: its record can't be written, or it
    /// is no letter. Called on the thread that does the work, once the transaction that is past the letter is committed.
    ///
    /// ```no_run
    /// use daemonry::dead_letters::{DeadLetters, Filter, Redrive};
    ///
    /// # async fn example(letters: DeadLetters) -> Result<(), Box<dyn std::error::Error>> {
    /// let heard = letters.hearing_of_left(|left| println!("{}:{} {}", left.partition, left.offset, left.why));
    /// heard.redrive(Redrive::new("after-the-outage", Filter::all())).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn hearing_of_left(self, hear: impl Fn(&Left) + Send + Sync + 'static) -> Self {
        Self { ear: Ear::of(hear), ..self }
    }

    /// The topic.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Lists the letters that meet the filter's conditions.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn list(&self, filter: Filter) -> Listing {
        let guard = StopOnDrop::default();
        let stop = guard.0.clone();
        let (listing, mut lister) = Listing::new(guard);
        let Self { shelf, topic, register, .. } = self.clone();
        // Ends by itself when the listing is dropped.
        drop(tokio::task::spawn_blocking(move || {
            let pile = Pile { shelf: &*shelf, register: &register, topic: &topic, stop: &stop };
            let outcome = opened::list(&pile, &filter, |entry| lister.push(entry));
            lister.end(outcome);
        }));
        listing
    }

    /// Up to `size` letters that meet the filter's conditions, from the topic's beginning or from where an earlier page has ended. However
    /// many must be looked at for them, it ends after `time`, and says where to go on.
    ///
    /// ```no_run
    /// # use daemonry::dead_letters::{DeadLetters, Filter, LettersError};
    /// # use std::time::Duration;
    /// # async fn example(letters: DeadLetters) -> Result<(), LettersError> {
    /// let mut from = None;
    /// loop {
    ///     let page = letters.page(Filter::all(), from, 100, Duration::from_secs(5)).await?;
    ///     println!("{} of {} records", page.letters.len(), page.looked_at);
    ///     match page.next {
    ///         Some(next) => from = Some(next),
    ///         None => return Ok(()),
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`LettersError`].
    pub async fn page(
        &self,
        filter: Filter,
        from: Option<Cursor>,
        size: usize,
        time: Duration,
    ) -> Result<LettersPage, LettersError> {
        let now = Instant::now();
        let wanted = page::Wanted { filter, from, size, until: now.checked_add(time).unwrap_or(now) };
        self.run(move |pile| page::page(pile, &wanted)).await?
    }

    /// How many letters wait: were neither re-driven nor discarded. No letter is read for it, but the marks are, for `time` at most. Records that
    /// are no letters count too.
    ///
    /// # Errors
    /// See [`LettersError`].
    pub async fn waiting(&self, time: Duration) -> Result<Waiting, LettersError> {
        let now = Instant::now();
        let time = Time::until(now.checked_add(time).unwrap_or(now));
        self.run(move |pile| kinds::waiting(pile, time)).await?
    }

    /// How many of the letters that meet the filter's conditions there are of each kind: of records of which topic, failed in which way. They
    /// are read for it, the oldest first, for `time` at most, or for as long as it takes.
    ///
    /// # Errors
    /// See [`LettersError`].
    pub async fn kinds(&self, filter: Filter, time: Option<Duration>) -> Result<Kinds, LettersError> {
        let until = time.and_then(|time| Instant::now().checked_add(time));
        let time = until.map_or_else(Time::any, Time::until);
        self.run(move |pile| kinds::kinds(pile, &filter, time)).await?
    }

    /// Shows one letter, whatever became of it.
    ///
    /// # Errors
    /// See [`LettersError`]; [`LettersError::NotFound`] where there is no record at this place.
    pub async fn show(&self, partition: Partition, offset: Offset) -> Result<Shown, LettersError> {
        self.run(move |pile| show::show(pile, (partition, offset), Time::any())).await?
    }

    /// The same within `time`: where the marks are not all read by then, the letter is shown without its own, and how many
    /// [are left](Shown::marks_left).
    ///
    /// # Errors
    /// As [`show`](Self::show).
    pub async fn show_within(
        &self,
        partition: Partition,
        offset: Offset,
        time: Duration,
    ) -> Result<Shown, LettersError> {
        let now = Instant::now();
        let time = Time::until(now.checked_add(time).unwrap_or(now));
        self.run(move |pile| show::show(pile, (partition, offset), time)).await?
    }

    /// Counts what a re-drive would do, and does nothing. A request that was begun counts as a new one.
    ///
    /// # Errors
    /// See [`LettersError`].
    pub async fn dry_run(&self, request: Redrive) -> Result<Counts, LettersError> {
        self.plan(request).await.map(|plan| plan.counts)
    }

    /// As [`dry_run`](Self::dry_run), and says which topics the records would come from and go to.
    ///
    /// # Errors
    /// See [`LettersError`].
    pub async fn plan(&self, request: Redrive) -> Result<Plan, LettersError> {
        request.check()?;
        let watch = self.watch.clone();
        self.run(move |pile| plan::plan(pile, &request, &watch)).await?
    }

    /// Writes the records of letters again, to the topics that they were read from or to another one, and marks the letters.
    ///
    /// The counts are those of this run, not of earlier ones of the request. Dropped, it stops after the letter at hand, and can be run again.
    ///
    /// # Errors
    /// Why it was interrupted, and what was done.
    pub async fn redrive(&self, request: Redrive) -> Result<Counts, Interrupted> {
        self.work(Work::Redrive(request)).await
    }

    /// Writes the changed record of one letter, whatever became of the letter before and however often it was re-driven, and marks it. The same
    /// change of the same letter is one request: repeated, it writes nothing.
    ///
    /// ```
    /// use daemonry::dead_letters::{DeadLetters, Edit};
    /// use daemonry::record::{Offset, Partition};
    ///
    /// # async fn example(letters: &DeadLetters) -> Result<(), Box<dyn std::error::Error>> {
    /// let repaired = Edit::by("ada").value(Some(br#"{"id":7}"#.to_vec()));
    /// letters.redrive_edited(Partition(0), Offset(17), repaired).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`redrive`](Self::redrive), and where there is no letter at this place.
    pub async fn redrive_edited(
        &self,
        partition: Partition,
        offset: Offset,
        edit: Edit,
    ) -> Result<Counts, Interrupted> {
        let shown = self.show(partition, offset).await;
        let why = shown.map(|shown| match shown.entry.content {
            Content::Letter(_) => None,
            Content::Foreign { why, .. } => Some(LettersError::NotALetter { partition, offset, why }),
        });
        if let Some(error) = why.unwrap_or_else(Some) {
            return Err(Interrupted { counts: Counts::default(), error });
        }
        let filter = Filter::all().at(partition, offset).with_redriven().with_discarded();
        let mut request = Redrive::new("", filter).by(edit.by.clone());
        request.edit = Some(edit);
        request.request = format!("edit-{partition}-{offset}-{}", request.digest());
        self.work(Work::Redrive(request)).await
    }

    /// Gives letters up: marks them with who did so and why. They stay in their topic for as long as that keeps them, and one that was given
    /// up by mistake can still be re-driven: see [`Filter::with_discarded`].
    ///
    /// # Errors
    /// Why it was interrupted, and what was done.
    pub async fn discard(
        &self,
        filter: Filter,
        by: impl Into<String>,
        reason: impl Into<String>,
    ) -> Result<Counts, Interrupted> {
        self.work(Work::Discard { filter, by: by.into(), reason: reason.into() }).await
    }

    async fn work(&self, work: Work) -> Result<Counts, Interrupted> {
        let nothing = |error| Interrupted { counts: Counts::default(), error };
        if let Work::Redrive(request) = &work {
            request.check().map_err(nothing)?;
        }
        let (watch, ear) = (self.watch.clone(), self.ear.clone());
        self.run(move |pile| pass::work(pile, &work, Heard { watch: &watch, ear: &ear })).await.map_err(nothing)?
    }

    /// Does what blocks on a thread for it; stops it when nobody waits any more.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Pile<'_>) -> T + Send + 'static,
    ) -> Result<T, LettersError> {
        let guard = StopOnDrop::default();
        let stop = guard.0.clone();
        let Self { shelf, topic, register, .. } = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            work(&Pile { shelf: &*shelf, register: &register, topic: &topic, stop: &stop })
        })
        .await;
        drop(guard);
        done.map_err(|error| LettersError::Unavailable(format!("the work on the letters has died: {error}")))
    }
}
