//! What is asked of the brokers, and of the client itself.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use rdkafka::producer::BaseProducer;
use sys::rd_kafka_AclOperation_t as Operation;

use super::*;

#[test]
fn brokers_that_tell_no_rights_still_tell_the_topics_apart() {
    let broker = Broker::new(&[]);
    let reader = broker.consumer();
    let client = reader.client.consumer().client();
    let known = client.fetch_metadata(Some(TOPIC), LONG).expect("it answers");
    let topics = [Topic::from(TOPIC), Topic::from("missing")];
    let start = Instant::now();
    let told = rights(client, known.brokers()[0].id(), &topics, LONG);
    assert!(start.elapsed() < LONG, "it does answer");
    assert!(told.iter().all(|one| one.rights.is_none()), "{told:?}");
    let ids: Vec<(&str, bool)> = told.iter().map(|one| (one.topic.as_str(), one.id != 0)).collect();
    assert_eq!(ids, [(TOPIC, true), ("missing", false)]);
    // The same whenever it is asked for.
    assert_eq!(rights(client, known.brokers()[0].id(), &topics, LONG), told);
    // Nor does one that isn't there, for as long as is allowed; its answer comes when nobody waits any more.
    assert_eq!(rights(client, 99, &topics, Duration::from_millis(100)), []);
}

/// A broker that passes over topics it is asked about, all but one. Kafka's own have a word for each, if it is an error.
struct Reticent(TcpListener);

impl Reticent {
    const ID: i32 = 1;
    const TOPIC: &str = "known";

    /// Serves whoever comes, for as long as the process lives; says where.
    fn serve() -> String {
        let broker = Arc::new(Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port")));
        let address = broker.0.local_addr().expect("an address");
        thread::spawn(move || {
            for stream in broker.0.incoming() {
                let broker = Arc::clone(&broker);
                thread::spawn(move || broker.answer(stream.expect("a connection")));
            }
        });
        address.to_string()
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut size = [0; 4];
        while stream.read_exact(&mut size).is_ok() {
            let mut request = vec![0; u32::from_be_bytes(size) as usize];
            stream.read_exact(&mut request).expect("a request");
            let mut answer = request[4..8].to_vec();
            match i16::from_be_bytes([request[0], request[1]]) {
                key if key == Api::ApiVersion as i16 => answer.extend(Self::versions()),
                key if key == Api::Metadata as i16 => answer.extend(self.metadata()),
                key => panic!("a request of another kind: {key}"),
            }
            let size = u32::try_from(answer.len()).expect("short").to_be_bytes();
            stream.write_all(&[&size[..], &answer].concat()).expect("still there");
        }
    }

    /// In version 3: it speaks versions 0 to 3 of this, and version 8 of the other, the first that tells of rights.
    fn versions() -> Vec<u8> {
        let [versions, metadata] = [Api::ApiVersion as u8, Api::Metadata as u8];
        [&[0, 0, 3][..], &[0, versions, 0, 0, 0, 3, 0], &[0, metadata, 0, 8, 0, 8, 0], &[0; 5]].concat()
    }

    /// In version 8: there is one broker, which is this one, and one topic, which may be read.
    fn metadata(&self) -> Vec<u8> {
        let text = |text: &str| [&[0, u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
        let port = i32::from(self.0.local_addr().expect("an address").port());
        let rights = 1 << Operation::RD_KAFKA_ACL_OPERATION_READ as i32;
        let (one, none) = (1_i32.to_be_bytes(), (-1_i16).to_be_bytes());
        [
            &[0; 4][..],
            &[&one[..], &Self::ID.to_be_bytes(), &text("127.0.0.1"), &port.to_be_bytes(), &none].concat(),
            &[&none[..], &Self::ID.to_be_bytes()].concat(),
            &[&one[..], &[0; 2], &text(Self::TOPIC), &[0; 5], &i32::to_be_bytes(rights)].concat(),
            &i32::MIN.to_be_bytes(),
        ]
        .concat()
    }
}

#[test]
fn a_topic_that_a_broker_tells_nothing_of_is_left_out() {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", Reticent::serve()).create().expect("a producer");
    let known = Topic::from(Reticent::TOPIC);
    let told = [Told { topic: known.clone(), id: 0, rights: Some(Rights { read: true, write: false }) }];
    for topics in [["first".into(), known.clone()], [known, "last".into()]] {
        assert_eq!(rights(producer.client(), Reticent::ID, &topics, LONG), told, "{topics:?}");
    }
}

#[test]
fn a_member_has_a_generation_and_for_as_long_as_it_is_one_an_id() {
    let broker = Broker::new(&[]);
    let reader = broker.consumer();
    let consumer = reader.client.consumer();
    // Has it take and give back by itself.
    consumer.context().close();
    assert!(!has_member_id(consumer));
    assert_eq!(generation(&reader.client), None);
    consumer.subscribe(&[TOPIC]).expect("subscribed");
    reader.until("a generation", || generation(&reader.client));
    assert!(has_member_id(consumer));
    consumer.unsubscribe();
    reader.until("its leave", || (!has_member_id(consumer)).then_some(()));
}

#[test]
fn a_partition_tells_where_it_is_read_and_where_it_ends() {
    let broker = Broker::new(&[]);
    broker.fill(7);
    let reader = broker.consumer();
    let queue = reader.take();
    assert_eq!((position(&reader.client, &place()), cached_end(&reader.client, &place())), (None, None));
    reader.assign(2);
    reader.read(&queue, 5).iter().for_each(check);
    let position = position(&reader.client, &place()).map(|(next, _)| next.0);
    assert_eq!((position, cached_end(&reader.client, &place())), (Some(7), Some(7)));
    let elsewhere = TopicPartition::new("zero\0byte", 0);
    assert_eq!(cached_end(&reader.client, &elsewhere), None);
}

#[test]
fn what_was_committed_is_read_back_with_what_stands_beside_it() {
    let broker = Broker::new(&[]);
    let reader = broker.consumer();
    let answers = CommitQueue::new(&reader.client, &reader.wake);
    let other = TopicPartition::new("other", 3);
    let leader_epoch = LeaderEpoch::known(0);
    let offsets = list([(&place(), rdkafka::Offset::Offset(4))]).expect("a list");
    offsets.find_partition(TOPIC, 0).expect("it is there").set_metadata("beside it");
    set_leader_epochs(&offsets, [leader_epoch].into_iter());
    answers.send(&offsets, 1).expect("sent");
    assert_eq!(reader.until("an answer", || answers.next()).errors, []);
    let asked = list([(&place(), rdkafka::Offset::Invalid), (&other, rdkafka::Offset::Invalid)]).expect("a list");
    let answer = reader.client.consumer().committed_offsets(asked, LONG).expect("answered");
    let unknown = Some(Code::UnknownTopicOrPartition);
    let none = Committed { place: other, offset: None, metadata: String::new(), error: unknown, leader_epoch: None };
    let own =
        Committed { place: place(), offset: Some(4), metadata: "beside it".to_owned(), error: None, leader_epoch };
    assert_eq!(committed(&answer), [own, none]);
    assert_eq!(committed(&TopicPartitionList::new()), []);
}

#[cfg(feature = "cli")]
#[test]
fn partitions_tell_where_they_begin_and_end_in_one_go() {
    let broker = Broker::new(&[]);
    broker.fill(7);
    let reader = broker.consumer();
    let client = reader.client.consumer().client();
    let at = |offset| {
        let asked = list([(&place(), offset)]).expect("a list");
        offsets(client, &asked, Isolation::Committed, LONG).expect("answered").pop().expect("one was asked for")
    };
    let found = |offset| (at(offset).place, at(offset).offset, at(offset).error);
    assert_eq!(found(rdkafka::Offset::Beginning), (place(), Some(0), None));
    assert_eq!(found(rdkafka::Offset::End), (place(), Some(7), None));
    // Who is asked for nothing answers nothing.
    assert_eq!(offsets(client, &TopicPartitionList::new(), Isolation::Uncommitted, LONG), Ok(Vec::new()));
    let nobody =
        ClientConfig::new().set("bootstrap.servers", "127.0.0.1:1").create::<BaseProducer>().expect("a client");
    let asked = list([(&place(), rdkafka::Offset::End)]).expect("a list");
    assert!(offsets(nobody.client(), &asked, Isolation::Uncommitted, Duration::from_millis(200)).is_err());
}

#[cfg(feature = "cli")]
#[test]
fn what_is_committed_for_a_group_from_outside_is_told_of_it() {
    let broker = Broker::new(&[]);
    let reader = broker.consumer();
    let client = reader.client.consumer().client();
    assert_eq!(commits(client, "nobody's", LONG), Ok(Vec::new()));
    let goal = list([(&place(), rdkafka::Offset::Offset(5))]).expect("a list");
    let taken = commit(client, "outside", &goal, LONG).expect("taken");
    assert_eq!(taken.iter().map(|one| (&one.place, one.error)).collect::<Vec<_>>(), [(&place(), None)]);
    // The mock cluster tells of those alone that are asked for by name.
    assert!(commits(client, "outside", LONG).expect("answered").iter().all(|one| one.offset == Some(5)));
    let name = "zero\0byte";
    assert!(commits(client, name, LONG).is_err() && commit(client, name, &goal, LONG).is_err());
    // It has no word for who is in a group.
    assert!(group(client, "outside", LONG).is_err());
}
