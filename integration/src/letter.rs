//! Dead letters as a daemon writes them, to try out what deals with them.

use anyhow::Result;

use crate::{Message, Writer};

/// The letter of this message, which was read from `topic`. `failed_at`: milliseconds since 1970 UTC.
pub fn letter_of(message: Message, topic: &str, reason: &str, error: &str, failed_at: u64) -> Message {
    let failed_at = failed_at.to_string();
    [
        ("daemonry-topic", topic),
        ("daemonry-partition", "3"),
        ("daemonry-offset", "41"),
        ("daemonry-reason", reason),
        ("daemonry-error", error),
        ("daemonry-attempts", "4"),
        ("daemonry-daemon", "shop"),
        ("daemonry-handler", "orders::create"),
        ("daemonry-failed-at", &failed_at),
    ]
    .into_iter()
    .fold(message, |message, (name, value)| message.header(name, value))
}

/// How many are on their way at once.
const TOGETHER: usize = 10_000;

/// Letters of small records that were read from a topic, whose own is `<topic>.dlq`.
#[derive(Clone, Copy, Debug)]
pub struct Letters<'a>(&'a str);

impl<'a> Letters<'a> {
    /// Those of this topic.
    pub fn of(topic: &'a str) -> Self {
        Self(topic)
    }

    /// Writes so many: what `letter` makes of their numbers and messages, which have a thousand keys.
    ///
    /// # Errors
    /// When one is refused or not acknowledged in time.
    pub fn write(&self, brokers: &str, count: usize, letter: impl Fn(usize, Message) -> Message) -> Result<()> {
        let (topic, mut writer) = (format!("{}.dlq", self.0), Writer::connect(brokers)?);
        for first in (0..count).step_by(TOGETHER) {
            let message =
                |number: usize| Message::new(format!(r#"{{"id":{number}}}"#)).key(format!("key-{}", number % 1_000));
            let letters = (first..count.min(first + TOGETHER)).map(|number| letter(number, message(number)));
            writer.write(&topic, None, &letters.collect::<Vec<_>>())?;
        }
        Ok(())
    }
}
