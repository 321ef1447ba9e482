//! Who owns a partition, how far it has read, and how it leaves.

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::broker::MemberId;
use super::losses::Gone;
use crate::pipeline::seek::Seek;
use crate::pipeline::source::{Epoch, Revocation};
use crate::record::{NextOffset, Offset};

/// A partition that a member owns.
#[derive(Debug)]
pub(super) struct Ownership {
    pub(super) member: MemberId,
    pub(super) epoch: Epoch,
    /// Where the member reads next.
    pub(super) next: usize,
    /// How far it knows to have read.
    pub(super) passed: Option<NextOffset>,
    /// The member has been told of its assignment.
    pub(super) told: bool,
    /// Where it was asked to go on, of what was committed no word.
    pub(super) start: Option<NextOffset>,
    /// Which of the partition's logs it is that it reads, by how often that was cut before.
    pub(super) log: usize,
    /// Who asked for that, until it is committed.
    pub(super) seek: Option<Seek>,
    /// It is being revoked: resolves when it may go.
    pub(super) leaving: Option<Leaving>,
}

/// A revocation under way.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) given_up: oneshot::Receiver<()>,
    pub(super) deadline: Instant,
    /// The member keeps the partition, and goes on elsewhere.
    pub(super) onward: Option<Onward>,
}

/// Why a partition goes on elsewhere.
#[derive(Debug)]
pub(super) enum Onward {
    /// Somebody asked for it, and for this place.
    Seek(Seek, Offset),
    /// Something is gone of it.
    Loss(Gone),
}

impl Ownership {
    /// Whether records may be delivered from it.
    pub(super) fn is_open(&self) -> bool {
        self.told && self.leaving.is_none()
    }

    /// Begins to leave; the answer is for its member.
    pub(super) fn leave(&mut self, deadline: Instant, onward: Option<Onward>) -> Revocation {
        let (revocation, given_up) = Revocation::new(vec![self.epoch], deadline);
        self.leaving = Some(Leaving { given_up, deadline, onward });
        revocation
    }
}
