//! The demo as a visitor runs it: what it shows, and how it ends.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handlers"));
    for name in ["KAFKA_BROKERS", "KAFKA_GROUP", "RUST_LOG", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command
        .env("ADMIN_ADDRESS", "127.0.0.1:0")
        .env("API_ADDRESS", "127.0.0.1:0")
        .env("TERM", "xterm")
        .stdin(Stdio::null());
    command.arg("demo").args(arguments);
    command
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(sent.expect("there is kill").success());
}

/// The numbers of the summary's row of this topic: written, committed, handled, skipped, dead letters, left.
fn row(summary: &str, topic: &str) -> Vec<u64> {
    let row = summary.lines().find(|line| line.split_whitespace().next() == Some(topic));
    let row = row.unwrap_or_else(|| panic!("no row of {topic} in\n{summary}"));
    let numbers = row.split_whitespace().skip(1).filter(|word| !["=", "+"].contains(word));
    numbers.map(|word| word.replace(',', "").parse().expect("a number")).collect()
}

/// Checks the summary by its own numbers, and that there was something to count.
fn agrees(summary: &str) {
    assert!(summary.ends_with("Brokers and daemons agree.\n"), "{summary}");
    for topic in ["orders.created", "shipments.requested"] {
        let row = row(summary, topic);
        let [written, committed, handled, skipped, dead_lettered, left] = row[..] else { panic!("{row:?}") };
        assert_eq!(committed, handled + skipped + dead_lettered, "{summary}");
        assert_eq!(written, committed + left, "{summary}");
        assert_eq!(row_of_letters(summary, topic), dead_lettered, "{summary}");
        assert!(handled > 0, "{summary}");
    }
}

fn row_of_letters(summary: &str, topic: &str) -> u64 {
    row(summary, &format!("{topic}.dlq"))[0]
}

#[test]
fn demo_ends_after_its_time_with_a_summary_that_agrees_and_plain_lines() {
    let begun = Instant::now();
    let Output { status, stdout, stderr } = demo(&["--for", "5s"]).output().expect("it runs");
    assert!(begun.elapsed() >= Duration::from_secs(5));
    let [summary, log] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).expect("it is text"));
    assert_eq!(status.code(), Some(0), "{log}");
    agrees(&summary);
    assert!(!format!("{summary}{log}").contains('\x1b'), "{log}");
    assert!(log.contains("Kafka in this process, 127.0.0.1:"), "{log}");
    assert!(log.lines().any(|line| line.starts_with("0:0") && line.contains(" orders running: ")), "{log}");
    let orders = row(&summary, "orders.created");
    assert!(orders[3] > 0 && orders[4] > 0, "an order was withdrawn and one was poison: {summary}");
}

/// The bound is of the machine that the demo is made for; here others may build meanwhile.
#[test]
fn first_record_is_handled_within_seconds_of_the_start_and_a_signal_ends_it_drained() {
    let begun = Instant::now();
    let mut child = demo(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut log = BufReader::new(child.stderr.take().expect("it is piped")).lines().map(|line| line.expect("text"));
    let at = log.find_map(|line| Some(line.split_once("http://")?.1.split('/').next()?.to_owned()));
    let address = at.expect("it says where its metrics are");
    let rest = thread::spawn(move || log.for_each(drop));
    while !handled(&address) {
        assert!(begun.elapsed() < Duration::from_secs(20), "no record was handled");
        thread::yield_now();
    }
    signal(&child, "INT");
    let mut summary = String::new();
    child.stdout.take().expect("it is piped").read_to_string(&mut summary).expect("it is text");
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "{summary}");
    rest.join().expect("the log is read");
    assert!(summary.ends_with("Brokers and daemons agree.\n"), "{summary}");
    let first = summary.split_once("The first record was handled ").and_then(|(_, rest)| rest.split(' ').next());
    let first: f64 = first.expect("it is told").parse().expect("a number");
    assert!(first <= 3.0, "{summary}");
}

#[test]
fn demo_says_where_its_pages_are_and_leaves_enough_to_look_at() {
    let begun = Instant::now();
    let mut child = demo(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut log = BufReader::new(child.stderr.take().expect("it is piped")).lines().map(|line| line.expect("text"));
    let at = log.find_map(|line| {
        let (_, rest) = line.split_once("what the daemons are at: http://")?;
        Some(rest.split(',').next()?.to_owned())
    });
    let address = at.expect("it says where its pages are");
    let rest = thread::spawn(move || log.for_each(drop));
    let origin = "/topics/orders.created/";
    for (page, texts) in [
        ("/", &["href=\"/daemons/orders\"", "href=\"/daemons/shipments\""][..]),
        ("/daemons/orders", &["Partitions (4)", origin]),
        ("/errors", &["costs nothing", "the payment provider is busy", origin]),
        ("/daemons/orders/letters/orders.created.dlq", &["letters wait", "poison"]),
        ("/topics/orders.created/0", &["records shown", "customer"]),
        ("/fleet", &["assigned"]),
    ] {
        while texts.iter().any(|text| !asked(&address, page).contains(text)) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{page}: {}", asked(&address, page));
            thread::park_timeout(Duration::from_millis(200));
        }
    }
    signal(&child, "INT");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    rest.join().expect("the log is read");
}

/// What is answered to this question; nothing where nobody answers.
fn asked(address: &str, path: &str) -> String {
    use std::io::Write;
    let mut answer = String::new();
    let asked = TcpStream::connect(address).and_then(|mut stream| {
        write!(stream, "GET {path} HTTP/1.0\r\nhost: localhost\r\naccept: text/html\r\n\r\n")?;
        stream.read_to_string(&mut answer)
    });
    if asked.is_ok() { answer } else { String::new() }
}

/// Whether the metrics at this address count an order.
fn handled(address: &str) -> bool {
    let answer = asked(address, "/metrics");
    let series = r#"daemon_messages_processed_total{daemon_name="orders",status="success"} "#;
    answer.lines().filter_map(|line| line.strip_prefix(series)).any(|count| count != "0")
}

/// A terminal of this size: our side of it, and the program's.
fn terminal(rows: u16, columns: u16) -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).expect("it is ours");
    unlockpt(&ours).expect("it is ours");
    let name = ptsname(&ours, Vec::new()).expect("it has a name").into_string().expect("a path that is text");
    let theirs = File::options().read(true).write(true).open(name).expect("it can be opened");
    tcsetwinsize(&theirs, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
        .expect("it has a size");
    (File::from(ours), theirs)
}

/// Runs the demo with standard error on a terminal, and sends it these signals once it runs; answers its exit code, its summary, and all
/// that the terminal got.
fn on_a_terminal(columns: u16, mut command: Command, signals: &[&str]) -> (Option<i32>, String, String) {
    let (mut ours, theirs) = terminal(30, columns);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::from(theirs)).spawn().expect("it runs");
    // The last handle of the program's side but the program's own, so that its end is the terminal's.
    drop(command);
    let (mut shown, mut bytes, mut signals) = (Vec::new(), [0; 4096], signals);
    while let Ok(count @ 1..) = ours.read(&mut bytes) {
        shown.extend_from_slice(&bytes[..count]);
        if String::from_utf8_lossy(&shown).contains("running") {
            std::mem::take(&mut signals).iter().for_each(|name| signal(&child, name));
        }
    }
    let mut summary = String::new();
    child.stdout.take().expect("it is piped").read_to_string(&mut summary).expect("it is text");
    let code = child.wait().expect("it ends").code();
    (code, summary, String::from_utf8(shown).expect("it is text"))
}

/// What a terminal shows after these bytes, the lines that have scrolled away too, and where the cursor stands. Knows what the demo
/// may send and nothing else; colours have no place.
fn rendered(bytes: &str, columns: usize) -> (Vec<String>, (usize, usize)) {
    let (mut lines, mut row, mut column) = (vec![String::new()], 0_usize, 0_usize);
    let mut chars = bytes.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\x1b' => {
                assert_eq!(chars.next(), Some('['), "an escape that is none of a block's");
                let mut number = String::new();
                let last = loop {
                    match chars.next().expect("it ends") {
                        digit @ ('0'..='9' | ';') => number.push(digit),
                        last => break last,
                    }
                };
                match last {
                    'A' => row -= number.parse::<usize>().expect("so many rows"),
                    'J' => {
                        lines.truncate(row + 1);
                        lines[row] = lines[row].chars().take(column).collect();
                    }
                    'm' => {}
                    other => panic!("a block is drawn without `{other}`"),
                }
            }
            '\r' => column = 0,
            '\n' => {
                row += 1;
                if lines.len() == row {
                    lines.push(String::new());
                }
            }
            char => {
                let line = &mut lines[row];
                *line = line.chars().take(column).chain([char]).collect();
                column += 1;
                assert!(column <= columns, "a line is wider than the terminal: {line}");
            }
        }
    }
    (lines, (row, column))
}

#[test]
fn on_a_terminal_one_block_is_drawn_in_place_and_the_cursor_ends_below_it() {
    for columns in [120_u16, 60] {
        let (code, summary, shown) = on_a_terminal(columns, demo(&["--for", "4s"]), &[]);
        assert_eq!(code, Some(0), "{shown}");
        agrees(&summary);
        assert!(shown.matches("daemonry demo").count() > 8, "it is drawn again and again: {shown}");
        assert!(shown.contains("\x1b[32mrunning"), "{shown}");
        let (lines, (row, column)) = rendered(&shown, usize::from(columns));
        assert_eq!(lines.iter().filter(|line| line.contains("daemonry demo")).count(), 1, "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("orders: daemon starts")), "{lines:#?}");
        let block = lines.iter().position(|line| line.contains("daemonry demo")).expect("it is there");
        let (orders, samples) = (&lines[block + 4], &lines[block + 6]);
        assert!(orders.starts_with("orders     drained") && samples.starts_with("samples    drained"), "{lines:#?}");
        assert_eq!((row, column), (block + 7, 0), "{lines:#?}");
    }
}

#[test]
fn a_second_signal_leaves_the_terminal_as_well_set_as_the_end_does() {
    // Held up meanwhile, so that it hears both before it can end.
    let (code, _, shown) = on_a_terminal(100, demo(&[]), &["STOP", "INT", "TERM", "CONT"]);
    assert!([Some(130), Some(143)].contains(&code), "{code:?}: {shown}");
    let (lines, (row, column)) = rendered(&shown, 100);
    assert_eq!((lines[row].as_str(), column), ("", 0), "{lines:#?}");
}

#[test]
fn nothing_is_coloured_where_no_colour_is_wanted() {
    let mut command = demo(&["--for", "1s"]);
    command.env("NO_COLOR", "1");
    let (code, _, shown) = on_a_terminal(100, command, &[]);
    assert_eq!(code, Some(0), "{shown:?}");
    assert!(shown.contains("daemonry demo") && !shown.contains("\x1b[32m") && !shown.contains("\x1b[2m"), "{shown}");
}

#[test]
fn a_time_that_is_none_ends_with_2() {
    let Output { status, stderr, .. } = demo(&["--for", "soon"]).output().expect("it runs");
    assert_eq!(status.code(), Some(2));
    let errors = String::from_utf8(stderr).expect("it is text");
    assert!(errors.starts_with("handlers: --for: expected"), "{errors}");
}

/// Runs a command in the foreground of a terminal of its own, as `make demo` does; answers its exit code.
fn in_the_foreground(script: &str) -> Option<i32> {
    let (_ours, theirs) = terminal(30, 80);
    let mut command = Command::new("setsid");
    command.args([
        "--ctty",
        "--wait",
        "bash",
        concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/foreground.sh"),
        "sh",
        "-c",
    ]);
    command.arg(script).stdin(theirs).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().expect("there is setsid").code()
}

#[test]
fn what_runs_in_the_foreground_keeps_its_exit_code_however_soon_it_ends() {
    for _ in 0..20 {
        assert_eq!(in_the_foreground("exit 7"), Some(7));
    }
    assert_eq!(["exit 1", "sleep 0.1; exit 3", "kill -9 $$"].map(in_the_foreground), [Some(1), Some(3), Some(137)]);
}
