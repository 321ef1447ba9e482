//! `with-kafka` starts what it has to, stops what it started, and never goes on without a Kafka.
//!
//! What has to do with containers is shown without an engine: a script in the place of `docker` writes down how it was
//! called and ends as told. That shows what `with-kafka` asks of Docker and when, not that a container really runs.

use std::ffi::OsString;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use integration::brokers;
use integration::patience::until_true;
use tempfile::TempDir;

/// How long anything here may take; seconds, where nothing else runs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The exit code when there is no Kafka for the command.
const CANNOT_RUN: Option<i32> = Some(125);

/// A script in the place of `docker`, with an engine that answers and no container yet.
struct ScriptedDocker {
    directory: TempDir,
}

impl ScriptedDocker {
    /// `up` is what the script does for `docker compose up`; it may add lines to the file `$calls`.
    fn new(up: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let script = format!(
            "#!/bin/sh\n\
             [ \"$1 $2\" = 'compose --file' ] && shift 3\n\
             calls='{}'; echo \"$1\" >>\"$calls\"\n\
             case $1 in up) {up} ;; logs) echo 'the container says why' ;; esac\n",
            directory.path().join("calls").display(),
        );
        // Written by a process that is gone before the script runs: a file that is still open for writing can't be run,
        // and a test beside this one may start a process, with all our files, at just that time.
        let written = Command::new("sh")
            .args(["-c", "printf %s \"$1\" >\"$2\" && chmod +x \"$2\"", "write", &script])
            .arg(directory.path().join("docker"))
            .status()?;
        ensure!(written.success(), "cannot write the script: {written}");
        Ok(Self { directory })
    }

    fn with_kafka(&self) -> Result<Command> {
        let mut path = OsString::from(self.directory.path());
        path.push(":");
        path.push(std::env::var_os("PATH").context("PATH is set")?);
        let mut command = with_kafka();
        command.env_remove("KAFKA_BROKERS").env("PATH", path);
        Ok(command)
    }

    /// What it was called for, and what the script of `up` wrote down, one a line.
    fn calls(&self) -> Vec<String> {
        // Before the first call there is no file.
        let calls = fs::read_to_string(self.directory.path().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    fn last_call_is(&self, name: &str) -> Result<bool> {
        Ok(self.calls().last().is_some_and(|call| call == name))
    }
}

fn with_kafka() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_with-kafka"));
    command.stdin(Stdio::null());
    command
}

/// What the command wrote on standard error.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_command_gets_the_given_brokers_and_its_exit_code_is_passed_on() -> Result<()> {
    let brokers = brokers()?;

    let output = with_kafka().args(["sh", "-c", "echo $KAFKA_BROKERS; exit 7"]).output()?;

    ensure!(output.status.code() == Some(7), "{}: {}", output.status, said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), brokers);
    Ok(())
}

#[test]
fn without_any_kafka_it_says_what_to_install_and_runs_nothing() -> Result<()> {
    let nothing_here = tempfile::tempdir()?;

    let output = with_kafka()
        .env_remove("KAFKA_BROKERS")
        .env_remove("JAVA_HOME")
        .env("PATH", nothing_here.path())
        .args(["/bin/sh", "-c", "echo ran"])
        .output()?;

    let said = said(&output);
    assert_eq!(output.status.code(), CANNOT_RUN, "{said}");
    assert!(output.stdout.is_empty(), "the command ran");
    assert!(said.contains("`java` is missing: install") && said.contains("KAFKA_BROKERS"), "{said}");
    Ok(())
}

#[test]
fn a_container_that_does_not_come_up_is_taken_down_and_says_why() -> Result<()> {
    let docker = ScriptedDocker::new("exit 1")?;

    let output = docker.with_kafka()?.args(["sh", "-c", "echo ran"]).output()?;

    let said = said(&output);
    assert_eq!(output.status.code(), CANNOT_RUN, "{said}");
    assert!(output.stdout.is_empty(), "the command ran");
    assert!(said.contains("the container says why") && said.contains("`docker compose up` failed"), "{said}");
    assert_eq!(docker.calls(), ["info", "version", "ps", "up", "logs", "down"]);
    Ok(())
}

#[test]
fn a_container_is_taken_down_when_its_owner_is_killed_while_it_starts() -> Result<()> {
    // As `docker` does for `compose`: it waits for a child that it does not pass signals on to.
    let docker =
        ScriptedDocker::new("trap : TERM; sleep 90 & echo starting >>\"$calls\"; wait; wait; echo ended >>\"$calls\"")?;
    let mut owner = docker.with_kafka()?.arg("true").stderr(Stdio::null()).spawn()?;
    until_true(PATIENCE, "the start of the container", || docker.last_call_is("starting"))?;

    owner.kill()?;
    owner.wait()?;

    until_true(PATIENCE, "the end of the container", || docker.last_call_is("down"))?;
    assert_eq!(docker.calls(), ["info", "version", "ps", "up", "starting", "ended", "down"]);
    Ok(())
}
