//! What is read of bytes that anybody may have written, and what must hold of it whatever they are. Each function is a fuzz target;
//! `tests/corpus.rs` runs all that was found so far through them.

use std::num::NonZero;
use std::sync::Arc;

use daemonry::app::App;
use daemonry::dead_letters::DeadLetter;
use daemonry::handler::{Router, on};
use daemonry::pipeline::metadata::{LaneTag, MetadataWarning, Run, decode, finished_above};
use daemonry::pipeline::source::Progress;
use daemonry::pipeline::tracker::OffsetTracker;
use daemonry::record::{NextOffset, Offset, OwnedRecord, OwnedRecords, Timestamp, TopicPartition};
use daemonry::trace::TraceContext;

/// The bytes of metadata that a commit may take.
const LIMIT: usize = 4_096;

/// The metadata of a commit: eight bytes of offset, then the text.
pub(crate) fn metadata(data: &[u8]) {
    let Some((offset, text)) = data.split_first_chunk::<8>() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let (low, tag) = (Offset(i64::from_le_bytes(*offset)), LaneTag::from("key"));
    let decoded = decode(text, tag, low);
    let resumed = OffsetTracker::resume(Some(NextOffset::at(low.0)), text, &tag, LIMIT);
    match &decoded {
        Err(warning) => assert_eq!(resumed.warning, Some(*warning), "both read the same"),
        // The runs count even where it can't be read how the partition was used.
        Ok(_) => assert!(resumed.warning.is_none() || text.contains("dm2:"), "{:?}", resumed.warning),
    }
    let Ok(runs) = decoded else { return };
    let mut end = low;
    for run in &runs {
        assert!(
            run.start > end && run.end > run.start,
            "runs are in order, and touch neither each other nor the offset: {runs:?}"
        );
        end = run.end;
    }
    let finished: u64 = runs.iter().map(|run| u64::try_from(run.end.0 - run.start.0).expect("in order")).sum();
    assert_eq!(finished_above(text, low), Ok::<_, MetadataWarning>(finished));
    let mut tracker = resumed.tracker;
    // Nothing has happened since. Somebody else may have written it in another way than we do.
    if let Some(commit) = tracker.commit() {
        assert_eq!((commit.next, decode(&commit.metadata, tag, low)), (NextOffset::at(low.0), Ok(runs.clone())));
    }
    whoever_comes_next(text, low, tag, &runs);
    // The one at the offset is due; those that are remembered are not.
    for offset in [low].into_iter().chain(runs.iter().map(|run| run.start)) {
        let is_due = tracker.receive(&record(offset, OwnedRecord::default())).is_some();
        assert_eq!(is_due, offset == low, "{offset:?} of {runs:?} above {low:?}");
    }
}

/// The metadata of a commit that another process finds: what it tells itself stays within the limit and forgets no run.
fn whoever_comes_next(text: &str, low: Offset, tag: LaneTag, runs: &[Run]) {
    let three = NonZero::<u32>::MIN.saturating_add(2);
    let mut tracker = OffsetTracker::resume(Some(NextOffset::at(low.0)), text, &tag, LIMIT).tracker;
    let now = Timestamp::from_millis(1_800_000_000_000).expect("after 1970");
    let handover = tracker.take_over(7, three, now);
    for (offset, ends) in handover.condemned {
        assert!(offset >= low && ends >= three.get(), "{offset:?} is condemned for {ends} ends");
        assert_eq!(tracker.condemns(offset), Some(ends));
    }
    assert_eq!(tracker.is_on_probation(), handover.probation);
    tracker.announce(Some(low));
    let Some(commit) = tracker.commit() else { return };
    assert!(commit.metadata.len() <= LIMIT, "{} bytes", commit.metadata.len());
    assert_eq!((commit.next, decode(&commit.metadata, tag, low).as_deref()), (NextOffset::at(low.0), Ok(runs)));
}

/// The trace context of a record's header.
pub(crate) fn headers(data: &[u8]) {
    let record = record(Offset(0), OwnedRecord::default().with_header("traceparent", data));
    let context = TraceContext::of(&record);
    assert_eq!(context, TraceContext::parse(data));
    if let Some(context) = context {
        assert_eq!(TraceContext::parse(context.to_string().as_bytes()), Some(context), "what goes on is what came");
    }
}

/// A record of a dead-letter topic: headers, each with the lengths of its name and its value in a byte each (255: no value), and then
/// the value.
pub(crate) fn letter(mut data: &[u8]) {
    let mut headers = Vec::new();
    while let Some((&[name, value], rest)) = data.split_first_chunk::<2>() {
        let Some((name, rest)) = rest.split_at_checked(usize::from(name)) else { break };
        let (value, rest) = match value {
            255 => (None, rest),
            length => match rest.split_at_checked(usize::from(length)) {
                Some((value, rest)) => (Some(value.to_vec()), rest),
                None => break,
            },
        };
        headers.push((name.to_vec(), value));
        data = rest;
    }
    let record = OwnedRecord { headers, ..OwnedRecord::new(data) };
    let Ok(letter) = DeadLetter::of(&record) else { return };
    assert_eq!((&letter.record.key, &letter.record.value), (&record.key, &record.value));
    let is_of_it = |header| record.headers.contains(header);
    assert!(letter.record.headers.iter().all(is_of_it), "a letter's record has no header that the letter has not");
}

/// A configuration file.
pub(crate) fn config(data: &[u8]) {
    async fn handle() {}
    let Ok(text) = std::str::from_utf8(data) else { return };
    let app = App::new("shop").consumer("orders", Router::new().topic("orders.created", on(handle)));
    if let Err(faults) = app.check_text("shop.yaml", text) {
        assert!(!faults.to_string().is_empty(), "what is wrong is said");
    }
}

fn record(offset: Offset, record: OwnedRecord) -> daemonry::record::Record {
    let records = vec![(offset, Arc::new(record))];
    OwnedRecords::handles(TopicPartition::new("orders", 0), records).pop().expect("there is one")
}
