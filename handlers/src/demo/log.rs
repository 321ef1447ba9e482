//! The log on the demo's terminal: what an operator would want to hear, one line an event, above the live view.

use std::fmt::{self, Write};

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
        let mut fields = Fields::default();
        event.record(&mut fields);
        let style = || Style::new().for_stderr();
        let level = match *event.metadata().level() {
            Level::ERROR => style().red().apply_to("error"),
            Level::WARN => style().yellow().apply_to("warn "),
            Level::INFO => style().dim().apply_to("info "),
            _ => style().dim().apply_to("debug"),
        };
        let mut line = format!("{level}  ");
        let Fields { message, daemon, topic, partition, offset, error, others } = fields;
        if let Some(daemon) = daemon {
            write!(line, "{daemon}: ")?;
        }
        write!(line, "{message}")?;
        match (topic, partition, offset) {
            (Some(topic), Some(partition), Some(offset)) => write!(line, "  {topic}[{partition}]@{offset}")?,
            (Some(topic), Some(partition), None) => write!(line, "  {topic}[{partition}]")?,
            (Some(topic), ..) => write!(line, "  {topic}")?,
            _ => {}
        }
        if let Some(error) = error {
            write!(line, "  {error}")?;
        }
        write!(line, "{}", style().dim().apply_to(others))?;
        match *event.metadata().level() {
            Level::ERROR => writeln!(writer, "{line}"),
            _ => writeln!(writer, "{}", truncate_str(&line, self.screen.width(), "…")),
        }
    }
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
    fn take(&mut self, field: &Field, value: String) {
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
        self.take(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }
}
