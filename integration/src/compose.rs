//! Kafka in the container of `docker-compose.yml`, for machines with a Docker engine.
//!
//! The invariant is the one of [`Broker`](crate::Broker): what was started doesn't outlive its owner, not even one that
//! is killed with -9 while it waits for the start. A shell holds the read end of a pipe; when our end closes, it ends
//! `docker compose up` if that still runs, and takes down whatever came of it.

use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::address::answers;

/// How long a container that is up may take to answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// Starts the service of the file `$1`, says on standard output with which status that ended, and takes it down at the
/// end of standard input. SIGTERM goes to the whole process group, because `docker` does not pass it on to `compose`;
/// the shells stay, to wait for what it ends. The data goes, so nothing is gained by letting the broker end in peace.
const KEEPER: &str = r#"
trap : TERM
exec 3<&0
{
  trap : TERM
  docker compose --file "$1" up --detach --wait kafka </dev/null >&2 3<&-
  echo "$?"
} &
while read -r _; do :; done <&3
kill -s TERM 0
wait
exec docker compose --file "$1" down --volumes --timeout 0 >/dev/null 2>&1 </dev/null
"#;

/// A container that is ours. Dropping it takes it down, with its volumes.
#[derive(Debug)]
pub struct Compose {
    keeper: Child,
    // Taken only to close it.
    pipe: Option<ChildStdin>,
}

impl Compose {
    /// The address that `docker-compose.yml` publishes.
    pub const BROKERS: &str = "127.0.0.1:9092";

    /// Whether there is an engine that answers, and a `docker` that knows `compose`.
    pub fn available() -> bool {
        let succeeds = |command: &mut Command| {
            let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            quiet.status().is_ok_and(|status| status.success())
        };
        succeeds(Command::new("docker").arg("info")) && succeeds(&mut compose(&["version"]))
    }

    /// Whether the container runs already, so that it is somebody else's.
    ///
    /// # Errors
    /// When the engine can't be asked, or the container that runs doesn't answer within a minute.
    pub fn is_up() -> Result<bool> {
        let listed =
            compose(&["ps", "--quiet", "--status", "running", "kafka"]).output().context("cannot run docker")?;
        if !listed.status.success() || listed.stdout.is_empty() {
            return Ok(false);
        }
        answers(Self::BROKERS, ANSWER_DEADLINE)
            .context("the container that runs already does not answer: take it down with `docker compose down`")?;
        Ok(true)
    }

    /// Starts the container and waits until it is healthy and answers.
    ///
    /// # Errors
    /// When it doesn't come up; what `docker compose` and the container said is on standard error then, and what did
    /// come up has been taken down.
    pub fn up() -> Result<Self> {
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "compose-keeper"])
            .arg(file())
            // A group of its own: a Ctrl-C at the terminal is for the tests, and the keeper outlives it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run sh")?;
        let pipe = keeper.stdin.take();
        let said = keeper.stdout.take().map(BufReader::new).context("the keeper's output is a pipe")?;
        let container = Self { keeper, pipe };

        let status = said.lines().next().transpose()?.context("the keeper of the container was ended")?;
        if status != "0" {
            // Only the engine knows why the container ended, and `down` removes that with it. Without a container
            // there is no log, and what `up` said is all.
            drop(compose(&["logs", "--no-color", "--tail", "40", "kafka"]).stdout(io::stderr()).status());
            bail!(
                "`docker compose up` failed (exit status {status}), see above; with a Kafka at hand, set KAFKA_BROKERS"
            );
        }
        answers(Self::BROKERS, ANSWER_DEADLINE).context("the container is up but does not answer")?;
        Ok(container)
    }

    /// Takes the container down, with its volumes.
    ///
    /// # Errors
    /// When that fails and the container may still run.
    pub fn down(mut self) -> Result<()> {
        let status = self.end().context("cannot wait for `docker compose down`")?;
        ensure!(status.success(), "`docker compose down` failed ({status}): the container may still run");
        Ok(())
    }

    fn end(&mut self) -> io::Result<ExitStatus> {
        self.pipe = None;
        self.keeper.wait()
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        // There is nobody to tell of a failure.
        drop(self.end());
    }
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker-compose.yml")
}

fn compose(arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.arg("compose").arg("--file").arg(file()).args(arguments).stdin(Stdio::null());
    command
}
