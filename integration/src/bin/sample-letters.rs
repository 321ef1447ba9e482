//! `sample-letters BROKERS TOPIC N` writes small dead letters to try `daemonry dlq` with: those of N records with 1,000 keys of the topic
//! TOPIC, which it makes if it is missing, as it does that of the letters, `TOPIC.dlq`, with four partitions each.

use std::env;

use anyhow::{Context as _, Result, bail};
use integration::letter::letter_of;
use integration::patience::unix_ms;
use integration::{Message, Topics, Writer};

/// How many are on their way at once.
const TOGETHER: usize = 10_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [brokers, topic, count] = arguments.as_slice() else { bail!("usage: sample-letters BROKERS TOPIC N") };
    let count: usize = count.parse().context("N is a number of letters")?;
    let topics = Topics::connect(brokers)?;
    let letters_topic = format!("{topic}.dlq");
    for topic in [topic, &letters_topic] {
        if !topics.exists(topic)? {
            topics.create(topic, 4, &[])?;
        }
    }
    let mut writer = Writer::connect(brokers)?;
    for first in (0..count).step_by(TOGETHER) {
        let letter = |number: usize| {
            let message = Message::new(format!(r#"{{"id":{number}}}"#)).key(format!("key-{}", number % 1_000));
            letter_of(message, topic, "error", "connection refused", unix_ms())
        };
        let letters: Vec<Message> = (first..count.min(first + TOGETHER)).map(letter).collect();
        writer.write(&letters_topic, None, &letters)?;
    }
    eprintln!("{count} letters are written to {letters_topic}");
    Ok(())
}
