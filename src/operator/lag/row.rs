//! What is shown of a partition's lag.

use serde::Serialize;

use super::Looked;
use crate::kafka::GroupPhase;
use crate::operator::moment::Moment;
use crate::operator::rows::{Cell, Column, Row, Tone};
use crate::operator::standing::{NO_PARTITION, Place, named};
use crate::record::Partition;

pub(super) const UNKNOWN: &str = "unknown group: it has neither members nor commits";

/// A partition of a group.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct PartitionRow {
    /// When it was asked, where that is repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    /// Where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    group: String,
    daemons: Vec<String>,
    state: Option<GroupPhase>,
    topic: Option<String>,
    partition: Option<i32>,
    committed: Option<i64>,
    end: Option<i64>,
    lag: Option<u64>,
    /// Of the lag, remembered in the commit.
    finished_above: u64,
    unfinished: Option<u64>,
    member: Option<MemberRow>,
    note: Option<String>,
}

/// Who reads a partition.
#[derive(Clone, Debug, Serialize)]
struct MemberRow {
    id: String,
    client: String,
    instance: Option<String>,
    host: String,
    #[serde(skip)]
    named: String,
}

impl PartitionRow {
    /// Those of a group; one without a partition where there is none, to say why.
    pub(super) fn of(looked: &Looked) -> Vec<Self> {
        let head = Self {
            at: looked.at.map(|at| Moment(at).in_seconds()),
            cluster: looked.cluster.clone(),
            group: looked.subject.group.clone(),
            daemons: looked.subject.daemons.clone(),
            ..Self::default()
        };
        let standing = match &looked.standing {
            Ok(standing) => standing,
            Err(error) => return vec![Self { note: Some(error.to_string()), ..head }],
        };
        let head = Self { state: Some(standing.state.phase), ..head };
        if standing.places.is_empty() {
            let note = if looked.is_unknown() { UNKNOWN } else { "nothing committed" };
            return vec![Self { note: Some(note.to_owned()), ..head }];
        }
        standing.places.iter().map(|place| head.clone().with(place)).collect()
    }

    fn with(self, place: &Place) -> Self {
        let lag = place.lag();
        let Partition(partition) = place.place.partition;
        Self {
            topic: Some(place.place.topic.to_string()),
            partition: Some(partition).filter(|number| *number != NO_PARTITION),
            committed: place.committed.as_ref().map(|commit| commit.next.offset().0),
            end: place.span.as_ref().ok().map(|span| span.end.0),
            lag,
            finished_above: place.finished_above(),
            unfinished: lag.map(|lag| lag - place.finished_above()),
            member: place.member.as_ref().map(|member| MemberRow {
                id: member.id.clone(),
                client: member.client.clone(),
                instance: member.instance.clone(),
                host: member.host.trim_start_matches('/').to_owned(),
                named: named(member),
            }),
            note: place.note(),
            ..self
        }
    }
}

impl Row for PartitionRow {
    const HEAD: &'static [Column] = &[
        Column::text("GROUP"),
        Column::text("TOPIC"),
        Column::number("PARTITION"),
        Column::number("COMMITTED"),
        Column::number("END"),
        Column::number("LAG"),
        Column::number("FINISHED"),
        Column::number("UNFINISHED"),
        Column::text("STATE"),
        Column::text("MEMBER"),
        Column::text("NOTE"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            group(self.cluster.as_deref(), &self.group, &self.daemons),
            Cell::of(self.topic.as_ref()),
            Cell::of(self.partition),
            Cell::of(self.committed),
            Cell::of(self.end),
            Cell::of(self.lag),
            self.finished_above.into(),
            Cell::of(self.unfinished),
            phase(self.state),
            Cell::of(self.member.as_ref().map(|member| &member.named)),
            note(self.note.as_deref()),
        ]
    }
}

pub(super) fn group(cluster: Option<&str>, group: &str, daemons: &[String]) -> Cell {
    let cluster = cluster.map(|cluster| format!("{cluster}: ")).unwrap_or_default();
    // A daemon may be called as its group.
    let daemons = match daemons {
        [] => String::new(),
        [one] if one == group => String::new(),
        several => format!(" ({})", several.join(", ")),
    };
    Cell::new(format!("{cluster}{group}{daemons}"))
}

pub(super) fn phase(phase: Option<GroupPhase>) -> Cell {
    let (text, tone) = match phase {
        Some(GroupPhase::Stable) => ("stable", Tone::Good),
        Some(GroupPhase::Rebalancing) => ("rebalancing", Tone::Warning),
        Some(GroupPhase::Empty) => ("empty", Tone::Warning),
        Some(GroupPhase::Dead) => ("none", Tone::Warning),
        Some(GroupPhase::Unknown) => ("unknown", Tone::Faint),
        None => ("-", Tone::Faint),
    };
    Cell::new(text).tone(tone)
}

pub(super) fn note(note: Option<&str>) -> Cell {
    Cell::new(note.unwrap_or_default()).tone(Tone::Warning)
}
