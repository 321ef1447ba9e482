//! The audit log: who has changed what, who was turned away, and who has seen what stands in records. The latest of what was done in the other
//! processes of a fleet is shown with it.
//!
//! Everything that is no mere question is in it, what was refused too: the gate writes it, so that no route can forget to. It goes to the
//! process's log, and the latest of it is kept to be asked for. The invariants: what was done is pushed out by nothing but what was done
//! later; what may have been done counts as done, and is said to be open; and of what can be had without a right a minute leaves a bounded number of lines, whoever asks for it, and however often.

mod entry;
mod ring;
mod shown;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use axum::response::Response;
use parking_lot::Mutex;

use super::access::Identity;
use crate::admin::household;
use crate::record::Timestamp;
pub(crate) use entry::AuditEntry;
use entry::shortened;
use ring::{Key, Ring};
pub(crate) use shown::AuditShown;

/// Entries that are kept of what was done …
const DONE: usize = 1_000;
/// … of what was refused …
const REFUSED: usize = 500;
/// … of who signed in and out …
const SIGNED: usize = 200;
/// … and of what was seen.
const SEEN: usize = 500;
/// For so long a page tells whoever did something that it is done.
const JUST: Duration = Duration::from_secs(300);
/// How soon it is told how often something came again, once its minute is over.
const SWEEP: Duration = Duration::from_secs(5);

/// What a route says of what it did, or did not and why; goes with its answer.
#[derive(Clone, Debug)]
pub(super) struct Detail(pub(super) String);

/// That it may have been done, or be done yet, whatever the status says; goes with an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open;

/// A request, as far as it matters here.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) from: SocketAddr,
    pub(super) method: Method,
    pub(super) path: String,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Audit(Mutex<Rings>);

#[derive(Debug)]
struct Rings {
    done: Ring,
    refused: Ring,
    signed: Ring,
    seen: Ring,
    /// Of the latest entry.
    number: u64,
}

impl Default for Audit {
    fn default() -> Self {
        Self(Mutex::new(Rings {
            done: Ring::of(DONE),
            refused: Ring::of(REFUSED),
            signed: Ring::of(SIGNED),
            seen: Ring::of(SEEN),
            number: 0,
        }))
    }
}

impl Audit {
    /// Writes down how a request was answered that was to change something, or was not allowed. What was done is the others' to know, too.
    #[must_use]
    pub(super) fn note(&self, who: &Identity, request: &Request, response: &Response) -> Option<AuditEntry> {
        let detail = response.extensions().get::<Detail>().map(|detail| detail.0.clone());
        let status = response.status();
        let is_open = response.extensions().get::<Open>().is_some();
        let entry = AuditEntry { is_open, ..entry(Some(who), request, detail, status) };
        let event = match request.method {
            Method::GET | Method::HEAD | Method::OPTIONS => "asked for what it may not have",
            _ if is_open => "asked to change something, which may be done yet",
            _ => "asked to change something",
        };
        if !is_open && status.is_client_error() || status.is_server_error() {
            let what = format!("{} {} {}", entry.method, entry.path, entry.detail.as_deref().unwrap_or_default());
            let key = Key::of(&entry, request.from.ip(), what);
            self.write(event, &entry, Some(key), |rings| &mut rings.refused);
            return None;
        }
        self.write(event, &entry, None, |rings| &mut rings.done);
        Some(entry)
    }

    /// Work that somebody has begun has ended.
    pub(super) fn ended(&self, entry: &AuditEntry) {
        self.write("work has ended", entry, None, |rings| &mut rings.done);
    }

    /// Somebody has shown their token to a browser's page, or has it forgotten: `what` says which.
    pub(super) fn signed(&self, what: &'static str, who: &Identity, request: &Request) {
        let entry = entry(Some(who), request, Some(what.to_owned()), StatusCode::OK);
        let key = Key::of(&entry, request.from.ip(), what.to_owned());
        // Whoever may do nothing else may do that as often as they like.
        self.write("signed in or out", &entry, Some(key), |rings| &mut rings.signed);
    }

    /// Somebody was turned away before it was known who it is.
    pub(super) fn turned_away(&self, request: &Request, status: StatusCode, why: String) {
        let entry = entry(None, request, Some(why), status);
        // Whatever else they say of themselves they choose as they like.
        let key = Key::of(&entry, request.from.ip(), String::new());
        self.write("turned somebody away", &entry, Some(key), |rings| &mut rings.refused);
    }

    /// Somebody was shown what stands in records.
    pub(super) fn saw(&self, who: &Identity, request: &Request) {
        let entry = entry(Some(who), request, Some("saw records".to_owned()), StatusCode::OK);
        let key = Key::of(&entry, request.from.ip(), entry.path.clone());
        // Those who may are few, and each of these counts: it is the copy in memory alone that has to be bounded.
        entry.tell("showed what stands in records");
        let mut rings = self.0.lock();
        rings.number += 1;
        let number = rings.number;
        rings.seen.note(entry, Some(key), number, Instant::now());
        rings.seen.take_untold(Instant::now()).clear();
    }

    fn write(
        &self,
        event: &'static str,
        entry: &AuditEntry,
        key: Option<Key>,
        ring: impl FnOnce(&mut Rings) -> &mut Ring,
    ) {
        let (now, mut rings) = (Instant::now(), self.0.lock());
        rings.number += 1;
        let number = rings.number;
        let ring = ring(&mut rings);
        let written = ring.note(entry.clone(), key, number, now);
        let untold = ring.take_untold(now);
        drop(rings);
        untold.iter().for_each(AuditEntry::tell_again);
        if let Some(written) = written {
            written.tell(event);
        }
    }

    /// Tells the log how often what came more than once has come, once its minute is over. Goes on for as long as it is polled.
    pub(super) async fn follow(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.sweep(Instant::now());
        }
    }

    fn sweep(&self, now: Instant) {
        let mut rings = self.0.lock();
        let untold: Vec<_> = [rings.refused.take_untold(now), rings.signed.take_untold(now)].concat();
        drop(rings);
        untold.iter().for_each(AuditEntry::tell_again);
    }

    /// Whether this one has done that a moment ago, for whatever reason.
    pub(super) fn has_just(&self, who: &Identity, done: &str) -> bool {
        let since = (Timestamp::now() - JUST).as_millis();
        let is_it = |entry: &AuditEntry| {
            let is_theirs = entry.at >= since && entry.who.as_deref() == Some(&*who.name);
            let detail = entry.detail.as_deref().and_then(|detail| detail.strip_prefix(done));
            is_theirs && detail.is_some_and(|reason| reason.starts_with(": "))
        };
        !done.is_empty() && self.0.lock().done.entries().any(|(_, entry)| is_it(entry))
    }

    /// The entries, the latest first.
    pub(super) fn entries(&self) -> Vec<AuditEntry> {
        let rings = self.0.lock();
        let all = [&rings.done, &rings.refused, &rings.signed, &rings.seen];
        let mut all: Vec<_> = all.into_iter().flat_map(Ring::entries).collect();
        all.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        all.into_iter().map(|(_, entry)| entry.clone()).collect()
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        // What is counted is not lost with the process.
        self.sweep(Instant::now() + ring::MINUTE);
    }
}

fn entry(who: Option<&Identity>, request: &Request, detail: Option<String>, status: StatusCode) -> AuditEntry {
    AuditEntry {
        at: Timestamp::now().as_millis(),
        last: None,
        count: 1,
        who: who.map(|who| who.name.to_string()),
        role: who.map(|who| who.role),
        from: told(request.from),
        method: shortened(request.method.as_str()),
        path: shortened(&request.path),
        detail: detail.map(|detail| shortened(&detail)),
        status: status.as_u16(),
        is_open: false,
    }
}

/// Where somebody asks from. Of one who asks through a proxy no port is known.
fn told(from: SocketAddr) -> String {
    if from.port() == 0 { from.ip().to_string() } else { from.to_string() }
}

impl Key {
    /// What makes another one the same as this, within a minute.
    fn of(entry: &AuditEntry, from: IpAddr, what: String) -> Self {
        Self { who: entry.who.clone(), from: Some(household(from)), what, status: entry.status }
    }
}

#[cfg(test)]
mod tests;
