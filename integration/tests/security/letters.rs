//! Dead letters: each right that is missing is named, until all are there.

use anyhow::{Result, ensure};
use daemonry::dead_letters::{DeadLetters, Filter, LettersError, Redrive};
use integration::rights::{Mechanism, Operation, Resource};
use integration::secured::PASSWORD;
use integration::{Message, Topics};

use crate::scene::broker;

#[tokio::test]
async fn rights_that_a_redrive_lacks_are_named_one_after_the_other() -> Result<()> {
    let broker = broker()?;
    let topics = Topics::connect(broker.bootstrap())?;
    let topic = topics.create_fresh("letters", 1)?;
    let (letters, marks) = (format!("{topic}.dlq"), format!("{topic}.dlq.marks"));
    topics.create(&letters, 1, &[])?;
    let letter = [
        ("daemonry-topic", topic.as_str()),
        ("daemonry-partition", "0"),
        ("daemonry-offset", "0"),
        ("daemonry-reason", "poison"),
        ("daemonry-error", "zero"),
        ("daemonry-attempts", "1"),
        ("daemonry-daemon", "shop"),
        ("daemonry-handler", "create"),
    ];
    let letter =
        letter.into_iter().fold(Message::new("{}").key("a"), |message, (name, value)| message.header(name, value));
    topics.produce(&letters, &[letter])?;
    broker.rights().set_password(&topic, Mechanism::ScramSha256, PASSWORD)?;
    let entry = broker.sasl(Mechanism::ScramSha256.name(), &topic, PASSWORD);
    let dead = DeadLetters::open(&entry.config("unused"), letters.as_str())?;
    let grant = |operation, resource, name: &str| broker.rights().grant(&topic, operation, resource, name);
    let lacks = |operation: &'static str, resource: String| LettersError::NotAuthorized { operation, resource };
    let redrive = || dead.redrive(Redrive::new("r", Filter::all()));
    let missing = async || redrive().await.expect_err("a right is missing").error;

    let error = dead.list(Filter::all()).next().await.expect("something comes").expect_err("it may not be read");
    assert_eq!(error, lacks("READ", format!("topic `{letters}`")));
    grant(Operation::Read, Resource::Topic, &letters)?;
    // Whether the marks' topic is there is not for us to know.
    let error = dead.list(Filter::all()).next().await.expect("something comes").expect_err("the marks may not be read");
    assert_eq!(error, lacks("READ", format!("topic `{marks}`")));
    assert_eq!(missing().await, lacks("WRITE", format!("topic `{marks}`")));
    grant(Operation::Read, Resource::Topic, &marks)?;
    ensure!(dead.list(Filter::all()).next().await.is_some_and(|entry| entry.is_ok()), "it may be listed now");
    let error = missing().await;
    assert!(matches!(error, LettersError::NoMarks { .. }) && error.to_string().contains("CREATE"), "{error}");
    topics.create(&marks, 1, &[("cleanup.policy", "compact")])?;
    assert_eq!(missing().await, lacks("WRITE", format!("topic `{marks}`")));
    grant(Operation::Write, Resource::Topic, &marks)?;
    assert_eq!(missing().await, lacks("WRITE", "transactional ids with the prefix `daemonry-redrive.`".to_owned()));
    grant(Operation::Write, Resource::TransactionalId, &format!("daemonry-redrive.{letters}"))?;
    assert_eq!(missing().await, lacks("READ", "groups with the prefix `daemonry-redrive.`".to_owned()));
    grant(Operation::Read, Resource::Group, &format!("daemonry-redrive.{letters}.r"))?;
    assert_eq!(missing().await, lacks("WRITE", format!("topic `{topic}`")));
    grant(Operation::Write, Resource::Topic, &topic)?;
    assert_eq!(redrive().await?.selected, 1);
    assert_eq!(topics.read(&topic)?.len(), 1);

    let wrong = entry.with("sasl.password", "wr0ng-pa55-of-the-tests");
    let refused = DeadLetters::open(&wrong.config("unused"), letters.as_str())?;
    let error = refused.redrive(Redrive::new("s", Filter::all())).await.expect_err("it may not come in").error;
    assert!(matches!(&error, LettersError::NotLetIn(say) if say.contains("`sasl.password`")), "{error:?}");
    Ok(())
}
