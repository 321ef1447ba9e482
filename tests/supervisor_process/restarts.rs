//! How a process goes on when a daemon of it fails, and when it doesn't.

use std::time::Instant;

use crate::process::{PATIENCE, Process, assert_one_summary, get};

/// How often the log says that a daemon is restarted.
fn restarts(log: &str) -> usize {
    log.matches("daemon failed, it will be restarted").count()
}

#[test]
fn daemon_that_fails_and_panics_is_restarted_while_the_other_runs() {
    // Each says so when it is ready: the one that never failed does so once.
    let process = Process::start("recovered").running(2);
    process.signal("TERM");
    let (code, log) = process.end();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(restarts(&log), 2, "{log}");
    assert!(log.contains("\"error\":\"no route\"") && log.contains("\"error\":\"panicked: out of luck\""), "{log}");
    assert!(log.contains("one: drained; two: drained"), "{log}");
}

#[test]
fn daemon_that_fails_too_often_ends_the_process_with_4_while_the_other_drains() {
    let (code, log) = Process::start("exhausted").end();
    assert_eq!(code, Some(4), "{log}");
    assert_eq!(restarts(&log), 3, "{log}");
    assert_one_summary(&log, 4);
    assert!(log.contains("one: drained; two: failed: failed again after 3 restarts within 600s: no route"), "{log}");
}

#[test]
fn configuration_that_worked_before_is_tried_again_and_ends_the_process_with_4() {
    let (code, log) = Process::start("misconfigured_later").end();
    assert_eq!(code, Some(4), "{log}");
    assert_eq!(restarts(&log), 3, "{log}");
    assert!(log.contains("two: failed: failed again after 3 restarts") && log.contains("doesn't exist"), "{log}");
}

#[test]
fn daemon_that_waits_for_its_restart_is_shown_and_does_not_hold_a_stop_up() {
    let (mut process, address) = Process::start_with_admin("waiting");
    // The one that fails has failed by the time the other runs, or does so in a moment.
    process.await_line("daemon failed, it will be restarted");
    assert!(get(address, "/livez").starts_with("HTTP/1.1 200 "));
    let ready = get(address, "/readyz");
    let shown = ready.split_once("two: restarting in ").and_then(|(_, rest)| rest.split_once(" s after: no route\n"));
    let seconds: u64 = shown.and_then(|(seconds, _)| seconds.parse().ok()).unwrap_or_else(|| panic!("{ready}"));
    assert!(ready.starts_with("HTTP/1.1 503 ") && seconds <= PATIENCE.as_secs() * 10, "{ready}");
    let metrics = get(address, "/metrics");
    assert!(metrics.contains(r#"daemon_state{daemon_name="two",state="restarting"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"daemon_state{daemon_name="two",state="running"} 0"#), "{metrics}");
    assert!(metrics.contains(r#"daemon_restarts_total{daemon_name="two"} 0"#), "{metrics}");
    let before = Instant::now();
    process.signal("TERM");
    let (code, log) = process.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(before.elapsed() < PATIENCE, "it took {:?}", before.elapsed());
    assert!(log.contains("one: drained; two: stopped before its restart after: no route"), "{log}");
}

#[test]
fn daemon_that_can_not_be_made_ends_the_process_with_4() {
    let (code, log) = Process::start("not_made").end();
    assert_eq!(code, Some(4), "{log}");
    assert!(
        log.contains("daemon number 2, in the order they were added, panicked while it was made: no memory"),
        "{log}"
    );
    assert!(!log.contains("daemon starts"), "{log}");
}

#[test]
fn restart_policy_without_a_reachable_limit_ends_the_process_with_2() {
    let (code, log) = Process::start("never_exhausted").end();
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("50 restarts never come within the window"), "{log}");
}
