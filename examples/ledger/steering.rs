//! Commands from standard input, which steer the daemon while it runs.

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use daemonry::pipeline::control::{Control, Scope};
use daemonry::pipeline::seek::SeekTo;
use daemonry::record::{Offset, Timestamp, Topic, TopicPartition};
use tokio::runtime::{Builder, Runtime};

/// What a line asks for.
#[derive(Clone, Copy)]
enum Command {
    Seek(i32, SeekTo),
    Pause(i32),
    Resume(i32),
}

/// Obeys the lines of standard input until it ends; each is answered on standard error once it is done. A thread each, since a seek may
/// have to wait for what others don't wait for.
pub(crate) fn obey_lines(control: Control, topic: Topic) -> anyhow::Result<()> {
    let runtime = Arc::new(Builder::new_current_thread().build()?);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let (runtime, control, topic) = (Arc::clone(&runtime), control.clone(), topic.clone());
            std::thread::spawn(move || {
                let answer = parse(&line).and_then(|command| obey(command, &runtime, &control, &topic));
                let answer = answer.unwrap_or_else(|error| format!("refused, {error:#}"));
                // One write: lines of several threads don't mix. Without standard error nobody wants to know.
                drop(std::io::stderr().write_all(format!("ledger: {line}: {answer}\n").as_bytes()));
            });
        }
    });
    Ok(())
}

fn parse(line: &str) -> anyhow::Result<Command> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Ok(match words.as_slice() {
        ["seek", partition, place] => Command::Seek(partition.parse()?, parse_place(place)?),
        ["pause", partition] => Command::Pause(partition.parse()?),
        ["resume", partition] => Command::Resume(partition.parse()?),
        _ => bail!("not a command: say `seek PARTITION PLACE`, `pause PARTITION` or `resume PARTITION`"),
    })
}

fn parse_place(place: &str) -> anyhow::Result<SeekTo> {
    Ok(match place {
        "beginning" => SeekTo::Beginning,
        "end" => SeekTo::End,
        place => match place.strip_prefix('@') {
            Some(millis) => SeekTo::Time(Timestamp::from_millis(millis.parse()?).context("not a time")?),
            None => SeekTo::Offset(Offset(place.parse().context("not a place")?)),
        },
    })
}

fn obey(command: Command, runtime: &Runtime, control: &Control, topic: &Topic) -> anyhow::Result<String> {
    let place = |partition| TopicPartition::new(topic.as_str(), partition);
    match command {
        Command::Seek(partition, to) => {
            let next = runtime.block_on(control.seek(place(partition), to))?;
            return Ok(format!("goes on at {next}"));
        }
        Command::Pause(partition) => control.pause(Scope::Partition(place(partition))),
        Command::Resume(partition) => control.resume(&Scope::Partition(place(partition))),
    }
    Ok("done".to_owned())
}
