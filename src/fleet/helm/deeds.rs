//! Deeds: what was done in the processes of the program, as their audit logs have it, so that whoever is asked knows of all.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Helm;
use super::places::{Places, Told};
use crate::api::{AuditEntry, Instance};

/// What somebody did, and in which process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Deed {
    /// The process that was asked.
    pub(crate) instance: Instance,
    #[serde(flatten)]
    pub(crate) entry: AuditEntry,
}

/// They, in the log's places.
pub(super) type Deeds = Places<Deed>;

/// What it means that some can't be told.
pub(super) const UNTOLD: &str = "the others do not hear of what is done here";

impl Told for Deed {
    const KIND: &'static str = "audit";
    const WHAT: &'static str = "what was done";

    fn at(&self) -> u64 {
        self.entry.at
    }
}

impl Helm {
    /// Tells the others of what was done here.
    pub(in crate::fleet) fn did(&self, deed: Deed) {
        self.shared.deeds.tell(deed, &self.shared.topic);
    }

    /// What was done in all processes, in no order, and why some of it may not be known.
    pub(in crate::fleet) fn deeds(&self) -> (Vec<Deed>, Option<String>) {
        (self.shared.deeds.all(), self.shared.deeds.trouble.known())
    }
}

#[cfg(test)]
mod tests {
    use super::super::places::{OLDEST, PLACES};
    use super::*;
    use crate::dead_letters::samples::record_at;
    use crate::record::{OwnedRecord, Record};

    fn deed(at: u64) -> Deed {
        Deed { instance: Instance::this("shop", None), entry: AuditEntry { at, ..AuditEntry::sample("paused all") } }
    }

    fn written(key: &str, deed: &Deed) -> Record {
        record_at(0, 0, OwnedRecord::new(serde_json::to_vec(deed).expect("JSON")).with_key(key))
    }

    #[test]
    fn the_latest_are_kept_however_many_there_are() {
        let (deeds, _told) = Deeds::new(UNTOLD);
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
        let (deeds, _told) = Deeds::new(UNTOLD);
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
