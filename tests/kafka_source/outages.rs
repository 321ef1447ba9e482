//! Brokers that don't answer.

use std::time::Duration;

use daemonry::pipeline::source::Source;
use tokio::time::Instant;

use crate::member::Member;

#[tokio::test]
async fn a_broker_that_is_not_there_is_told_and_closing_is_quick() {
    // Nobody listens on the discard port.
    let settings = daemonry::kafka::KafkaConfig::new("127.0.0.1:9", "g");
    let mut member = Member::join(&settings, &"t".into());
    member.until("a word about it", |member| !member.troubles.is_empty()).await;
    assert!(member.troubles[0].contains("127.0.0.1:9"), "{:?}", member.troubles);
    let start = Instant::now();
    let _left = member.source.close(start + Duration::from_secs(3)).await;
    assert!(start.elapsed() < Duration::from_secs(4));
}
