//! The latest entries of a kind, where what comes again within a minute is counted in place of being written once more.
//!
//! The invariant: no more than [`NEW`] entries with a key, and one for each that has no more room, begin within a minute.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::AuditEntry;

/// How long what comes again belongs to the first of it.
pub(super) const MINUTE: Duration = Duration::from_secs(60);
/// Different ones that are told apart within a minute.
pub(super) const NEW: usize = 60;

/// What makes two entries the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) who: Option<String>,
    /// None for all that are not told apart.
    pub(super) from: Option<IpAddr>,
    pub(super) what: String,
    pub(super) status: u16,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ring {
    kept: usize,
    entries: VecDeque<Kept>,
    /// Counts that the log has not heard of, of entries that are gone.
    untold: Vec<AuditEntry>,
    /// When the minute began whose new ones are counted, and how many they are.
    minute: Option<(Instant, usize)>,
}

#[derive(Debug)]
struct Kept {
    entry: AuditEntry,
    /// None of one that stands for itself.
    key: Option<Key>,
    since: Instant,
    /// Of the latest that it stands for.
    number: u64,
    /// How many of them the log knows.
    told: u64,
}

impl Ring {
    pub(super) fn of(kept: usize) -> Self {
        Self { kept, entries: VecDeque::new(), untold: Vec::new(), minute: None }
    }

    /// Takes one in; gives the entry that was written for it, unless it was counted with an earlier one.
    pub(super) fn note(
        &mut self,
        entry: AuditEntry,
        key: Option<Key>,
        number: u64,
        now: Instant,
    ) -> Option<AuditEntry> {
        let Some(key) = key else { return Some(self.push(entry, None, number, now)) };
        if self.counts(&entry, &key, number, now) {
            return None;
        }
        if self.has_room(now) {
            return Some(self.push(entry, Some(key), number, now));
        }
        let (entry, key) = (entry.vague(), Key { from: None, what: String::new(), ..key });
        if self.counts(&entry, &key, number, now) {
            return None;
        }
        Some(self.push(entry, Some(key), number, now))
    }

    /// Counts it with an earlier one of this minute, if there is one.
    fn counts(&mut self, entry: &AuditEntry, key: &Key, number: u64, now: Instant) -> bool {
        let recent = self.entries.iter_mut().rev().take_while(|kept| now.duration_since(kept.since) < MINUTE);
        let found = recent.into_iter().find(|kept| kept.key.as_ref() == Some(key));
        if let Some(kept) = found {
            kept.entry.count += 1;
            kept.entry.last = Some(entry.at);
            kept.number = number;
            return true;
        }
        false
    }

    /// Whether one more may begin within this minute.
    fn has_room(&mut self, now: Instant) -> bool {
        let (began, count) = self.minute.filter(|(began, _)| now.duration_since(*began) < MINUTE).unwrap_or((now, 0));
        self.minute = Some((began, count + 1));
        count < NEW
    }

    fn push(&mut self, entry: AuditEntry, key: Option<Key>, number: u64, now: Instant) -> AuditEntry {
        if self.entries.len() == self.kept {
            let gone = self.entries.pop_front().filter(|gone| gone.told < gone.entry.count);
            self.untold.extend(gone.map(|gone| gone.entry));
        }
        self.entries.push_back(Kept { entry: entry.clone(), key, since: now, number, told: 1 });
        entry
    }

    /// Those whose minute is over, and of which the log knows the first alone.
    pub(super) fn take_untold(&mut self, now: Instant) -> Vec<AuditEntry> {
        let mut untold = std::mem::take(&mut self.untold);
        for kept in &mut self.entries {
            if kept.told < kept.entry.count && now.duration_since(kept.since) >= MINUTE {
                kept.told = kept.entry.count;
                untold.push(kept.entry.clone());
            }
        }
        untold
    }

    /// All of them, each with its number.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, &AuditEntry)> {
        self.entries.iter().map(|kept| (kept.number, &kept.entry))
    }
}
