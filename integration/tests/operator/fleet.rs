//! `ps --fleet`: processes that see one another through Kafka alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use integration::Member;
use integration::patience::until;
use serde_json::Value;

use crate::scene::{PATIENCE, Scene, binary, daemonry};

/// How many there are.
const PROCESSES: usize = 5;
/// How long one that was killed may be believed to be there. Whoever looks for the first time reads back no more than a minute.
const SILENT: Duration = Duration::from_secs(40);

/// A process, and where its API is.
struct Process {
    member: Member,
    api: String,
}

impl Process {
    fn start(scene: &Scene, number: usize, directory: &Path) -> Result<Self> {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/shop.yaml");
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
    fn known(&self) -> Result<BTreeMap<u64, bool>> {
        let rows = daemonry(&["ps", "--fleet", "--api", &self.api, "-o", "ndjson"])?.with_code(0)?.rows()?;
        let known = |row: &Value| Some((row["instance"]["pid"].as_u64()?, row["is_silent"].as_bool()?));
        rows.iter().map(|row| known(row).with_context(|| format!("no process: {row}"))).collect()
    }

    /// Waits until it knows these, and whether they are silent.
    fn knows(&self, expected: &BTreeMap<u64, bool>, patience: Duration) -> Result<()> {
        until(patience, &format!("{expected:?} as {} knows them", self.api), || {
            Ok((self.known()? == *expected).then_some(()))
        })
    }

    fn pid(&self) -> u64 {
        self.member.pid().into()
    }
}

#[test]
fn each_process_shows_all_of_them_and_tells_those_that_ended_from_those_that_were_killed() -> Result<()> {
    let (scene, directory) = (Scene::open("fleet")?, tempfile::tempdir()?);
    // What the program reads; another test may have made it.
    scene.topics.create("orders.created", 4, &[]).ok();
    let processes = (0..PROCESSES).map(|number| Process::start(&scene, number, directory.path()));
    let mut processes = processes.collect::<Result<Vec<_>>>()?;
    let mut all: BTreeMap<u64, bool> = processes.iter().map(|process| (process.pid(), false)).collect();
    for process in &processes {
        process.knows(&all, PATIENCE)?;
    }

    let mut stopped = processes.pop().context("five were started")?;
    let code = stopped.member.stop(PATIENCE)?;
    ensure!(code == 0, "it ended with {code}: {}", stopped.member.log()?);
    all.remove(&stopped.pid());
    let begun = Instant::now();
    processes[0].knows(&all, PATIENCE)?;
    eprintln!("stopped: gone {:.1?} after its end", begun.elapsed());

    let mut killed = processes.pop().context("four are left")?;
    killed.member.kill()?;
    all.insert(killed.pid(), true);
    let begun = Instant::now();
    processes[1].knows(&all, SILENT)?;
    eprintln!("killed: silent {:.1?} after its end", begun.elapsed());
    // Whoever asks for the first time hears of it, too.
    let late = Process::start(&scene, PROCESSES, directory.path())?;
    all.insert(late.pid(), false);
    late.knows(&all, PATIENCE)
}
