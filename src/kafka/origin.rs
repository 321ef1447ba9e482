//! Of which topic a commit is: told beside what the pipeline has it remember.
//!
//! Brokers know a commit by its topic's name alone. One that was on its way while the topic was deleted and made anew lands on the new one, and
//! claims records there that nobody has read; and of a partition without a commit nobody knows whether it was there when the group began.
//!
//! # Format
//! `<topic>.<partitions>`, each of them empty where it isn't known:
//!
//! - `<topic>`: 8 lower-case hex digits, FNV-1a of the 16 bytes of the topic's id, the highest first;
//! - `<partitions>`: how many partitions the topic had when the group began with it, in decimal.

use std::fmt;

use crate::pipeline::metadata::{marked, unmarked};
use crate::record::TopicPartition;

/// The longest that a mark makes metadata longer by.
const RESERVE: usize = "dm3:01234567.0123456789:".len();
/// Where less were left for the pipeline, there are no marks: what finds records that kill the process needs as much.
const SMALLEST_ROOM: usize = 169;

/// See the module.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    topic: Option<u32>,
    partitions: Option<u32>,
}

impl Origin {
    /// Of a topic with this id, that had so many partitions.
    pub(super) fn new(id: Option<u128>, partitions: Option<usize>) -> Self {
        Self { topic: id.map(short), partitions: partitions.and_then(|partitions| u32::try_from(partitions).ok()) }
    }

    /// Whether it is of another topic than the one with this id.
    pub(super) fn is_another(self, id: Option<u128>) -> bool {
        matches!((self.topic, id), (Some(topic), Some(id)) if topic != short(id))
    }

    /// How many partitions there were.
    pub(super) fn partitions(self) -> Option<usize> {
        usize::try_from(self.partitions?).ok()
    }

    /// The metadata that tells it beside this one, unless there is nothing to tell, or no room in so many bytes.
    pub(super) fn beside(self, metadata: &str, limit: usize) -> Option<String> {
        let has_room = room(limit) < limit && metadata.len() + RESERVE <= limit;
        (self != Self::default() && has_room).then(|| marked(&self.to_string(), metadata))
    }

    /// What a commit's metadata tells of it, and the metadata beside it.
    pub(super) fn of(metadata: &str) -> (Self, &str) {
        let (mark, metadata) = unmarked(metadata);
        (mark.and_then(Self::read).unwrap_or_default(), metadata)
    }

    fn read(mark: &str) -> Option<Self> {
        let (topic, partitions) = mark.split_once('.')?;
        let known = |text: &str| !text.is_empty();
        let topic =
            Some(topic).filter(|text| known(text)).map(|text| u32::from_str_radix(text, 16)).transpose().ok()?;
        let partitions = Some(partitions).filter(|text| known(text)).map(str::parse).transpose().ok()?;
        Some(Self { topic, partitions })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(topic) = self.topic {
            write!(f, "{topic:08x}")?;
        }
        f.write_str(".")?;
        self.partitions.map_or(Ok(()), |partitions| write!(f, "{partitions}"))
    }
}

/// How many bytes of metadata are the pipeline's where a commit may have so many.
pub(super) fn room(limit: usize) -> usize {
    limit.checked_sub(RESERVE).filter(|room| *room >= SMALLEST_ROOM).unwrap_or(limit)
}

/// The partitions of a topic that were not there when the group began: from this number on, those without a commit. `commits` is what the
/// group has committed of the topic; where it is nothing, all is as `seen`.
pub(super) fn later_from(commits: &[(TopicPartition, Origin)], seen: usize) -> usize {
    if let Some(told) = commits.iter().filter_map(|(_, origin)| origin.partitions()).min() {
        return told.min(seen);
    }
    // Nobody has told: others wrote it, or an earlier version. They would have committed each that they knew.
    let has = |number: &usize| commits.iter().any(|(place, _)| usize::try_from(place.partition.0) == Ok(*number));
    if commits.is_empty() { seen } else { (0..seen).find(|number| !has(number)).unwrap_or(seen) }
}

fn short(id: u128) -> u32 {
    id.to_be_bytes().iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 4_096;

    fn marked_with(id: Option<u128>, partitions: Option<usize>, metadata: &str) -> String {
        Origin::new(id, partitions).beside(metadata, LIMIT).unwrap_or_else(|| metadata.to_owned())
    }

    #[test]
    fn what_is_told_is_read_again_and_nothing_else_is() {
        for (id, partitions) in [(Some(7), Some(12)), (Some(u128::MAX), None), (None, Some(1)), (None, None)] {
            for metadata in ["", "dm1:6815c86c:b:BgI", "dm2:6815c86c:r::AQk"] {
                let told = marked_with(id, partitions, metadata);
                assert_eq!(Origin::of(&told), (Origin::new(id, partitions), metadata));
                assert!(told.len() <= metadata.len() + RESERVE);
            }
        }
        for metadata in ["", "x", "dm1:6815c86c:b:BgI", "dm3", "dm3:1.2"] {
            assert_eq!(Origin::of(metadata), (Origin::default(), metadata));
        }
        for mark in ["", "x.1", "1.x", "01234567", "123456789.1"] {
            assert_eq!(Origin::of(&format!("dm3:{mark}:dm1:a")), (Origin::default(), "dm1:a"));
        }
    }

    #[test]
    fn another_topic_is_told_by_its_id_where_both_are_known() {
        let origin = Origin::new(Some(7), None);
        assert!(origin.is_another(Some(8)) && !origin.is_another(Some(7)) && !origin.is_another(None));
        assert!(!Origin::default().is_another(Some(8)));
    }

    #[test]
    fn where_there_is_little_room_the_pipeline_has_all_of_it() {
        let origin = Origin::new(Some(7), Some(12));
        assert_eq!((room(LIMIT), room(192), room(193)), (LIMIT - RESERVE, 192, 169));
        assert_eq!(origin.beside("", 192), None);
        assert!(origin.beside("", 193).is_some_and(|metadata| metadata.len() <= 193));
        assert_eq!(origin.beside(&"x".repeat(170), 193), None);
    }

    #[test]
    fn partitions_came_later_than_the_group_by_what_its_commits_tell() {
        let commits = |partitions: &[(i32, Option<usize>)]| {
            let commit = |&(number, told)| (TopicPartition::new("orders", number), Origin::new(None, told));
            partitions.iter().map(commit).collect::<Vec<_>>()
        };
        assert_eq!(later_from(&[], 8), 8, "the group is new");
        // Another member has just begun with its own.
        assert_eq!(later_from(&commits(&[(0, Some(8)), (1, Some(8))]), 8), 8);
        assert_eq!(later_from(&commits(&[(0, Some(8)), (1, Some(12)), (9, None)]), 12), 8);
        assert_eq!(later_from(&commits(&[(0, None), (1, None)]), 4), 2, "of an earlier version");
        assert_eq!(later_from(&commits(&[(0, None), (1, None)]), 2), 2);
    }
}
