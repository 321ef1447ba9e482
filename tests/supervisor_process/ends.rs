//! How a process ends that is told to, or whose daemons do: its exit code, and in time.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use crate::process::{Process, assert_one_summary, get};

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
    let (process, address) = Process::start_with_admin("admin");
    let process = process.running(1);
    assert!(get(address, "/livez").starts_with("HTTP/1.1 200 "));
    assert!(get(address, "/readyz").starts_with("HTTP/1.1 200 "));
    assert!(
        get(address, "/metrics").contains(r#"daemon_messages_processed_total{daemon_name="one",status="success"} 0"#)
    );
    process.signal("TERM");
    assert_eq!(process.end().0, Some(3));
}
