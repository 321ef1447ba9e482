//! `sample-letters BROKERS TOPIC N` writes small dead letters to try `daemonry dlq` with: those of N records with 1,000 keys of the topic
//! TOPIC, which it makes if it is missing, as it does that of the letters, `TOPIC.dlq`, with four partitions each.

use std::env;

use anyhow::{Context as _, Result, bail};
use integration::Topics;
use integration::letter::{Letters, letter_of};
use integration::patience::unix_ms;

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
    Letters::of(topic)
        .write(brokers, count, |_, message| letter_of(message, topic, "error", "connection refused", unix_ms()))?;
    eprintln!("{count} letters are written to {letters_topic}");
    Ok(())
}
