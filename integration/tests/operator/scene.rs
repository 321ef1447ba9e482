//! A topic, a group that reads it, and a terminal to ask about both.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use daemonry::record::{NextOffset, Partition};
use integration::{Committed, Flags, Group, Member, Message, Topics, brokers};
use serde_json::Value;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) error: String,
}

impl Said {
    /// Its answer, one JSON object a line.
    pub(crate) fn rows(&self) -> Result<Vec<Value>> {
        self.out.lines().map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {self:?}"))).collect()
    }

    /// The same of a command that ended with this code.
    pub(crate) fn with_code(self, code: i32) -> Result<Self> {
        ensure!(self.code == Some(code), "expected exit code {code}: {self:?}");
        Ok(self)
    }
}

/// Runs `daemonry` with these arguments.
pub(crate) fn daemonry(arguments: &[&str]) -> Result<Said> {
    program("daemonry", arguments, &[])
}

/// The program of this name, built by the same cargo.
pub(crate) fn binary(name: &str) -> Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name("").join("..").join(name))
}

/// Runs this program with these arguments and variables.
pub(crate) fn program(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Said> {
    let binary = binary(name)?;
    let output = Command::new(&binary)
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} can't be run: build it with `cargo build --bins`", binary.display()))?;
    Ok(Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout)?,
        error: String::from_utf8(output.stderr)?,
    })
}

pub(crate) struct Scene {
    pub(crate) topics: Topics,
    pub(crate) brokers: String,
    /// Of three partitions; the group has the same name.
    pub(crate) topic: String,
    pub(crate) group: Group,
    directory: tempfile::TempDir,
}

impl Scene {
    pub(crate) fn open(name: &str) -> Result<Self> {
        let brokers = brokers()?;
        let topics = Topics::connect(&brokers)?;
        let topic = topics.create_fresh(name, 3)?;
        let group = topics.group(&topic)?;
        Ok(Self { topics, brokers, topic, group, directory: tempfile::tempdir()? })
    }

    /// Writes so many records to each partition.
    pub(crate) fn fill(&self, counts: [usize; 3]) -> Result<()> {
        for (partition, count) in (0..).map(Partition).zip(counts) {
            let records: Vec<Message> =
                (0..count).map(|number| Message::new(format!(r#"{{"id":{number}}}"#))).collect();
            self.topics.produce_to(&self.topic, partition, &records)?;
        }
        Ok(())
    }

    /// Commits for the group, as its daemon would.
    pub(crate) fn commit(&self, partition: i32, next: i64, metadata: &str) -> Result<()> {
        let committed = Committed { next: NextOffset::at(next), metadata: metadata.to_owned() };
        self.group.commit(&self.topic, Partition(partition), &committed)
    }

    /// Runs a command about the group.
    pub(crate) fn ask(&self, command: &str, more: &[&str]) -> Result<Said> {
        let arguments = [command, "--brokers", &self.brokers, "--group", &self.topic];
        daemonry(&[&arguments, more].concat())
    }

    /// Starts a daemon of the group, which speaks this protocol.
    pub(crate) fn daemon(&self, protocol: &str) -> Result<Member> {
        let flags = Flags::default()
            .with("brokers", &self.brokers)
            .with("topic", &self.topic)
            .with("group", &self.topic)
            .with("ledger", self.directory.path().join("ledger").display())
            .with("order", "key")
            .with("group-protocol", protocol)
            .with("workers", 4)
            .with("missing-dead-letter", "create")
            .with("commit-interval-ms", 50);
        Member::start(&flags, self.directory.path().join("log"))
    }

    /// A file with this text.
    pub(crate) fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    }
}
