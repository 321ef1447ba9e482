//! Dead letters in a file, one JSON object a line.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use async_trait::async_trait;
use daemonry::pipeline::dead_letter::{DeadLetterSink, Letter, PublishError};
use daemonry::producer::Sent;
use daemonry::record::{Offset, Partition};
use serde_json::{Value, json};

/// The positions of the quotes whose letters a file holds. A letter is written again where its quote comes again.
pub(crate) fn positions(path: &Path) -> anyhow::Result<BTreeSet<i64>> {
    let letters = std::fs::read_to_string(path)?;
    let position = |line: &str| {
        let letter: Value = serde_json::from_str(line)?;
        let position =
            letter["headers"]["daemonry-offset"].as_str().context("a letter says where its record was read")?;
        Ok(position.parse()?)
    };
    letters.lines().map(position).collect()
}

/// Appends letters to a file. A letter counts as written once the disk has it.
pub(crate) struct LetterFile {
    path: PathBuf,
}

impl LetterFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

#[async_trait]
impl DeadLetterSink for LetterFile {
    async fn publish(&self, letter: &Letter<'_>) -> Result<Sent, PublishError> {
        let value = letter.record.value().map(String::from_utf8_lossy);
        let added: serde_json::Map<_, _> =
            letter.added.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let line = format!("{}\n", json!({"topic": letter.topic.as_str(), "value": value, "headers": added}));
        let path = self.path.clone();
        // It blocks, so it goes where that is allowed.
        let written = tokio::task::spawn_blocking(move || {
            let mut file = OpenOptions::new().append(true).create(true).open(path)?;
            file.write_all(line.as_bytes())?;
            file.sync_data()?;
            // A file has one partition; its offsets are those of its lines' first bytes.
            let line_start = file.stream_position()? - line.len() as u64;
            Ok(Sent { partition: Partition(0), offset: Offset(i64::try_from(line_start).unwrap_or(i64::MAX)) })
        });
        match written.await {
            Ok(written) => written.map_err(|error: std::io::Error| PublishError::Unavailable(error.to_string())),
            Err(error) => Err(PublishError::Unavailable(error.to_string())),
        }
    }
}
