//! What is shown of the lag of a topic, or of a group: the sum over its partitions.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Looked;
use super::row::{UNKNOWN, group, note, phase};
use crate::kafka::GroupPhase;
use crate::operator::moment::Moment;
use crate::operator::rows::{Cell, Column, Row};
use crate::operator::standing::{NO_PARTITION, Place};
use crate::record::{Partition, Topic};

/// The sum over partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Total {
    /// When it was asked, where that is repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    /// Where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    group: String,
    daemons: Vec<String>,
    state: Option<GroupPhase>,
    /// None for a group's.
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    partitions: usize,
    lag: u64,
    finished_above: u64,
    unfinished: u64,
    /// Of the partition with the most.
    largest: u64,
    /// Those that read them.
    members: usize,
    note: Option<String>,
}

impl Total {
    pub(super) fn by_topic(looked: &Looked) -> Vec<Self> {
        let Ok(standing) = &looked.standing else { return vec![Self::of_group(looked)] };
        let topics: BTreeSet<&Topic> = standing.places.iter().map(|place| &place.place.topic).collect();
        if topics.is_empty() {
            return vec![Self::of_group(looked)];
        }
        let of = |topic: &Topic| {
            let places = standing.places.iter().filter(|place| place.place.topic == *topic);
            Self { topic: Some(topic.to_string()), ..Self::of(looked, &places.collect::<Vec<_>>()) }
        };
        topics.into_iter().map(of).collect()
    }

    pub(super) fn of_group(looked: &Looked) -> Self {
        let places = looked.standing.as_ref().map(|standing| standing.places.iter().collect()).unwrap_or_default();
        Self::of(looked, &places)
    }

    fn of(looked: &Looked, places: &Vec<&Place>) -> Self {
        let lags = || places.iter().filter_map(|place| place.lag());
        let finished_above = places.iter().map(|place| place.finished_above()).sum();
        let members: BTreeSet<&str> =
            places.iter().filter_map(|place| place.member.as_ref()).map(|member| member.id.as_str()).collect();
        let lag: u64 = lags().sum();
        Self {
            at: looked.at.map(|at| Moment(at).in_seconds()),
            cluster: looked.cluster.clone(),
            group: looked.subject.group.clone(),
            daemons: looked.subject.daemons.clone(),
            state: looked.standing.as_ref().ok().map(|standing| standing.state.phase),
            topic: None,
            partitions: places.iter().filter(|place| place.place.partition != Partition(NO_PARTITION)).count(),
            lag,
            finished_above,
            unfinished: lag.saturating_sub(finished_above),
            largest: lags().max().unwrap_or(0),
            members: members.len(),
            note: match &looked.standing {
                Err(error) => Some(error.to_string()),
                Ok(_) if looked.is_unknown() => Some(UNKNOWN.to_owned()),
                Ok(_) => notes(places),
            },
        }
    }

    fn cells(&self) -> Vec<Cell> {
        // What isn't known is no zero.
        let is_told = self.state.is_some();
        let number = |number: u64| Cell::of(Some(number).filter(|_| is_told));
        let count = |count: usize| Cell::of(Some(count).filter(|_| is_told));
        vec![
            group(self.cluster.as_deref(), &self.group, &self.daemons),
            Cell::of(self.topic.as_ref()),
            count(self.partitions),
            number(self.lag),
            number(self.finished_above),
            number(self.unfinished),
            number(self.largest),
            phase(self.state),
            count(self.members),
            note(self.note.as_deref()),
        ]
    }
}

/// What is odd, each with the number of partitions that it is odd about.
fn notes(places: &[&Place]) -> Option<String> {
    let count = |is_so: fn(&Place) -> bool| places.iter().filter(|place| is_so(place)).count();
    let said = [
        (count(|place| place.span.is_err()), "not told"),
        (count(|place| place.span.is_ok() && place.committed.is_none()), "without a commit"),
        (count(|place| place.lost() > 0), "with records removed unread"),
        (count(Place::is_beyond), "committed behind the end"),
    ];
    let said: Vec<String> =
        said.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    (!said.is_empty()).then(|| said.join(", "))
}

/// A topic's.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(super) struct TopicRow(pub(super) Total);

impl Row for TopicRow {
    const HEAD: &'static [Column] = &[
        Column::text("GROUP"),
        Column::text("TOPIC"),
        Column::number("PARTITIONS"),
        Column::number("LAG"),
        Column::number("FINISHED"),
        Column::number("UNFINISHED"),
        Column::number("LARGEST"),
        Column::text("STATE"),
        Column::number("MEMBERS"),
        Column::text("NOTE"),
    ];

    fn cells(&self) -> Vec<Cell> {
        self.0.cells()
    }
}

/// A group's.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(super) struct GroupRow(pub(super) Total);

impl Row for GroupRow {
    const HEAD: &'static [Column] = &[
        Column::text("GROUP"),
        Column::number("PARTITIONS"),
        Column::number("LAG"),
        Column::number("FINISHED"),
        Column::number("UNFINISHED"),
        Column::number("LARGEST"),
        Column::text("STATE"),
        Column::number("MEMBERS"),
        Column::text("NOTE"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let mut cells = self.0.cells();
        cells.remove(1);
        cells
    }
}
