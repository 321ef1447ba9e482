//! Records on their way to a topic.

use daemonry::kafka::{KafkaAdmin, KafkaProducer, SendError};
use daemonry::record::Topic;

use crate::member::{config, topic, unique};

#[tokio::test]
async fn a_record_that_is_too_large_takes_no_other_with_it() {
    let topic = topic("large", 1).await;
    let producer = KafkaProducer::new(&config("-")).expect("valid");
    let large = vec![0; 2 << 20];
    let small = |n: usize| {
        let (producer, topic) = (&producer, &topic);
        async move { producer.send(topic, None, Some(&vec![0; n * 1000]), std::iter::empty(), None).await }
    };
    let (refused, taken) = tokio::join!(
        producer.send(&topic, None, Some(&large), std::iter::empty(), None),
        futures_util::future::join_all((0..100).map(|n| small(n * 5)))
    );
    assert_eq!(refused, Err(SendError::TooLarge(topic.clone())));
    let offsets: std::collections::BTreeSet<_> = taken.into_iter().map(|sent| sent.expect("written").1).collect();
    assert_eq!(offsets.len(), 100);
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_told_apart() {
    let missing = Topic::from(unique("missing"));
    let producer = KafkaProducer::new(&config("-")).expect("valid");
    let sent = producer.send(&missing, None, Some(b"x"), std::iter::empty(), None).await;
    assert_eq!(sent, Err(SendError::UnknownTopic(missing.clone())));
    let admin = KafkaAdmin::new(&config("-")).expect("valid");
    assert_eq!(admin.partitions(&missing).await, Ok(None));
    // Created later: the same producer finds it.
    admin.create(&missing, 3).await.expect("created");
    admin.create(&missing, 3).await.expect("it is there already, which is as good");
    producer.send(&missing, None, Some(b"x"), std::iter::empty(), None).await.expect("written");
}
