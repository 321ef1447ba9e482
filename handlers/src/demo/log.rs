//! The log on the demo's terminal: what an operator would want to hear, one line an event, above the live view.

use std::fmt;

use console::{Style, truncate_str};
use daemonry::telemetry::FILTER_VARIABLE;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::screen::Screen;

/// What is logged unless `RUST_LOG` says otherwise: warnings, and how the process comes and goes.
const FILTER: &str = "warn,daemonry::supervisor=info,daemonry::shutdown=info";

/// What is logged.
pub(super) fn filter() -> String {
    let said = std::env::var(FILTER_VARIABLE).ok().filter(|filter| !filter.is_empty());
    said.unwrap_or_else(|| FILTER.to_owned())
}

/// Sends log lines to the screen from now on.
pub(super) fn init(screen: Screen) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter())?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(screen.clone())
        .event_format(Brief { screen })
        .finish();
    tracing::subscriber::set_global_default(log)?;
    Ok(())
}

/// `warn  orders: record is a dead letter  orders.created[2]@41  order 30 costs nothing  attempt=1`, cut where the terminal ends; errors
/// are not.
struct Brief {
    screen: Screen,
}

impl<S, N> FormatEvent<S, N> for Brief
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let line = line(event);
        match *event.metadata().level() {
            Level::ERROR => writeln!(writer, "{line}"),
            _ => writeln!(writer, "{}", truncate_str(&line, self.screen.width(), "…")),
        }
    }
}

/// An event as one line of text.
fn line(event: &Event<'_>) -> String {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let style = || Style::new().for_stderr();
    let level = match *event.metadata().level() {
        Level::ERROR => style().red().apply_to("error"),
        Level::WARN => style().yellow().apply_to("warn "),
        Level::INFO => style().dim().apply_to("info "),
        _ => style().dim().apply_to("debug"),
    };
    let Fields { message, daemon, topic, partition, offset, error, others } = fields;
    let daemon = daemon.map_or_else(String::new, |daemon| format!("{daemon}: "));
    let place = match (topic, partition, offset) {
        (Some(topic), Some(partition), Some(offset)) => format!("  {topic}[{partition}]@{offset}"),
        (Some(topic), Some(partition), None) => format!("  {topic}[{partition}]"),
        (Some(topic), ..) => format!("  {topic}"),
        _ => String::new(),
    };
    let error = error.map_or_else(String::new, |error| format!("  {error}"));
    format!("{level}  {daemon}{message}{place}{error}{}", style().dim().apply_to(others))
}

/// An event's fields, the project's own apart.
#[derive(Default)]
struct Fields {
    message: String,
    daemon: Option<String>,
    topic: Option<String>,
    partition: Option<String>,
    offset: Option<String>,
    error: Option<String>,
    others: String,
}

impl Fields {
    fn take(&mut self, field: &Field, value: &str) {
        // An error may hold what a record held: on a terminal that must stay text, and on its line.
        let value: String = value.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
        match field.name() {
            "message" => self.message = value,
            "daemon" => self.daemon = Some(value),
            "topic" => self.topic = Some(value),
            "partition" => self.partition = Some(value),
            "offset" => self.offset = Some(value),
            "error" => self.error = Some(value),
            other => self.others.push_str(&format!("  {other}={value}")),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use console::strip_ansi_codes;
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    /// Keeps the lines of all events.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Lines {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let line = strip_ansi_codes(&line(event)).into_owned();
            self.0.lock().expect("nobody panics with it").push(line);
        }
    }

    #[test]
    fn line_names_daemon_place_and_error_first_and_holds_nothing_that_moves_a_cursor() {
        let lines = Lines::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines.clone()), || {
            let error = "not JSON: \u{1b}[2J\nnext";
            tracing::warn!(
                daemon = "orders",
                topic = "created",
                partition = 3,
                offset = 41,
                attempt = 2,
                error,
                "no luck"
            );
            tracing::info!(address = "127.0.0.1:1", "admin server listens");
        });
        let lines = lines.0.lock().expect("nobody panics with it");
        let expected = [
            "warn   orders: no luck  created[3]@41  not JSON:  [2J next  attempt=2",
            "info   admin server listens  address=127.0.0.1:1",
        ];
        assert_eq!(*lines, expected);
    }
}
