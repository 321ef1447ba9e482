//! The live view as lines of text: pure, so that it can be looked at in a test.

use std::net::SocketAddr;
use std::time::Duration;

use console::{Alignment, Style, measure_text_width, pad_str, truncate_str};

use super::figures::{Figures, Records, State};

/// What stands above the table.
#[derive(Clone, Debug)]
pub(super) struct Heading {
    pub(super) brokers: String,
    /// Where probes and metrics are served, once they are.
    pub(super) admin: Option<SocketAddr>,
    /// Where the API is, once it is.
    pub(super) api: Option<SocketAddr>,
    pub(super) running: Duration,
    /// How long it is to run, where that was said.
    pub(super) time: Option<Duration>,
    pub(super) phase: Phase,
}

/// What the whole process is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    Stopping,
    Stopped,
}

/// A column: its title, what stands in it, how wide it is at least, so that nothing moves as numbers grow, and how early it goes where
/// there is no room; 0 never goes.
struct Column {
    title: &'static str,
    cell: fn(&Records) -> String,
    least: usize,
    goes: u8,
}

static COLUMNS: [Column; 9] = [
    Column { title: "rate", cell: |records| format!("{:.0}/s", records.rate), least: 5, goes: 0 },
    Column { title: "handled", cell: |records| grouped(records.handled), least: 7, goes: 0 },
    Column {
        title: "in flight",
        cell: |records| now(records, format!("{}/{}", records.in_flight, records.workers)),
        least: 9,
        goes: 3,
    },
    Column {
        title: "queue",
        cell: |records| now(records, format!("{}/{}", records.queue, records.capacity)),
        least: 7,
        goes: 4,
    },
    Column { title: "lag", cell: |records| now(records, grouped(records.lag)), least: 5, goes: 1 },
    Column { title: "parked", cell: |records| now(records, records.parked.to_string()), least: 6, goes: 5 },
    Column { title: "retries", cell: |records| grouped(records.retries), least: 7, goes: 6 },
    Column { title: "skipped", cell: |records| grouped(records.skipped), least: 7, goes: 7 },
    Column { title: "dead letters", cell: |records| grouped(records.dead_lettered), least: 12, goes: 2 },
];
const GAP: &str = "  ";
/// Of the states that are seen every time.
const STATE_WIDTH: usize = 8;

/// The whole block, no line of it wider than `width`.
pub(super) fn block(heading: &Heading, daemons: &[Figures], width: usize) -> Vec<String> {
    let dim = Style::new().for_stderr().dim();
    let mut lines = vec![String::new(), first(heading), second(heading, &dim), String::new()];
    lines.extend(table(daemons, width, &dim));
    lines.iter().map(|line| truncate_str(line, width, "…").into_owned()).collect()
}

fn first(heading: &Heading) -> String {
    let name = Style::new().for_stderr().bold().apply_to("daemonry demo");
    let (running, brokers) = (clock(heading.running), &heading.brokers);
    let end = match (heading.phase, heading.time) {
        (Phase::Stopped, _) => "stopped".to_owned(),
        (Phase::Stopping, _) => "stopping, what was started may end".to_owned(),
        (Phase::Running, Some(time)) => format!("ends at {}, or with Ctrl-C", clock(time)),
        (Phase::Running, None) => "Ctrl-C ends it".to_owned(),
    };
    format!("{name}  {running}  {end}  ·  Kafka in this process, {brokers}")
}

fn second(heading: &Heading, dim: &Style) -> String {
    let at = match (heading.admin, heading.api) {
        (Some(admin), Some(api)) => {
            format!("look closer: http://{api}  ·  handlers ps orders --api http://{api}  ·  http://{admin}/metrics")
        }
        (Some(admin), None) => format!("http://{admin}/livez  /readyz  /metrics"),
        (None, _) => "probes and metrics are about to be served".to_owned(),
    };
    dim.apply_to(at).to_string()
}

/// A column that is laid out: its cells, one a daemon, and how wide it is.
struct Laid {
    column: &'static Column,
    cells: Vec<String>,
    wide: usize,
}

fn table(daemons: &[Figures], width: usize, dim: &Style) -> Vec<String> {
    let names = daemons.iter().map(|one| one.daemon.len()).max().unwrap_or(0).max("daemon".len());
    let lay = |column: &'static Column| {
        let cell = |one: &Figures| one.records.as_ref().map_or_else(String::new, column.cell);
        let cells: Vec<String> = daemons.iter().map(cell).collect();
        let wide = cells.iter().map(|cell| measure_text_width(cell)).max().unwrap_or(0).max(column.least);
        Laid { column, cells, wide }
    };
    let mut laid: Vec<Laid> = COLUMNS.iter().map(lay).collect();
    let taken =
        |laid: &[Laid]| names + GAP.len() + STATE_WIDTH + laid.iter().map(|one| GAP.len() + one.wide).sum::<usize>();
    while taken(&laid) > width
        && let Some(first) = laid.iter().map(|one| one.column.goes).max().filter(|&goes| goes > 0)
    {
        laid.retain(|one| one.column.goes != first);
    }
    let row = |name: &str, state: &str, cell: &dyn Fn(&Laid) -> String| {
        let mut row = format!("{}{GAP}{}", left(name, names), left(state, STATE_WIDTH));
        for one in &laid {
            row.push_str(GAP);
            row.push_str(&pad_str(&cell(one), one.wide, Alignment::Right, None));
        }
        row
    };
    let titles = row("daemon", "state", &|one| one.column.title.to_owned());
    let mut lines = vec![dim.apply_to(titles).to_string()];
    let rows = daemons.iter().enumerate();
    lines.extend(rows.map(|(place, one)| row(&one.daemon, &painted(&one.state), &|laid| laid.cells[place].clone())));
    lines
}

/// What is measured of a daemon while it reads. One that has ended gave its partitions back, and a lag of 0 would say that nothing is left.
fn now(records: &Records, text: String) -> String {
    if records.capacity > 0 { text } else { "–".to_owned() }
}

fn left(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(measure_text_width(text))))
}

fn painted(state: &State) -> String {
    let style = Style::new().for_stderr();
    match state {
        State::Good(word) => style.green().apply_to(*word),
        State::Passing(word) => style.yellow().apply_to(*word),
        State::Bad(word) => style.red().apply_to(*word),
    }
    .to_string()
}

/// A line for each daemon that handles records, for where there is no terminal.
pub(super) fn lines(running: Duration, daemons: &[Figures]) -> String {
    let line = |one: &Figures| {
        let (State::Good(state) | State::Passing(state) | State::Bad(state)) = &one.state;
        let (daemon, at) = (&one.daemon, clock(running));
        let records = one.records.as_ref()?;
        let Records { rate, handled, in_flight, workers, queue, capacity, lag, parked, .. } = records;
        let Records { retries, dead_lettered, skipped, .. } = records;
        let at_work =
            format!("in flight {in_flight}/{workers}, queue {queue}/{capacity}, lag {lag}, parked {parked}, ");
        let at_work = if *capacity > 0 { &*at_work } else { "" };
        Some(format!(
            "{at} {daemon} {state}: {rate:.0}/s, handled {handled}, {at_work}\
             retries {retries}, skipped {skipped}, dead letters {dead_lettered}\n"
        ))
    };
    daemons.iter().filter_map(line).collect()
}

/// `1:05` for a minute and five seconds.
pub(super) fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

/// `12,345`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use console::strip_ansi_codes;

    use super::*;

    fn shown(width: usize) -> Vec<String> {
        let records = Records {
            rate: 41.4,
            handled: 1_234,
            in_flight: 3,
            workers: 10,
            queue: 12,
            capacity: 100,
            lag: 45,
            ..Records::default()
        };
        let of = |daemon: &str, records| Figures { daemon: Arc::from(daemon), state: State::Good("running"), records };
        let heading = Heading {
            brokers: "127.0.0.1:9092".to_owned(),
            admin: Some(([127, 0, 0, 1], 9465).into()),
            api: Some(([127, 0, 0, 1], 9466).into()),
            running: Duration::from_secs(65),
            time: Some(Duration::from_secs(120)),
            phase: Phase::Running,
        };
        let block = block(&heading, &[of("orders", Some(records)), of("samples", None)], width);
        block.iter().map(|line| strip_ansi_codes(line).trim_end().to_owned()).collect()
    }

    #[test]
    fn block_is_a_heading_and_a_table() {
        assert_eq!(
            shown(120),
            [
                "",
                "daemonry demo  1:05  ends at 2:00, or with Ctrl-C  ·  Kafka in this process, 127.0.0.1:9092",
                "look closer: http://127.0.0.1:9466  ·  handlers ps orders --api http://127.0.0.1:9466  ·  http://127.0.0.1:9465/metrics",
                "",
                "daemon   state      rate  handled  in flight    queue    lag  parked  retries  skipped  dead letters",
                "orders   running    41/s    1,234       3/10   12/100     45       0        0        0             0",
                "samples  running",
            ]
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_what_matters_stays_longest() {
        for width in 1..130 {
            for line in shown(width) {
                assert!(measure_text_width(&line) <= width, "{width}: {line}");
            }
        }
        let narrow = shown(60);
        assert_eq!(narrow[4], "daemon   state      rate  handled    lag  dead letters");
    }

    #[test]
    fn what_is_measured_only_while_a_daemon_reads_is_not_told_of_one_that_has_ended() {
        let records = Records { handled: 7, workers: 10, capacity: 100, ..Records::default() };
        let of =
            |records| [Figures { daemon: Arc::from("orders"), state: State::Good("drained"), records: Some(records) }];
        let ended = Records { workers: 0, capacity: 0, ..records };
        let row = |records| strip_ansi_codes(&table(&of(records), 120, &Style::new())[1]).into_owned();
        assert_eq!(
            row(records),
            "orders  drained     0/s        7       0/10    0/100      0       0        0        0             0"
        );
        assert_eq!(
            row(ended),
            "orders  drained     0/s        7          –        –      –       –        0        0             0"
        );
        let line = |records| lines(Duration::from_secs(5), &of(records));
        assert!(line(records).contains("queue 0/100, lag 0, parked 0, retries"), "{}", line(records));
        assert_eq!(line(ended), "0:05 orders drained: 0/s, handled 7, retries 0, skipped 0, dead letters 0\n");
    }

    #[test]
    fn numbers_are_grouped() {
        let shown = [0, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }
}
