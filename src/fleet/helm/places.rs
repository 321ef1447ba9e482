//! Places of the log of orders that belong to no process: what is told there is written over one of the oldest. So the log keeps the latest of all
//! processes, those that have ended too, and never more.
//!
//! The invariant: nobody who tells something waits for it; where it can't be written, this process alone knows it.

use std::collections::BTreeMap;
use std::time::Instant;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::sleep;

use super::{AGAIN, PATIENCE, SEPARATOR, Shared, Trouble};
use crate::record::Record;

/// How many of all processes are kept.
pub(super) const PLACES: u16 = 256;
/// One of so many of the oldest is written over: two processes that tell something at once rarely take the same.
pub(super) const OLDEST: usize = 32;
/// How many wait to be told.
const QUEUE: usize = 256;

/// Something that is told so.
pub(super) trait Told: Clone + Serialize + DeserializeOwned {
    /// What a key has between the program's name and a place.
    const KIND: &'static str;
    /// What it is, for whoever hears that it can't be written.
    const WHAT: &'static str;

    /// When it was, in milliseconds since 1970 UTC.
    fn at(&self) -> u64;

    /// Its name, where it may be told again with more in it.
    fn name(&self) -> Option<&str> {
        None
    }
}

/// See the module.
pub(super) struct Places<T> {
    pub(super) known: Mutex<BTreeMap<u16, T>>,
    to_tell: Sender<(u16, T)>,
    pub(super) trouble: Trouble,
}

/// What is to be told, and where.
pub(super) type ToTell<T> = Receiver<(u16, T)>;

impl<T: Told> Places<T> {
    /// None yet, and what is to be told. `trouble`: what it means that some can't be.
    pub(super) fn new(trouble: &'static str) -> (Self, ToTell<T>) {
        let (to_tell, told) = channel(QUEUE);
        (Self { known: Mutex::default(), to_tell, trouble: Trouble::of(trouble) }, told)
    }

    /// Takes a record of the log, if it is one of these.
    pub(super) fn hear(&self, record: &Record, program: &str) -> bool {
        let key = record.key().and_then(|key| std::str::from_utf8(key).ok()).and_then(|key| key.rsplit_once(SEPARATOR));
        let Some((of, place)) = key else { return false };
        if of.strip_suffix(T::KIND).and_then(|of| of.strip_suffix(SEPARATOR)) != Some(program) {
            return false;
        }
        // What a later version tells may be of another shape, or in more places.
        let place = place.parse().ok().filter(|place| *place < PLACES);
        let told = record.value().and_then(|value| serde_json::from_slice(value).ok());
        if let (Some(place), Some(told)) = (place, told) {
            self.known.lock().insert(place, told);
        }
        true
    }

    /// Gives it a place: its own where it has one, else that of one of the oldest.
    pub(super) fn place(&self, told: &T) -> u16 {
        let mut known = self.known.lock();
        let own = || known.iter().find(|(_, one)| one.name() == told.name()).map(|(place, _)| *place);
        let place = told.name().and_then(|_| own()).unwrap_or_else(|| {
            let mut places: Vec<u16> = (0..PLACES).collect();
            places.sort_by_key(|place| known.get(place).map(T::at));
            places[fastrand::usize(..OLDEST)]
        });
        known.insert(place, told.clone());
        place
    }

    /// It is known here from now on, and told to the others some day.
    pub(super) fn tell(&self, told: T, topic: &crate::record::Topic) {
        let place = self.place(&told);
        if self.to_tell.try_send((place, told)).is_err() {
            self.trouble.note(Err(format!("more than {QUEUE} wait to be written to `{topic}`")));
        }
    }

    /// They, in no order.
    pub(super) fn all(&self) -> Vec<T> {
        self.known.lock().values().cloned().collect()
    }
}

/// Tells what is to be told, each for as long as it takes.
pub(super) async fn tell<T: Told>(shared: &Shared, places: &Places<T>, mut to_tell: ToTell<T>) {
    while let Some((place, told)) = to_tell.recv().await {
        let Ok(value) = serde_json::to_vec(&told) else { continue };
        let key = format!("{}{SEPARATOR}{}{SEPARATOR}{place}", shared.program, T::KIND);
        // In the same place each time: what was written after all is not there twice.
        while let Err(error) = shared.put(T::WHAT, &key, Some(value.clone()), Instant::now() + PATIENCE).await {
            places.trouble.note(Err(error.to_string()));
            sleep(AGAIN).await;
        }
        places.trouble.note(Ok(()));
    }
}
