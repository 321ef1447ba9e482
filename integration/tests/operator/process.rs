//! A process of the shop's program, one of a fleet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use integration::Member;
use integration::patience::until;
use serde_json::Value;

use crate::scene::{PATIENCE, Said, Scene, binary, daemonry};

/// A process, and where its API is.
pub(crate) struct Process {
    pub(crate) member: Member,
    pub(crate) api: String,
}

impl Process {
    pub(crate) fn start(scene: &Scene, number: usize, directory: &Path) -> Result<Self> {
        Self::start_with(scene, number, directory, &[])
    }

    /// With these keys set besides.
    pub(crate) fn start_with(scene: &Scene, number: usize, directory: &Path, keys: &[String]) -> Result<Self> {
        Self::configured(scene, number, directory, keys, &Self::config())
    }

    /// The program's own configuration.
    pub(crate) fn config() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/shop.yaml")
    }

    /// With this file in place of the program's own.
    pub(crate) fn configured(
        scene: &Scene,
        number: usize,
        directory: &Path,
        keys: &[String],
        config: &Path,
    ) -> Result<Self> {
        let mut command = Command::new(binary("handlers")?);
        command
            .args(["run", "--config"])
            .arg(config)
            .args(["--set", "admin.enabled=false", "--set", "api.address=127.0.0.1:0", "--set", "fleet.enabled=true"])
            .args([
                "--set",
                "daemons.orders.missing_dead_letter_topic=create",
                "--set",
                "daemons.shipments.enabled=false",
            ])
            .args(["--set", &format!("fleet.reports={}.reports", scene.topic)])
            .args(["--set", &format!("fleet.control={}.control", scene.topic)])
            // Who takes over from one that was killed waits for as long.
            .args(["--set", "kafka.main.session_timeout=10s"])
            .args(keys.iter().flat_map(|key| ["--set", key.as_str()]))
            .env("KAFKA_BROKERS", &scene.brokers)
            .env("KAFKA_GROUP", &scene.topic);
        let mut member = Member::run(command, directory.join(format!("{number}.log")))?;
        member.until_log("API listens", PATIENCE)?;
        let log = member.log()?;
        let line = log.lines().find(|line| line.contains("API listens")).context("it was just there")?;
        let address = line.split_once("address=").context("no address")?.1.split_whitespace().next().context("none")?;
        Ok(Self { api: format!("http://{address}"), member })
    }

    /// The processes that this one knows, by their process ids: whether nothing is heard of them.
    pub(crate) fn known(&self) -> Result<BTreeMap<u64, bool>> {
        let rows = daemonry(&["ps", "--fleet", "--api", &self.api, "-o", "ndjson"])?.with_code(0)?.rows()?;
        let known = |row: &Value| Some((row["instance"]["pid"].as_u64()?, row["is_silent"].as_bool()?));
        rows.iter().map(|row| known(row).with_context(|| format!("no process: {row}"))).collect()
    }

    /// Waits until it knows these, and whether they are silent.
    pub(crate) fn knows(&self, expected: &BTreeMap<u64, bool>, patience: Duration) -> Result<()> {
        until(patience, &format!("{expected:?} as {} knows them", self.api), || {
            Ok((self.known()? == *expected).then_some(()))
        })
    }

    pub(crate) fn pid(&self) -> u64 {
        self.member.pid().into()
    }

    /// Asks it this.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<Said> {
        daemonry(&[arguments, &["--api", &self.api, "-o", "ndjson"]].concat())
    }

    /// Asks it this, which it can do.
    pub(crate) fn rows(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        self.ask(arguments)?.with_code(0)?.rows()
    }

    /// The one answer to this, which it can do.
    pub(crate) fn row(&self, arguments: &[&str]) -> Result<Value> {
        self.rows(arguments)?.pop().with_context(|| format!("no answer to {arguments:?}"))
    }

    /// The JSON at this path of its API.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let (status, body) = integration::get(self.api.trim_start_matches("http://"), path)?;
        ensure!(status == 200, "{path}: {status} {body}");
        Ok(serde_json::from_str(&body)?)
    }

    /// The same of something to do, and of what takes longer; with its status.
    pub(crate) fn send(&self, method: &str, path: &str, body: &str) -> Result<(u16, Value)> {
        let address = self.api.trim_start_matches("http://");
        let (status, body) = integration::send(address, PATIENCE, method, path, body)?;
        Ok((status, serde_json::from_str(&body).with_context(|| format!("{path}: {body}"))?))
    }

    /// What its daemon is at.
    pub(crate) fn daemon(&self) -> Result<Value> {
        self.row(&["ps"])
    }
}
