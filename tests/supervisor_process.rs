//! How a supervised process ends: its exit code, and in time.
//!
//! Each test starts this very test binary again as a child that runs one scenario of [`run_scenario`], sends it signals once it
//! reports that it runs, and looks at its exit code.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use daemonry::daemon::{Daemon, DaemonContext, DaemonError, Ended};
use daemonry::supervisor::Supervisor;
use daemonry::telemetry::{self, LogFormat};

const SCENARIO: &str = "DAEMONRY_TEST_SCENARIO";
const ADDRESS: &str = "DAEMONRY_TEST_ADDRESS";

/// Longer than any scenario takes, on a busy machine too, and shorter than the default drain.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a fake daemon does.
#[derive(Clone, Copy)]
enum Behaviour {
    /// Drains when it is told to stop.
    Drains,
    /// Ends by itself.
    Ends,
    /// Leaves work unfinished when it is told to stop.
    LeavesWork,
    /// Finds its configuration wrong.
    Misconfigured,
    /// Fails.
    Fails,
    /// Panics.
    Panics,
    /// Never ends, and yields.
    Hangs,
    /// Blocks every thread of the runtime for ever.
    Blocks,
    /// Never ends, and logs until the log is stuck.
    Floods,
    /// Drains, but leaves a blocked thread behind.
    LeavesThread,
}

struct Fake {
    name: &'static str,
    behaviour: Behaviour,
}

#[async_trait]
impl Daemon for Fake {
    fn name(&self) -> &str {
        self.name
    }

    async fn run(self: Box<Self>, context: DaemonContext) -> Result<Ended, DaemonError> {
        context.health().ready();
        context.health().heartbeat();
        let name = self.name;
        let runs = || tracing::info!(daemon = name, "fake runs");
        match self.behaviour {
            Behaviour::Drains => {
                runs();
                context.stopped().await;
            }
            Behaviour::Ends => {}
            Behaviour::LeavesWork => {
                runs();
                context.stopped().await;
                return Ok(Ended::Unfinished { work: 3 });
            }
            Behaviour::Misconfigured => return Err(DaemonError::config("topic `created` doesn't exist, create it")),
            Behaviour::Fails => return Err(DaemonError::failed("fenced")),
            Behaviour::Panics => panic!("out of luck"),
            Behaviour::Hangs => {
                runs();
                std::future::pending::<()>().await;
            }
            Behaviour::Blocks => {
                // More than there are threads; the ones that get one don't give it back.
                let mut blocked = tokio::task::JoinSet::new();
                for _ in 0..64 {
                    blocked.spawn(async { park_for_ever() });
                }
                runs();
                park_for_ever();
            }
            Behaviour::Floods => {
                runs();
                loop {
                    tracing::info!(daemon = name, "one line of many");
                }
            }
            Behaviour::LeavesThread => {
                let blocked = tokio::task::spawn_blocking(park_for_ever);
                runs();
                context.stopped().await;
                drop(blocked);
            }
        }
        Ok(Ended::Drained)
    }
}

fn park_for_ever() {
    loop {
        std::thread::park();
    }
}

/// The child: a program as a user would write it. Does nothing where it isn't asked to be one.
#[test]
fn run_scenario() {
    let Ok(scenario) = std::env::var(SCENARIO) else { return };
    telemetry::init(LogFormat::Json).expect("logging is set up once");
    let supervisor = Supervisor::new().drain(Duration::from_millis(300)).grace(Duration::from_millis(200));
    let fake = |name, behaviour| move || Fake { name, behaviour };
    let long = PATIENCE * 10;
    let supervisor = match scenario.as_str() {
        "listening_already" => {
            supervisor.shutdown().listen_to_signals().expect("signals can be received");
            supervisor.daemon(fake("one", Behaviour::Drains))
        }
        "drained" => supervisor.daemon(fake("one", Behaviour::Drains)).daemon(fake("two", Behaviour::Drains)),
        "ended" => supervisor.daemon(fake("one", Behaviour::Ends)).daemon(fake("two", Behaviour::Ends)),
        "ended_and_running" => supervisor.daemon(fake("one", Behaviour::Ends)).daemon(fake("two", Behaviour::Drains)),
        "requested" => {
            supervisor.shutdown().request();
            supervisor.daemon(fake("one", Behaviour::Drains))
        }
        "unfinished" => supervisor.daemon(fake("one", Behaviour::LeavesWork)).daemon(fake("two", Behaviour::Drains)),
        "misconfigured" => {
            supervisor.daemon(fake("one", Behaviour::Drains)).daemon(fake("two", Behaviour::Misconfigured))
        }
        "same_name" => supervisor.daemon(fake("one", Behaviour::Drains)).daemon(fake("one", Behaviour::Drains)),
        "none" => supervisor,
        "failed" => supervisor.daemon(fake("one", Behaviour::Drains)).daemon(fake("two", Behaviour::Fails)),
        "failed_and_hanging" => supervisor.daemon(fake("one", Behaviour::Hangs)).daemon(fake("two", Behaviour::Fails)),
        "panicked" => supervisor.daemon(fake("one", Behaviour::Drains)).daemon(fake("two", Behaviour::Panics)),
        "hanging" => supervisor.daemon(fake("one", Behaviour::Hangs)).daemon(fake("two", Behaviour::Drains)),
        "blocked" => supervisor.daemon(fake("one", Behaviour::Blocks)),
        "thread_left" => supervisor.daemon(fake("one", Behaviour::LeavesThread)),
        "hanging_for_long" => supervisor.drain(long).daemon(fake("one", Behaviour::Hangs)),
        "blocked_for_long" => supervisor.drain(long).daemon(fake("one", Behaviour::Blocks)),
        "flooding_for_long" => supervisor.drain(long).daemon(fake("one", Behaviour::Floods)),
        "admin" => supervisor.daemon(fake("one", Behaviour::Blocks)),
        other => panic!("no scenario `{other}`"),
    };
    let supervisor = match std::env::var(ADDRESS) {
        Ok(address) => supervisor.admin(address.parse().expect("an address")),
        Err(_) => supervisor,
    };
    std::process::exit(i32::from(supervisor.run().code()))
}

/// A child process. Killed where a test ends before it.
struct Process {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    lines: Vec<String>,
}

impl Process {
    fn start(scenario: &str) -> Self {
        Self::start_with(scenario, None)
    }

    fn start_with(scenario: &str, address: Option<SocketAddr>) -> Self {
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
    fn await_line(&mut self, text: &str) -> String {
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

    /// Waits until all its fake daemons run.
    fn running(mut self, daemons: usize) -> Self {
        for _ in 0..daemons {
            self.await_line("fake runs");
        }
        self
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status =
            Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id]).status().expect("a shell starts");
        assert!(status.success(), "the process is there");
    }

    /// Reads the log to its end, waits for the process, and gives its exit code and log.
    fn end(mut self) -> (Option<i32>, String) {
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

fn assert_one_summary(log: &str, exit_code: i32) {
    let summaries: Vec<_> = log.lines().filter(|line| line.contains("process ends")).collect();
    assert_eq!(summaries.len(), 1, "one summary in:\n{log}");
    assert!(summaries[0].contains(&format!("\"exit_code\":{exit_code}")), "{}", summaries[0]);
}

#[test]
fn drained_daemons_end_the_process_with_0_on_either_signal() {
    for signal in ["TERM", "INT"] {
        let process = Process::start("drained").running(2);
        process.signal(signal);
        let (code, log) = process.end();
        assert_eq!(code, Some(0), "{log}");
        assert_one_summary(&log, 0);
        assert!(log.contains(&format!("\"signal\":\"SIG{signal}\"")), "{log}");
        assert!(log.contains("one: drained; two: drained"), "{log}");
    }
}

#[test]
fn process_ends_with_0_when_all_daemons_ended_by_themselves() {
    let (code, log) = Process::start("ended").end();
    assert_eq!(code, Some(0), "{log}");
    assert_one_summary(&log, 0);
}

#[test]
fn daemon_that_ended_by_itself_leaves_the_others_running() {
    let mut process = Process::start("ended_and_running");
    process.await_line("daemon ended");
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn signal_that_is_listened_to_twice_counts_once() {
    let process = Process::start("listening_already").running(1);
    process.signal("TERM");
    let (code, log) = process.end();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn stop_asked_for_before_the_start_drains_too() {
    assert_eq!(Process::start("requested").end().0, Some(0));
}

#[test]
fn unfinished_work_ends_the_process_with_3() {
    let process = Process::start("unfinished").running(2);
    process.signal("TERM");
    let (code, log) = process.end();
    assert_eq!(code, Some(3), "{log}");
    assert_one_summary(&log, 3);
    assert!(log.contains("one: 3 unfinished; two: drained"), "{log}");
}

#[test]
fn wrong_configuration_of_a_daemon_ends_the_process_with_2() {
    let (code, log) = Process::start("misconfigured").end();
    assert_eq!(code, Some(2), "{log}");
    assert_one_summary(&log, 2);
    assert!(log.contains("one: drained; two: misconfigured: topic `created` doesn't exist, create it"), "{log}");
}

#[test]
fn two_daemons_of_one_name_end_the_process_with_2() {
    let (code, log) = Process::start("same_name").end();
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("two daemons are named `one`"), "{log}");
}

#[test]
fn process_without_a_daemon_ends_with_2() {
    assert_eq!(Process::start("none").end().0, Some(2));
}

#[test]
fn admin_address_in_use_ends_the_process_with_2() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = taken.local_addr().expect("it is bound");
    let (code, log) = Process::start_with("drained", Some(address)).end();
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains(&format!("can't listen on {address}")), "{log}");
}

#[test]
fn failed_daemon_ends_the_process_with_4_while_the_other_drains() {
    let (code, log) = Process::start("failed").end();
    assert_eq!(code, Some(4), "{log}");
    assert_one_summary(&log, 4);
    assert!(log.contains("one: drained; two: failed: fenced"), "{log}");
}

#[test]
fn failure_is_still_the_cause_when_the_other_hangs_until_the_deadline() {
    let (code, log) = Process::start("failed_and_hanging").end();
    assert_eq!(code, Some(4), "{log}");
    assert!(log.contains("one: still running; two: failed: fenced"), "{log}");
}

#[test]
fn panicking_daemon_ends_the_process_with_4_while_the_other_drains() {
    let (code, log) = Process::start("panicked").end();
    assert_eq!(code, Some(4), "{log}");
    assert!(log.contains("one: drained; two: failed: panicked: out of luck"), "{log}");
}

#[test]
fn hanging_daemon_ends_the_process_with_3_at_the_deadline() {
    let process = Process::start("hanging").running(2);
    let before = Instant::now();
    process.signal("TERM");
    let (code, log) = process.end();
    assert_eq!(code, Some(3), "{log}");
    assert!(before.elapsed() >= Duration::from_millis(500), "it has its drain and grace");
    assert_one_summary(&log, 3);
    assert!(log.contains("one: still running; two: drained"), "{log}");
}

#[test]
fn blocked_runtime_ends_with_3_at_the_deadline() {
    let process = Process::start("blocked").running(1);
    process.signal("TERM");
    let (code, log) = process.end();
    assert_eq!(code, Some(3), "{log}");
    assert_one_summary(&log, 3);
}

#[test]
fn thread_that_is_left_blocked_does_not_hold_the_end_up() {
    let process = Process::start("thread_left").running(1);
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn second_signal_ends_the_process_at_once_with_its_own_code() {
    for scenario in ["hanging_for_long", "blocked_for_long"] {
        for (second, expected) in [("INT", 130), ("TERM", 143)] {
            let mut process = Process::start(scenario).running(1);
            process.signal("TERM");
            process.await_line("signal received");
            process.signal(second);
            let (code, log) = process.end();
            assert_eq!(code, Some(expected), "{scenario}: {log}");
            assert!(log.contains("second signal"), "{log}");
        }
    }
}

#[test]
fn second_signal_ends_a_process_whose_log_nobody_reads() {
    let mut process = Process::start("flooding_for_long").running(1);
    process.signal("TERM");
    process.signal("INT");
    // Without reading: the pipe is full, and whoever logs is blocked. Which of the two comes second is the system's choice.
    let code = process.child.wait().expect("the process can be waited for").code();
    assert!(matches!(code, Some(130 | 143)), "{code:?}");
}

#[test]
fn probes_answer_while_every_thread_of_the_main_runtime_is_blocked() {
    let mut process = Process::start_with("admin", Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
    let line = process.await_line("admin server listens");
    let line: serde_json::Value = serde_json::from_str(&line).expect("the log is JSON");
    let address: SocketAddr = line["address"].as_str().and_then(|address| address.parse().ok()).expect("an address");
    let process = process.running(1);
    assert!(get(address, "/livez").starts_with("HTTP/1.1 200 "));
    assert!(get(address, "/readyz").starts_with("HTTP/1.1 200 "));
    assert!(
        get(address, "/metrics").contains(r#"daemon_messages_processed_total{daemon_name="one",status="success"} 0"#)
    );
    process.signal("TERM");
    assert_eq!(process.end().0, Some(3));
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\n\r\n").expect("the server reads");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("the server answers and closes");
    response
}
