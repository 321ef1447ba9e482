//! The operator's commands against a program that runs: the demo, which serves its API.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The demo, killed when it is dropped.
struct Demo {
    child: Child,
    api: String,
}

impl Demo {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handlers"));
        for name in ["KAFKA_BROKERS", "KAFKA_GROUP", "RUST_LOG", "DAEMONRY_TOKEN"] {
            command.env_remove(name);
        }
        command.env("ADMIN_ADDRESS", "127.0.0.1:0").env("API_ADDRESS", "127.0.0.1:0").args(["demo", "--for", "120s"]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
        let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let mut lines = lines.map(|line| line.expect("it is text"));
        let api =
            lines.find_map(|line| Some(line.split_once("--api ")?.1.to_owned())).expect("it says where its API is");
        // Read on, so that it is never held up.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, api }
    }

    /// Exit code, standard output, standard error.
    fn ask(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handlers"));
        command.args(arguments).args(["--api", &self.api]).env_remove("DAEMONRY_TOKEN").stdin(Stdio::null());
        let Output { status, stdout, stderr } = command.output().expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("it is text");
        (status.code(), text(stdout), text(stderr))
    }

    fn rows(&self, arguments: &[&str]) -> Vec<Value> {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--output", "ndjson"]).collect();
        let (code, answer, errors) = self.ask(&arguments);
        assert_eq!(code, Some(0), "{errors}");
        answer.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
    }

    /// Asks until the rows are as they are to be.
    fn until(&self, arguments: &[&str], done: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let rows = self.rows(arguments);
            if done(&rows) {
                return rows;
            }
            assert!(Instant::now() < deadline, "{arguments:?}: {rows:#?}");
            // What is shown is a second old, and whoever asks more often than that is made to wait.
            std::thread::park_timeout(Duration::from_millis(200));
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn daemons_of_a_running_program_are_shown_and_steered() {
    let demo = Demo::start();
    let is_busy = |rows: &[Value]| rows.iter().any(|row| row["consumer"]["counts"]["succeeded"].as_u64() > Some(20));
    let daemons = demo.until(&["ps"], is_busy);
    assert_eq!(
        daemons.iter().map(|row| row["name"].as_str()).collect::<Vec<_>>(),
        [Some("orders"), Some("shipments"), Some("samples")]
    );
    demo.until(&["ps", "orders"], |rows| rows.len() == 4 && rows.iter().all(|row| row["committed"].as_i64() > Some(0)));

    let place = "orders.created:1";
    demo.rows(&["pause", "orders", place, "--reason", "to see it"]);
    let paused = demo.until(&["ps", "orders"], |rows| rows[0]["held"] == "paused");
    assert_eq!((&paused[0]["topic"], &paused[0]["partition"]), (&Value::from("orders.created"), &Value::from(1)));
    let rate = demo.rows(&["rate", "orders", "50/s", "--key", "5/s", "--reason", "slowly"]);
    assert_eq!(rate[0]["rate"], "50/1s");
    let resumed = demo.rows(&["resume", "orders", "--reason", "seen"]);
    assert_eq!(resumed[0]["paused"], Value::Array(Vec::new()));
    demo.until(&["ps", "orders"], |rows| rows.iter().all(|row| row["held"].is_null()));

    demo.until(&["ps", "orders", "--errors"], |rows| rows.iter().any(|row| row["reason"] == "poison"));
    let (code, answer, errors) = demo.ask(&["seek", "orders", place, "beginning", "--reason", "again"]);
    assert_eq!((code, answer.as_str()), (Some(4), ""), "nobody was there to be asked");
    assert!(errors.contains("say `--yes`"), "{errors}");
    let sought = demo.rows(&["seek", "orders", place, "beginning", "--reason", "again", "--yes"]);
    assert_eq!(sought[0]["next"], 0);
    let (code, _, errors) = demo.ask(&["seek", "orders", place, "999999999", "--reason", "too far", "--yes"]);
    assert!(code == Some(2) && errors.contains("its records are those from 0"), "{code:?} {errors}");
}

#[test]
fn what_is_not_there_is_told() {
    let demo = Demo::start();
    let (code, _, errors) = demo.ask(&["ps", "nobody"]);
    assert_eq!(
        (code, errors.as_str()),
        (Some(4), "error: there is no daemon `nobody` here, there are: orders, shipments, samples\n")
    );
    let (code, answer, errors) = demo.ask(&["ps"]);
    assert!(code == Some(0) && errors.is_empty() && answer.starts_with("DAEMON "), "{answer}");
    let elsewhere = Command::new(env!("CARGO_BIN_EXE_handlers")).args(["ps", "--api", "http://127.0.0.1:1"]).output();
    let elsewhere = elsewhere.expect("it runs");
    assert_eq!(elsewhere.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&elsewhere.stderr).contains("does the program run there"));
}
