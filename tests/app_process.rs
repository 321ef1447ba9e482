//! What a program does with signals before its daemons run, and what its log says of secrets while they do.
//!
//! Each test starts this very test binary again as a child that is one of the programs of [`run_program`].

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use daemonry::app::{App, Setup};
use daemonry::handler::{Router, on};
use daemonry::shutdown::Exit;

const PROGRAM: &str = "DAEMONRY_TEST_PROGRAM";
const CONFIG: &str = "DAEMONRY_TEST_CONFIG";
const CANARY: &str = "c4n4ry";

async fn handle() {}

async fn never(_: Setup) -> anyhow::Result<()> {
    tracing::info!("connecting");
    std::future::pending().await
}

/// The child: a program as a user would write it. Does nothing where it isn't asked to be one.
#[test]
fn run_program() {
    let (Ok(program), Ok(config)) = (std::env::var(PROGRAM), std::env::var(CONFIG)) else { return };
    let app = App::new("shop").consumer("orders", Router::new().topic("orders", on(handle)));
    let app = match program.as_str() {
        "never_connects" => app.state(never),
        _ => app,
    };
    let exit: Exit = app.run_with(["shop", "run", "--config", &config]);
    std::process::exit(exit.code().into());
}

struct Program {
    child: Child,
    _config: tempfile::NamedTempFile,
}

fn start(program: &str, config: &str, variables: &[(&str, &str)]) -> Program {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(&file, format!("admin: {{enabled: false}}\n{config}")).expect("it can be written");
    let child = Command::new(std::env::current_exe().expect("a test binary"))
        .args(["run_program", "--exact", "--nocapture"])
        .env_remove("RUST_LOG")
        .env(PROGRAM, program)
        .env(CONFIG, file.path())
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    Program { child, _config: file }
}

impl Program {
    /// Sends SIGTERM once a line has `text`, and gives the exit code and the whole log.
    fn stop_at(mut self, text: &str) -> (Option<i32>, String) {
        let mut log = BufReader::new(self.child.stderr.take().expect("it is piped"));
        let mut said = String::new();
        while log.read_line(&mut said).expect("the log is text") > 0 {
            if said.lines().last().is_some_and(|line| line.contains(text)) {
                let id = self.child.id().to_string();
                assert!(Command::new("kill").arg(id).status().expect("there is kill").success());
                break;
            }
        }
        while log.read_line(&mut said).expect("the log is text") > 0 {}
        (self.child.wait().expect("it can be waited for").code(), said)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn signal_while_the_state_is_made_ends_the_process_with_0() {
    let config = "kafka: {main: {brokers: \"127.0.0.1:1\", group: shop}}\ndaemons: {orders: {}}";
    let (code, log) = start("never_connects", config, &[]).stop_at("connecting");
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopped before the daemons were started") && !log.contains("daemon starts"), "{log}");
}

#[test]
fn log_of_a_run_shows_no_secret_however_much_is_logged() {
    let secret = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(&secret, CANARY).expect("it can be written");
    let config = format!(
        "\
log: {{format: json, filter: trace}}
stop: {{drain: 1s, grace: 5s}}
kafka:
  main:
    brokers: 127.0.0.1:1
    group: shop
    security: sasl_plaintext
    sasl: {{mechanism: PLAIN, username: shop, password_file: {secret}}}
    properties:
      debug: all
      client.rack: a
daemons: {{orders: {{}}}}
",
        secret = secret.path().display()
    );
    let variables = [("DAEMONRY__DAEMONS__ORDERS__WORKERS", "3")];
    let (code, log) = start("reads", &config, &variables).stop_at("no broker");
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("\"workers\":3") && log.contains("DAEMONRY__DAEMONS__ORDERS__WORKERS"), "{log}");
    let shown: Vec<_> = log.lines().filter(|line| line.contains(CANARY)).collect();
    assert!(shown.is_empty(), "{shown:#?}");
    // librdkafka has said everything it says.
    assert!(log.contains("sasl.password"), "{log}");
}

#[test]
fn variable_that_is_no_text_is_told() {
    use std::os::unix::ffi::OsStrExt;
    let output = Command::new(std::env::current_exe().expect("a test binary"))
        .args(["run_program", "--exact", "--nocapture"])
        .env(PROGRAM, "reads")
        .env(CONFIG, concat!(env!("CARGO_MANIFEST_DIR"), "/config/shop.yaml"))
        .env("DAEMONRY__LOG__FORMAT", std::ffi::OsStr::from_bytes(b"\xff"))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("DAEMONRY__LOG__FORMAT: is no text, allowed: UTF-8"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}
