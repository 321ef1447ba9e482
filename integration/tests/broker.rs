//! What the other tests stand on: records come back from Kafka byte for byte, and a killed broker keeps them.

use anyhow::{Context as _, Result};
use daemonry::record::{NextOffset, Offset, Partition};
use integration::{Broker, BrokerOptions, Committed, Message, Stored, Topics, brokers};

fn three_messages() -> Vec<Message> {
    vec![
        Message::new("first").key("a").header("plain", "text").header("plain", "twice").null_header("null"),
        Message::new(vec![0, 159, 146, 150]).key("").header(vec![0xff, 0xfe, b'x'], vec![0, 1, 2]).header("empty", ""),
        Message::tombstone().key("a"),
    ]
}

#[test]
fn records_come_back_byte_for_byte() -> Result<()> {
    let topics = Topics::connect(brokers()?)?;
    let topic = topics.create_fresh("broker.bytes", 1)?;
    let messages = three_messages();

    let places = topics.produce(&topic, &messages)?;

    let read = topics.read(&topic)?.into_iter().map(|stored| ((stored.partition, stored.offset), stored.message));
    assert_eq!(read.collect::<Vec<_>>(), places.into_iter().zip(messages).collect::<Vec<_>>());
    assert_eq!(topics.ends(&topic)?[&Partition(0)], Offset(3));
    topics.delete(&topic)
}

#[test]
fn records_of_one_key_share_a_partition_and_keep_their_order() -> Result<()> {
    let topics = Topics::connect(brokers()?)?;
    let topic = topics.create_fresh("broker.keys", 8)?;
    let messages: Vec<Message> =
        (0..2_000).map(|n: u32| Message::new(n.to_string()).key((n % 16).to_string())).collect();

    topics.produce(&topic, &messages)?;

    let read = topics.read(&topic)?;
    assert_eq!(read.len(), messages.len());
    for key in 0..16_u32 {
        let name = key.to_string().into_bytes();
        let of_key: Vec<&Stored> = read.iter().filter(|stored| stored.message.key.as_ref() == Some(&name)).collect();
        assert!(of_key.iter().all(|stored| stored.partition == of_key[0].partition), "key {key} is spread");
        let values: Vec<Vec<u8>> = of_key.iter().filter_map(|stored| stored.message.value.clone()).collect();
        let produced: Vec<Vec<u8>> = (key..2_000).step_by(16).map(|n| n.to_string().into_bytes()).collect();
        assert_eq!(values, produced, "key {key} is out of order");
    }
    topics.delete(&topic)
}

#[test]
fn a_commit_is_seen_with_its_metadata() -> Result<()> {
    let topics = Topics::connect(brokers()?)?;
    let topic = topics.create_fresh("broker.commits", 2)?;
    let group = topics.group(&format!("{topic}.group"))?;
    let partitions = topics.partitions(&topic)?;
    assert!(group.committed(&topic, &partitions)?.is_empty());

    let committed = Committed { next: NextOffset::at(7), metadata: "seven".to_owned() };
    group.commit(&topic, Partition(1), &committed)?;

    let seen = group.committed(&topic, &partitions)?;
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [(Partition(1), committed)]);
    topics.delete(&topic)
}

#[test]
fn a_missing_topic_is_an_error_and_not_created() -> Result<()> {
    let topics = Topics::connect(brokers()?)?;

    let error = topics.read("broker.nobody-made-this").err().context("reading it must fail")?;

    assert!(format!("{error:#}").contains("UnknownTopicOrPartition"), "{error:#}");
    Ok(())
}

#[test]
fn a_broker_killed_and_restarted_keeps_its_records() -> Result<()> {
    let mut broker = Broker::start(BrokerOptions::default())?;
    let address = broker.bootstrap();
    let topics = Topics::connect(&address)?;
    topics.create("kept", 2, &[])?;
    topics.produce("kept", &three_messages())?;
    let before = topics.read("kept")?;
    assert_eq!(before.len(), 3);

    broker.kill()?;
    assert!(std::net::TcpStream::connect(&address).is_err(), "a killed broker still listens");
    broker.restart()?;

    assert_eq!(broker.bootstrap(), address);
    assert_eq!(topics.read("kept")?, before);
    Ok(())
}

#[test]
fn a_broker_that_cannot_start_says_why() -> Result<()> {
    let options = BrokerOptions::default().property("num.network.threads", 0);

    let error = Broker::start(options).err().context("the start must fail")?;

    assert!(format!("{error:#}").contains("num.network.threads"), "{error:#}");
    Ok(())
}
