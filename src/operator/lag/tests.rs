//! What is made of where groups stand.

use super::*;
use crate::kafka::{EmbeddedCluster, GroupState};
use crate::operator::rows::Row as _;
use crate::operator::standing::tests::{place, with_finished};
use crate::operator::standing::{Place, Trouble};

fn looked(phase: GroupPhase, places: Vec<Place>) -> Looked {
    let state = GroupState { phase, is_consumer: false, members: Vec::new(), may_read: None };
    let subject = Subject { group: "shop".to_owned(), daemons: vec!["orders".to_owned()], ..Subject::default() };
    Looked { cluster: None, subject, standing: Ok(Standing { state, places }), at: None }
}

fn lag(max: Option<u64>) -> Lag {
    let mut arguments = vec!["daemonry".to_owned(), "lag".to_owned(), "--brokers=x:1".to_owned()];
    arguments.extend(max.map(|max| format!("--max={max}")));
    let request = <super::super::CommandLine as clap::Parser>::try_parse_from(arguments).expect("it is well formed");
    let super::super::Request::Lag(lag) = request.request else { panic!("other words were written") };
    lag
}

fn unknown() -> Place {
    Place { span: Err(Trouble::NoLeader), ..place(1, Some(7), 0, 10) }
}

#[test]
fn scripts_hear_of_a_lag_that_is_too_large_and_of_one_that_is_not_known() {
    let stands = |places| vec![looked(GroupPhase::Stable, places)];
    let behind = || place(0, Some(7), 0, 10);
    assert_eq!(lag(Some(3)).exit(&stands(vec![behind()])), Exit::Drained);
    assert_eq!(lag(Some(2)).exit(&stands(vec![behind()])), Exit::Found);
    assert_eq!(lag(None).exit(&stands(vec![behind(), unknown()])), Exit::Drained);
    assert_eq!(lag(Some(3)).exit(&stands(vec![behind(), unknown()])), Exit::Failed);
    assert_eq!(lag(Some(2)).exit(&stands(vec![behind(), unknown()])), Exit::Found);
    let misspelt = || vec![looked(GroupPhase::Dead, Vec::new())];
    assert_eq!((lag(None).exit(&misspelt()), lag(Some(2)).exit(&misspelt())), (Exit::Drained, Exit::Failed));
    let silent =
        Looked { standing: Err(AdminError::Unavailable("silence".to_owned())), ..looked(GroupPhase::Dead, vec![]) };
    assert_eq!(lag(None).exit(&[silent]), Exit::Failed);
}

#[test]
fn a_partition_is_shown_with_what_is_finished_of_its_lag() {
    let looked = looked(GroupPhase::Stable, vec![with_finished(place(0, Some(4), 0, 10), Ok(2)), unknown()]);
    let rows = serde_json::to_value(PartitionRow::of(&looked)).expect("it is JSON");
    let of = |row: usize| {
        let row = &rows[row];
        ["committed", "end", "lag", "finished_above", "unfinished"].map(|key| row[key].as_u64())
    };
    assert_eq!(of(0), [Some(4), Some(10), Some(6), Some(2), Some(4)]);
    assert_eq!(of(1), [Some(7), None, None, Some(0), None]);
    assert_eq!(rows[1]["note"], "no broker leads the partition");
    assert_eq!((&rows[0]["state"], &rows[0]["daemons"][0]), (&"stable".into(), &"orders".into()));
}

#[test]
fn sums_tell_how_many_partitions_are_odd() {
    let places = vec![
        with_finished(place(0, Some(4), 0, 10), Ok(2)),
        unknown(),
        place(2, None, 0, 5),
        place(3, Some(1), 2, 5),
        place(4, Some(9), 0, 5),
    ];
    let total = Total::of_group(&looked(GroupPhase::Stable, places.clone()));
    let cells: Vec<String> = GroupRow(total).cells().iter().map(|cell| format!("{cell:?}")).collect();
    let said = cells.join(" ");
    for part in ["\"5\"", "\"14\"", "\"12\"", "\"6\"", "shop (orders)"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(
        said.contains("1 not told, 1 without a commit, 1 with records removed unread, 1 committed behind the end"),
        "{said}"
    );
    let topics = Total::by_topic(&looked(GroupPhase::Stable, places));
    assert_eq!(topics.len(), 1);
}

#[test]
fn a_group_that_nobody_knows_is_shown_as_such() {
    let rows = serde_json::to_value(PartitionRow::of(&looked(GroupPhase::Dead, Vec::new()))).expect("it is JSON");
    assert_eq!(rows[0]["note"], "unknown group: it has neither members nor commits");
    assert_eq!(rows[0]["topic"], serde_json::Value::Null);
}

#[test]
fn what_is_watched_can_not_be_one_array() {
    let lag = Lag { watch: Some(Period(std::time::Duration::from_secs(1))), ..lag(None) };
    let arguments = ["daemonry", "lag", "--brokers=x:1", "--group=g", "--watch", "--output=json"];
    assert_eq!(super::super::run_with(arguments), Exit::Misconfigured);
    assert_eq!(lag.by, By::Partition);
}

#[test]
fn a_group_must_be_named_where_no_file_does() {
    assert_eq!(super::super::run_with(["daemonry", "lag", "--brokers=x:1"]), Exit::Misconfigured);
}

#[test]
fn a_group_without_commits_is_behind_by_all_that_there_is() {
    let cluster = EmbeddedCluster::start(&[("orders", 2)]).expect("a cluster");
    let brokers = cluster.brokers();
    let done = |more: &[&str]| {
        let arguments = ["daemonry", "lag", "--brokers", &brokers, "--group", "shop", "--topic", "orders"];
        super::super::run_with(arguments.iter().chain(more).copied())
    };
    assert_eq!(done(&[]), Exit::Drained);
    for by in ["partition", "topic", "group"] {
        assert_eq!(done(&["--by", by, "--output", "ndjson"]), Exit::Drained);
    }
    // It is not even known.
    assert_eq!(done(&["--max", "5"]), Exit::Failed);
}
