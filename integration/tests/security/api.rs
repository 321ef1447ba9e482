//! The same through the library itself, without a daemon around it: what a program of one's own gets to hear.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use daemonry::handler::TopicPattern;
use daemonry::kafka::{AdminError, KafkaAdmin, KafkaProducer, KafkaSource};
use daemonry::pipeline::demand::Demand;
use daemonry::pipeline::source::{Epoch, Event, Source as _, SourceError};
use daemonry::pipeline::subscription::Subscription;
use daemonry::producer::SendError;
use daemonry::record::Topic;
use integration::rights::{Mechanism, Operation, Resource};
use integration::secured::PASSWORD;
use integration::{Entry, Topics};

use crate::scene::{SOON, broker};

const WRONG: &str = "wr0ng-pa55-of-the-tests";

/// A topic, and a user of its name without any rights.
fn stranger(name: &str) -> Result<(Topic, Entry)> {
    let broker = broker()?;
    let topic = Topics::connect(broker.bootstrap())?.create_fresh(name, 1)?;
    broker.rights().set_password(&topic, Mechanism::ScramSha256, PASSWORD)?;
    Ok((Topic::from(&topic), broker.sasl(Mechanism::ScramSha256.name(), &topic, PASSWORD)))
}

fn join(entry: &Entry, topic: &Topic) -> Result<KafkaSource> {
    Ok(KafkaSource::new(&entry.config(topic.as_str()), Subscription::new().topic(topic.clone(), "test"))?)
}

/// Polls until the source fails.
async fn failure(mut source: KafkaSource) -> Result<SourceError> {
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        if let Err(error) = source.poll(&Demand::none(), Duration::from_millis(100)).await {
            return Ok(error);
        }
    }
    bail!("it does not fail")
}

#[tokio::test]
async fn a_source_that_is_refused_fails_after_a_few_tries() -> Result<()> {
    let (topic, entry) = stranger("api.refused")?;
    let start = Instant::now();
    let error = failure(join(&entry.with("sasl.password", WRONG), &topic)?).await?;

    let SourceError::Misconfigured(say) = &error else { bail!("{error:?}") };
    assert!(say.contains("refuse user") && say.contains("`sasl.password`"), "{say}");
    assert!(!format!("{error:?}").contains(WRONG), "{error:?}");
    // Three tries, a second after the first and two after the second.
    assert!(start.elapsed() >= Duration::from_secs(3), "it gave up after {:?}", start.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_source_without_rights_fails_at_once() -> Result<()> {
    let (topic, entry) = stranger("api.forbidden")?;
    let error = failure(join(&entry, &topic)?).await?;
    let SourceError::Misconfigured(say) = &error else { bail!("{error:?}") };
    assert!(say.contains("not authorised to read") && say.contains("grant this user READ"), "{say}");
    Ok(())
}

#[tokio::test]
async fn a_source_on_the_wrong_port_tells_of_trouble_and_closes() -> Result<()> {
    let (topic, entry) = stranger("api.port")?;
    let mut source = join(&Entry::new(entry.address()), &topic)?;
    let deadline = Instant::now() + SOON;
    let said = loop {
        match source.poll(&Demand::none(), Duration::from_millis(100)).await? {
            Event::Trouble(Some(say)) if say.contains("hangs up") => break say,
            _ if Instant::now() > deadline => bail!("no word about it"),
            _ => {}
        }
    };
    assert!(said.contains("`security.protocol`"), "{said}");
    source.close(tokio::time::Instant::now() + SOON).await?;
    Ok(())
}

#[tokio::test]
async fn an_administrator_tells_what_it_lacks() -> Result<()> {
    let (topic, entry) = stranger("api.admin")?;
    let refused = KafkaAdmin::new(&entry.clone().with("sasl.password", WRONG).config("-"))?.partitions(&topic).await;
    let Err(AdminError::NotLetIn(say)) = &refused else { bail!("{refused:?}") };
    assert!(say.contains("`sasl.password`") && !say.contains(WRONG), "{say}");

    let (admin, user) = (KafkaAdmin::new(&entry.config("-"))?, topic.as_str());
    let not_authorized = |operation| Err(AdminError::NotAuthorized { topic: topic.clone(), operation });
    assert_eq!(admin.partitions(&topic).await, not_authorized("DESCRIBE"));
    broker()?.rights().grant(user, Operation::Describe, Resource::Topic, user)?;
    assert_eq!(admin.partitions(&topic).await, Ok(Some(1)));
    assert_eq!(admin.writable(&topic).await, not_authorized("WRITE"));
    broker()?.rights().grant(user, Operation::Write, Resource::Topic, user)?;
    assert_eq!(admin.writable(&topic).await, Ok(Some(1)));
    let other = Topic::from(&format!("{topic}.other"));
    assert_eq!(admin.create(&other, 1).await, Err(AdminError::NotAuthorized { topic: other, operation: "CREATE" }));
    Ok(())
}

#[tokio::test]
async fn a_producer_tells_what_it_lacks_and_goes_on_once_it_has_it() -> Result<()> {
    let (topic, entry) = stranger("api.producer")?;
    let producer = KafkaProducer::new(&entry.config("-"))?;
    let send = || producer.send(&topic, None, Some(b"x"), std::iter::empty(), None);
    let user = topic.as_str();
    // Without any right to write there is no idempotent producer; without this one there is no record.
    assert_eq!(send().await, Err(SendError::NotAuthorized(topic.clone())));
    broker()?.rights().grant(user, Operation::Describe, Resource::Topic, user)?;
    assert_eq!(send().await, Err(SendError::NotAuthorized(topic.clone())));
    broker()?.rights().grant(user, Operation::Write, Resource::Topic, user)?;
    let deadline = Instant::now() + SOON;
    while let Err(error) = send().await {
        if Instant::now() > deadline {
            return Err(error).context("it was granted");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_producer_that_is_refused_tells_why() -> Result<()> {
    let (topic, entry) = stranger("api.letters")?;
    let refused = KafkaProducer::new(&entry.with("sasl.password", WRONG).config("-"))?;
    // It is tried for half a minute: the password may be on its way.
    let error = refused.send(&topic, None, Some(b"x"), std::iter::empty(), None).await;
    let Err(SendError::Unavailable(say)) = &error else { bail!("{error:?}") };
    assert!(say.contains("`sasl.password`") && !say.contains(WRONG), "{say}");
    Ok(())
}

/// Polls until these topics, each with its one partition, are what the source has.
async fn until_reads(source: &mut KafkaSource, reads: &mut Vec<(Epoch, String)>, topics: &[&str]) -> Result<()> {
    let deadline = Instant::now() + SOON;
    while reads.iter().map(|(_, topic)| topic.as_str()).ne(topics.iter().copied()) {
        if Instant::now() > deadline {
            bail!("it reads {reads:?}, not {topics:?}");
        }
        match source.poll(&Demand::none(), Duration::from_millis(100)).await? {
            Event::Assigned(assigned) => {
                reads.extend(assigned.into_iter().map(|one| (one.epoch, one.topic_partition.topic.to_string())));
            }
            Event::Lost(epochs) => reads.retain(|(epoch, _)| !epochs.contains(epoch)),
            Event::Revoked(revocation) => {
                reads.retain(|(epoch, _)| !revocation.epochs().contains(epoch));
                revocation.complete();
            }
            _ => {}
        }
        reads.sort_by(|(_, one), (_, other)| one.cmp(other));
    }
    Ok(())
}

#[tokio::test]
async fn a_pattern_finds_what_its_user_may_read() -> Result<()> {
    let (first, entry) = stranger("api.pattern")?;
    let user = first.as_str();
    let [seen, hidden] = ["seen", "hidden"].map(|name| format!("{user}.{name}"));
    let topics = Topics::connect(broker()?.bootstrap())?;
    for topic in [&seen, &hidden] {
        topics.create(topic, 1, &[])?;
    }
    let rights = broker()?.rights();
    rights.grant(user, Operation::Read, Resource::Group, user)?;
    rights.grant(user, Operation::Read, Resource::Topic, user)?;
    rights.grant(user, Operation::Describe, Resource::Topic, &seen)?;
    let mut config = entry.config(user);
    config.topic_refresh = Duration::from_secs(1);
    let subscription = Subscription::new().pattern(TopicPattern::new(&format!("{user}.*"))?, "test");
    let mut source = KafkaSource::new(&config, subscription)?;

    let mut reads = Vec::new();
    until_reads(&mut source, &mut reads, &[user]).await?;
    rights.grant(user, Operation::Read, Resource::Topic, &seen)?;
    until_reads(&mut source, &mut reads, &[user, &seen]).await?;
    rights.grant(user, Operation::Read, Resource::Topic, &hidden)?;
    until_reads(&mut source, &mut reads, &[user, &hidden, &seen]).await?;
    // Out of sight is gone, and no error.
    rights.withdraw(user, Operation::Read, Resource::Topic, &hidden)?;
    until_reads(&mut source, &mut reads, &[user, &seen]).await?;
    source.close(tokio::time::Instant::now() + SOON).await?;
    Ok(())
}
