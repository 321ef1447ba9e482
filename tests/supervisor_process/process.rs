//! A child process that runs a scenario, as its tests see it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::{ADDRESS, SCENARIO};

/// Longer than any scenario takes, on a busy machine too, and shorter than the default drain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A child process. Killed where a test ends before it.
pub(crate) struct Process {
    pub(crate) child: Child,
    log: BufReader<std::process::ChildStderr>,
    lines: Vec<String>,
}

impl Process {
    pub(crate) fn start(scenario: &str) -> Self {
        Self::start_with(scenario, None)
    }

    pub(crate) fn start_with(scenario: &str, address: Option<SocketAddr>) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("the test binary has a path"));
        command.args(["--exact", "run_scenario", "--nocapture"]).env(SCENARIO, scenario).env("RUST_LOG", "info");
        if let Some(address) = address {
            command.env(ADDRESS, address.to_string());
        }
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the test binary starts");
        let log = BufReader::new(child.stderr.take().expect("it is piped"));
        Self { child, log, lines: Vec::new() }
    }

    /// Waits for a log line that contains `text`, and gives it.
    pub(crate) fn await_line(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.log.read_line(&mut line).expect("the log is text");
            assert!(read > 0, "process ended without a line that contains `{text}`:\n{}", self.lines.concat());
            self.lines.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// One with an admin server, and the server's address.
    pub(crate) fn start_with_admin(scenario: &str) -> (Self, SocketAddr) {
        let mut process = Self::start_with(scenario, Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
        let line = process.await_line("admin server listens");
        let line: serde_json::Value = serde_json::from_str(&line).expect("the log is JSON");
        let address = line["address"].as_str().and_then(|address| address.parse().ok()).expect("an address");
        (process, address)
    }

    /// Waits until all its fake daemons run.
    pub(crate) fn running(mut self, daemons: usize) -> Self {
        for _ in 0..daemons {
            self.await_line("fake runs");
        }
        self
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status =
            Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id]).status().expect("a shell starts");
        assert!(status.success(), "the process is there");
    }

    /// Reads the log to its end, waits for the process, and gives its exit code and log.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let start = Instant::now();
        let mut rest = String::new();
        // The log ends with the process.
        self.log.read_to_string(&mut rest).expect("the log is text");
        self.lines.push(rest);
        let status: ExitStatus = self.child.wait().expect("the process can be waited for");
        assert!(start.elapsed() < PATIENCE, "the process took {:?} to end", start.elapsed());
        (status.code(), self.lines.concat())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn assert_one_summary(log: &str, exit_code: i32) {
    let summaries: Vec<_> = log.lines().filter(|line| line.contains("process ends")).collect();
    assert_eq!(summaries.len(), 1, "one summary in:\n{log}");
    assert!(summaries[0].contains(&format!("\"exit_code\":{exit_code}")), "{}", summaries[0]);
}

pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\n\r\n").expect("the server reads");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("the server answers and closes");
    response
}
