//! Deeds: what was done in the processes of the program, as their audit logs have it, so that whoever is asked knows of all.
//!
//! They stand in the log of orders, each in one of so many places that belong to no process: whoever has something to tell writes it over one
//! of the oldest. So the log keeps the latest of all processes, those that have ended too, and never more. The invariant: nobody who does
//! something waits for it to be told here; where it can't be, it stands in the audit log of its process alone.

use std::collections::BTreeMap;
use std::time::Instant;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::sleep;

use super::{AGAIN, Helm, PATIENCE, SEPARATOR, Shared, Trouble};
use crate::api::{AuditEntry, Instance};
use crate::record::Record;

/// How many of all processes are kept.
const PLACES: u16 = 256;
/// One of so many of the oldest is written over: two processes that tell something at once rarely take the same.
const OLDEST: usize = 32;
/// How many wait to be told.
const QUEUE: usize = 256;
/// What a key has between the program's name and a place.
const KIND: &str = "audit";

/// What somebody did, and in which process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Deed {
    /// The process that was asked.
    pub(crate) instance: Instance,
    #[serde(flatten)]
    pub(crate) entry: AuditEntry,
}

/// See the module.
pub(super) struct Deeds {
    known: Mutex<BTreeMap<u16, Deed>>,
    to_tell: Sender<Deed>,
    trouble: Trouble,
}

impl Deeds {
    /// None yet, and what is to be told.
    pub(super) fn new() -> (Self, Receiver<Deed>) {
        let (to_tell, told) = channel(QUEUE);
        let trouble = Trouble::of("the others do not hear of what is done here");
        (Self { known: Mutex::default(), to_tell, trouble }, told)
    }

    /// Takes a record of the log, if it is one of these.
    pub(super) fn hear(&self, record: &Record, program: &str) -> bool {
        let key = record.key().and_then(|key| std::str::from_utf8(key).ok()).and_then(|key| key.rsplit_once(SEPARATOR));
        let Some((of, place)) = key else { return false };
        if of.strip_suffix(KIND).and_then(|of| of.strip_suffix(SEPARATOR)) != Some(program) {
            return false;
        }
        // What a later version tells may be of another shape, or in more places.
        let place = place.parse().ok().filter(|place| *place < PLACES);
        let deed = record.value().and_then(|value| serde_json::from_slice(value).ok());
        if let (Some(place), Some(deed)) = (place, deed) {
            self.known.lock().insert(place, deed);
        }
        true
    }

    /// Gives it a place, that of one of the oldest.
    fn place(&self, deed: &Deed) -> u16 {
        let mut known = self.known.lock();
        let mut places: Vec<u16> = (0..PLACES).collect();
        places.sort_by_key(|place| known.get(place).map(|deed| deed.entry.at));
        let place = places[fastrand::usize(..OLDEST)];
        known.insert(place, deed.clone());
        place
    }
}

impl Helm {
    /// Tells the others of what was done here.
    pub(in crate::fleet) fn did(&self, deed: Deed) {
        let Deeds { to_tell, trouble, .. } = &self.shared.deeds;
        if to_tell.try_send(deed).is_err() {
            trouble.note(Err(format!("more than {QUEUE} wait to be written to `{}`", self.shared.topic)));
        }
    }

    /// What was done in all processes, in no order, and why some of it may not be known.
    pub(in crate::fleet) fn deeds(&self) -> (Vec<Deed>, Option<String>) {
        let Deeds { known, trouble, .. } = &self.shared.deeds;
        (known.lock().values().cloned().collect(), trouble.known())
    }
}

/// Tells what is to be told, each for as long as it takes.
pub(super) async fn tell(shared: &Shared, mut to_tell: Receiver<Deed>) {
    while let Some(deed) = to_tell.recv().await {
        let Ok(value) = serde_json::to_vec(&deed) else { continue };
        let place = shared.deeds.place(&deed);
        let key = format!("{}{SEPARATOR}{KIND}{SEPARATOR}{place}", shared.program);
        // In the same place each time: what was written after all is not there twice.
        while let Err(error) = shared.put("what was done", &key, Some(value.clone()), Instant::now() + PATIENCE).await {
            shared.deeds.trouble.note(Err(error.to_string()));
            sleep(AGAIN).await;
        }
        shared.deeds.trouble.note(Ok(()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letters::samples::record_at;
    use crate::record::OwnedRecord;

    fn deed(at: u64) -> Deed {
        Deed { instance: Instance::this("shop", None), entry: AuditEntry { at, ..AuditEntry::sample("paused all") } }
    }

    fn written(key: &str, deed: &Deed) -> Record {
        record_at(0, 0, OwnedRecord::new(serde_json::to_vec(deed).expect("JSON")).with_key(key))
    }

    #[test]
    fn the_latest_are_kept_however_many_there_are() {
        let (deeds, _told) = Deeds::new();
        for at in 0..2_000 {
            deeds.place(&deed(at));
        }
        let known = deeds.known.lock();
        assert_eq!(known.len(), usize::from(PLACES));
        let latest = 2_000 - (u64::from(PLACES) - OLDEST as u64);
        let kept = known.values().filter(|deed| deed.entry.at >= latest).count();
        assert_eq!(kept, usize::from(PLACES) - OLDEST);
    }

    #[test]
    fn another_programs_are_none_of_ours_and_orders_are_none_at_all() {
        let (deeds, _told) = Deeds::new();
        for key in ["billing/audit/1", "shop/1", "shop/19dc5a1f0b3-6d1c0f62", "audit/1", "shop"] {
            assert!(!deeds.hear(&written(key, &deed(1)), "shop"), "{key}");
        }
        for (key, is_kept) in [("shop/audit/7", true), ("shop/audit/256", false), ("shop/audit/x", false)] {
            deeds.known.lock().clear();
            assert!(deeds.hear(&written(key, &deed(1)), "shop"), "{key}");
            assert_eq!(deeds.known.lock().len(), usize::from(is_kept), "{key}");
        }
        let later = record_at(0, 0, OwnedRecord::new("{\"version\":9}").with_key("shop/audit/7"));
        assert!(deeds.hear(&later, "shop"), "what nobody understands is passed over");
    }
}
