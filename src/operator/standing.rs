//! Where a group stands: what it has committed of each partition, what there is to read, and who reads it. Asked from outside.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::Target;
use super::failure::Failure;
use crate::kafka::{AdminError, Found, GroupCommit, GroupMember, GroupState, KafkaAdmin, OffsetAt, TopicState};
use crate::record::{Offset, Topic, TopicPartition};

/// A group that is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) group: String,
    /// The file's daemons that are its members.
    pub(super) daemons: Vec<String>,
    /// What they read by name, as far as that is known.
    pub(super) topics: BTreeSet<Topic>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) state: GroupState,
    /// In order.
    pub(super) places: Vec<Place>,
}

/// A group in one partition.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) place: TopicPartition,
    pub(super) committed: Option<GroupCommit>,
    pub(super) span: Result<Span, Trouble>,
    /// Who reads it.
    pub(super) member: Option<GroupMember>,
}

/// The records that there are: from the first one up to, not including, the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: Offset,
    pub(super) end: Offset,
}

/// Why it isn't known what there is in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    NoTopic,
    NoPartition,
    NoLeader,
    Unsaid(String),
}

impl Trouble {
    pub(super) fn say(&self) -> String {
        match self {
            Self::NoTopic => "there is no such topic, or this user may not see it".to_owned(),
            Self::NoPartition => "the topic has no such partition any more".to_owned(),
            Self::NoLeader => "no broker leads the partition".to_owned(),
            Self::Unsaid(error) => format!("its leader does not say what there is: {error}"),
        }
    }
}

impl Place {
    /// How many records there are that the commit doesn't cover; without a commit all. `None` where that isn't known.
    pub(super) fn lag(&self) -> Option<u64> {
        let Span { first, end } = *self.span.as_ref().ok()?;
        let next = self.committed.as_ref().map_or(first, |commit| commit.next.offset().max(first));
        Some(between(next, end))
    }

    /// How many of them are remembered as finished.
    pub(super) fn finished_above(&self) -> u64 {
        let remembered = self.committed.as_ref().and_then(|commit| commit.finished_above.ok()).unwrap_or(0);
        self.lag().map_or(remembered, |lag| remembered.min(lag))
    }

    /// How many records were removed before they were read.
    pub(super) fn lost(&self) -> u64 {
        match (&self.committed, &self.span) {
            (Some(commit), Ok(span)) => between(commit.next.offset(), span.first),
            _ => 0,
        }
    }

    /// Whether the commit is behind the end: the topic was made anew, or has lost records.
    pub(super) fn is_beyond(&self) -> bool {
        matches!((&self.committed, &self.span), (Some(commit), Ok(span)) if commit.next.offset() > span.end)
    }

    /// What there is to know beside the numbers.
    pub(super) fn note(&self) -> Option<String> {
        if let Err(trouble) = &self.span {
            return Some(trouble.say());
        }
        let Some(commit) = &self.committed else { return Some("nothing committed".to_owned()) };
        if self.is_beyond() {
            return Some("committed behind the end: the topic was made anew, or has lost records".to_owned());
        }
        match self.lost() {
            0 => commit.finished_above.as_ref().err().map(ToString::to_string),
            lost => Some(format!("up to {lost} records were removed unread")),
        }
    }
}

/// How many offsets lie between the two; none where they are the other way round.
pub(super) fn between(from: Offset, to: Offset) -> u64 {
    u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0)
}

/// A member as people know it: by the id that it was given, and where it runs.
pub(super) fn named(member: &GroupMember) -> String {
    let name = member.instance.as_deref().unwrap_or(&member.client);
    format!("{name}@{}", member.host.trim_start_matches('/'))
}

/// The groups of a cluster's daemons.
pub(super) fn subjects(target: &Target) -> Vec<Subject> {
    let mut subjects: BTreeMap<&str, Subject> = BTreeMap::new();
    for (daemon, consumer) in &target.consumers {
        let group = consumer.kafka.group.as_str();
        let subject =
            subjects.entry(group).or_insert_with(|| Subject { group: group.to_owned(), ..Subject::default() });
        subject.daemons.push(daemon.clone());
        subject.topics.extend(consumer.topics.iter().flatten().map(|read| read.topic.clone()));
    }
    subjects.into_values().collect()
}

/// The groups that are asked for, each with its cluster; where none is, those of the daemons.
pub(super) fn wanted(targets: Vec<Target>, groups: &[String]) -> Result<Vec<(Target, Vec<Subject>)>, Failure> {
    let mut wanted: Vec<_> = targets.into_iter().map(|target| (subjects(&target), target)).collect();
    if groups.is_empty() {
        if wanted.iter().all(|(subjects, _)| subjects.is_empty()) {
            return Err(Failure::usage("no daemon is known: say which group with `--group`"));
        }
    } else {
        let known = wanted.iter().flat_map(|(subjects, _)| subjects.iter().map(|subject| subject.group.clone()));
        let known: BTreeSet<String> = known.collect();
        for group in groups.iter().filter(|group| !known.contains(*group)) {
            let [(subjects, _)] = wanted.as_mut_slice() else {
                let say = format!("the file has no daemon of group `{group}`: say which cluster with `--cluster`");
                return Err(Failure::usage(say));
            };
            subjects.push(Subject { group: group.clone(), ..Subject::default() });
        }
        wanted.iter_mut().for_each(|(subjects, _)| subjects.retain(|subject| groups.contains(&subject.group)));
    }
    wanted.retain(|(subjects, _)| !subjects.is_empty());
    Ok(wanted.into_iter().map(|(subjects, target)| (target, subjects)).collect())
}

/// Which topics are asked about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Only<'t> {
    /// All that the group reads.
    Read,
    /// Those of these that it reads.
    ReadOf(&'t [Topic]),
    /// These, whether or not it reads them.
    Named(&'t [Topic]),
}

/// Asks where a group stands in what it has committed, what is assigned to it and what it is known to read. `topics` are the cluster's.
pub(super) async fn ask(
    admin: &KafkaAdmin,
    subject: &Subject,
    only: Only<'_>,
    topics: &[TopicState],
) -> Result<Standing, AdminError> {
    let (state, mut commits) = (admin.group(&subject.group).await?, admin.commits(&subject.group).await?);
    let mut members: BTreeMap<TopicPartition, GroupMember> = BTreeMap::new();
    for member in &state.members {
        members.extend(member.partitions.iter().map(|place| (place.clone(), member.clone())));
    }
    let topics: BTreeMap<&Topic, &TopicState> = topics.iter().map(|state| (&state.topic, state)).collect();
    let read = commits.keys().chain(members.keys()).map(|place| place.topic.clone());
    let read = subject.topics.iter().cloned().chain(read);
    let named: BTreeSet<Topic> = match only {
        Only::Read => read.collect(),
        Only::ReadOf(these) => read.filter(|topic| these.contains(topic)).collect(),
        Only::Named(these) => these.iter().cloned().collect(),
    };

    let mut spans: BTreeMap<TopicPartition, Result<(), Trouble>> = BTreeMap::new();
    for topic in named {
        let committed = commits.keys().filter(|place| place.topic == topic).cloned();
        let Some(there) = topics.get(&topic) else {
            spans.extend(committed.map(|place| (place, Err(Trouble::NoTopic))));
            // Without a partition it would be passed over in silence.
            if !spans.keys().any(|place| place.topic == topic) {
                spans.insert(TopicPartition::new(topic.clone(), NO_PARTITION), Err(Trouble::NoTopic));
            }
            continue;
        };
        spans.extend(committed.map(|place| (place, Err(Trouble::NoPartition))));
        spans.extend(there.partitions.iter().map(|partition| {
            let place = TopicPartition { topic: topic.clone(), partition: partition.partition };
            (place, if partition.has_leader { Ok(()) } else { Err(Trouble::NoLeader) })
        }));
    }
    let led: Vec<TopicPartition> =
        spans.iter().filter(|(_, span)| span.is_ok()).map(|(place, _)| place.clone()).collect();
    // The ends last: what is written meanwhile counts as not read.
    let firsts = admin.offsets(&led, OffsetAt::First).await?;
    let ends = admin.offsets(&led, OffsetAt::End).await?;
    let places = spans.into_iter().map(|(place, span)| {
        let span = span.and_then(|()| {
            let (first, end) = (said(firsts.get(&place))?, said(ends.get(&place))?);
            Ok(Span { first, end: end.max(first) })
        });
        Place { committed: commits.remove(&place), member: members.remove(&place), span, place }
    });
    Ok(Standing { state, places: places.collect() })
}

/// Stands for the partition of a topic that has none.
pub(super) const NO_PARTITION: i32 = -1;

fn said(found: Option<&Found>) -> Result<Offset, Trouble> {
    match found {
        Some(Ok(Some(offset))) => Ok(*offset),
        Some(Err(error)) => Err(Trouble::Unsaid(error.clone())),
        Some(Ok(None)) | None => Err(Trouble::Unsaid("no answer about it".to_owned())),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pipeline::metadata::MetadataWarning;
    use crate::record::NextOffset;

    /// A place with these records, read up to this one.
    pub(in crate::operator) fn place(partition: i32, committed: Option<i64>, first: i64, end: i64) -> Place {
        Place {
            place: TopicPartition::new("orders", partition),
            committed: committed.map(|next| GroupCommit { next: NextOffset::at(next), finished_above: Ok(0) }),
            span: Ok(Span { first: Offset(first), end: Offset(end) }),
            member: None,
        }
    }

    /// The same with so many records remembered as finished.
    pub(in crate::operator) fn with_finished(mut place: Place, finished: Result<u64, MetadataWarning>) -> Place {
        if let Some(commit) = &mut place.committed {
            commit.finished_above = finished;
        }
        place
    }

    #[test]
    fn lag_is_what_there_is_and_is_not_covered() {
        let lag = |committed, first, end| place(0, committed, first, end).lag();
        assert_eq!(lag(Some(7), 0, 10), Some(3));
        assert_eq!(lag(Some(10), 0, 10), Some(0));
        assert_eq!(lag(None, 4, 10), Some(6), "nothing of it is read");
        assert_eq!(lag(Some(2), 4, 10), Some(6), "what was removed can't be read any more");
        assert_eq!(lag(Some(12), 0, 10), Some(0));
        let unknown = Place { span: Err(Trouble::NoLeader), ..place(0, Some(7), 0, 10) };
        assert_eq!(unknown.lag(), None);
    }

    #[test]
    fn finished_records_are_never_more_than_there_are() {
        assert_eq!(with_finished(place(0, Some(7), 0, 10), Ok(2)).finished_above(), 2);
        assert_eq!(with_finished(place(0, Some(7), 0, 8), Ok(2)).finished_above(), 1);
        assert_eq!(with_finished(place(0, Some(7), 0, 10), Err(MetadataWarning::Foreign)).finished_above(), 0);
    }

    #[test]
    fn what_is_odd_about_a_place_is_told() {
        let note = |place: Place| place.note().unwrap_or_default();
        assert_eq!(note(place(0, Some(7), 0, 10)), "");
        assert_eq!(note(place(0, None, 0, 10)), "nothing committed");
        assert_eq!(note(place(0, Some(2), 5, 10)), "up to 3 records were removed unread");
        assert!(note(place(0, Some(12), 0, 10)).starts_with("committed behind the end"));
        let foreign = with_finished(place(0, Some(7), 0, 10), Err(MetadataWarning::Foreign));
        assert!(note(foreign).contains("another program"));
        let gone = Place { span: Err(Trouble::NoTopic), ..place(0, Some(7), 0, 10) };
        assert!(note(gone).starts_with("there is no such topic"));
    }
}
