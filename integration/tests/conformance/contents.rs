//! What is in a record.

use daemonry::record::Record;
use integration::Message;

use crate::driver::Member;
use crate::fixture::{AMPLE, Fixture};

/// A record's contents, as a message has them.
fn contents(record: &Record) -> Message {
    Message {
        key: record.key().map(Vec::from),
        value: record.value().map(Vec::from),
        headers: record.headers().map(|header| (header.name.to_vec(), header.value.map(Vec::from))).collect(),
    }
}

/// Writes these and reads them back.
async fn assert_unchanged<F: Fixture>(messages: &[Message]) {
    let fixture = F::start(1, AMPLE);
    fixture.produce(0, messages);
    let mut member = Member::<F>::new(fixture.join());
    member.until("all records", |member| member.records.len() == messages.len()).await;
    let read: Vec<_> = member.records.iter().map(|(_, record)| contents(record)).collect();
    assert_eq!(read, messages);
    member.close().await;
}

pub(crate) async fn keys_and_values_come_as_written<F: Fixture>() {
    assert_unchanged::<F>(&[
        Message::new("both").key("a key"),
        Message::new("no key"),
        Message::new("an empty key").key(""),
        Message::tombstone().key("a tombstone"),
        Message::new("").key("an empty value"),
        Message::tombstone(),
        Message::new("").key(""),
        Message::new(b"\x00\xff\xfe".as_slice()).key(b"\xff\x00".as_slice()),
        Message::new(vec![b'x'; 100_000]).key(vec![b'k'; 10_000]),
    ])
    .await;
}

pub(crate) async fn headers_come_as_written<F: Fixture>() {
    assert_unchanged::<F>(&[
        Message::new("none"),
        Message::new("in their order, duplicates too").header("b", "1").header("a", "2").header("b", "3"),
        Message::new("without a value, and with an empty one").null_header("null").header("empty", ""),
        Message::new("of any bytes").header(b"\xff\xfe".as_slice(), b"\x00\xff".as_slice()),
        Message::new("without a name").header("", "value"),
        Message::tombstone().header("on a tombstone", "value"),
    ])
    .await;
}

pub(crate) async fn records_outlive_their_source<F: Fixture>() {
    let fixture = F::start(1, AMPLE);
    let messages: Vec<_> =
        (0..20).map(|number| Message::new(vec![number; 2000]).key("k").header("n", [number])).collect();
    fixture.produce(0, &messages);
    let mut member = Member::<F>::new(fixture.join());
    member.until("all records", |member| member.records.len() == messages.len()).await;
    let records: Vec<_> = std::mem::take(&mut member.records).into_iter().map(|(_, record)| record).collect();
    drop(member.close().await);
    drop(fixture);
    // Any thread may be the one that looks at them first, and the one that frees them.
    let read = std::thread::spawn(move || records.iter().map(contents).collect::<Vec<_>>());
    assert_eq!(read.join().expect("no panic"), messages);
}
