//! Logging: where it goes and what it looks like.
//!
//! Log events are constant text plus fields, so that they can be searched and counted:
//!
//! | field | meaning |
//! |---|---|
//! | `daemon` | the daemon's name |
//! | `topic`, `partition`, `offset` | the record, or as much of its place as is meant |
//! | `attempt` | which attempt of the record, from 1 |
//! | `error` | what went wrong, with its causes |
//! | `trace_id`, `span_id`, `parent_id` | the attempt's place in its trace, in the span of a [`TraceLayer`](crate::handler::layer::TraceLayer) |
//!
//! Keys, payloads and secrets never are fields. Everything goes to standard error; standard output belongs to the program.

mod json;

use std::io::IsTerminal;

use json::JsonLine;
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt};

/// The environment variable that holds the filter, as in `info,daemonry=debug`.
pub const FILTER_VARIABLE: &str = "RUST_LOG";

/// What is logged where neither the program nor the environment says otherwise.
pub(crate) const DEFAULT_FILTER: &str = "info";

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Deserialize, serde::Serialize, schemars::JsonSchema))]
#[cfg_attr(feature = "cli", serde(rename_all = "snake_case"))]
pub enum LogFormat {
    /// For people: one line an event, coloured on a terminal.
    #[default]
    Human,
    /// For machines: one JSON object a line, the fields beside `timestamp`, `level`, `target` and `message`, and those of the spans
    /// around it among them.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The filter can't be read.
    #[error("the log filter can't be read, write it as in `info,daemonry=debug`")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Logging is set up already.
    #[error("logging is set up already, call this once and before anything else does")]
    AlreadySet(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Sends log lines to standard error from now on, filtered by `RUST_LOG`; without it from `info` up.
///
/// ```
/// use daemonry::telemetry::{self, LogFormat};
///
/// telemetry::init(LogFormat::Json)?;
/// tracing::info!(daemon = "orders", "daemon starts");
/// # Ok::<(), telemetry::TelemetryError>(())
/// ```
///
/// # Errors
/// Where the filter can't be read, or logging is set up already.
pub fn init(format: LogFormat) -> Result<(), TelemetryError> {
    let filter = std::env::var(FILTER_VARIABLE).ok().filter(|filter| !filter.is_empty());
    init_with(format, filter.as_deref().unwrap_or(DEFAULT_FILTER))
}

/// As [`init`], with this filter, whatever the environment says.
///
/// # Errors
/// Where the filter can't be read, or logging is set up already.
pub fn init_with(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let subscriber = subscriber(format, filter, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(())
}

/// Whether a filter can be read.
#[cfg(feature = "cli")]
pub(crate) fn is_filter(filter: &str) -> bool {
    EnvFilter::try_new(filter).is_ok()
}

fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + use<W>, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Human => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.fmt_fields(JsonFields::new()).event_format(JsonLine).boxed(),
    };
    Ok(Registry::default().with(lines).with(EnvFilter::try_new(filter)?))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str) -> String {
        logged_by(format, filter, || {
            tracing::debug!(daemon = "orders", "not for everybody");
            tracing::warn!(
                daemon = "orders",
                topic = "created",
                partition = 3,
                offset = 41,
                attempt = 2,
                error = "no answer",
                "attempt failed"
            );
        })
    }

    fn logged_by(format: LogFormat, filter: &str, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, filter, move || writer.clone()).expect("the filter can be read");
        tracing::subscriber::with_default(subscriber, log);
        let bytes = lines.0.lock().clone();
        String::from_utf8(bytes).expect("logs are text")
    }

    #[test]
    fn json_line_has_text_and_fields_side_by_side() {
        let text = logged(LogFormat::Json, "info");
        let line: serde_json::Value = serde_json::from_str(&text).expect("one JSON object");
        assert_eq!(line["message"], "attempt failed");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["daemon"], "orders");
        assert_eq!(line["topic"], "created");
        assert_eq!((&line["partition"], &line["offset"], &line["attempt"]), (&3.into(), &41.into(), &2.into()));
        assert_eq!(line["error"], "no answer");
    }

    #[test]
    fn json_line_has_the_fields_of_its_spans_beside_its_own_which_count_more() {
        let text = logged_by(LogFormat::Json, "info", || {
            let outer = tracing::info_span!("consumer", daemon = "orders").entered();
            let span = tracing::info_span!("record", offset = 41_i64, attempt = 1_u32, trace_id = %"0af7", late = tracing::field::Empty);
            let _inner = span.clone().entered();
            span.record("late", 2.5);
            tracing::info!(attempt = 2, ok = true, quoted = "a \"b\"\n", message = "stored");
            drop(outer);
        });
        let line: serde_json::Value = serde_json::from_str(&text).expect("one JSON object");
        assert_eq!(
            (&line["daemon"], &line["offset"], &line["trace_id"]),
            (&"orders".into(), &41.into(), &"0af7".into())
        );
        assert_eq!((&line["attempt"], &line["ok"], &line["late"]), (&2.into(), &true.into(), &2.5.into()));
        assert_eq!((&line["message"], &line["quoted"]), (&"stored".into(), &"a \"b\"\n".into()));
        assert!(text.starts_with("{\"timestamp\":\"2") && text.ends_with("}\n"), "{text}");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn human_line_names_text_and_fields() {
        let text = logged(LogFormat::Human, "info");
        assert_eq!(text.lines().count(), 1);
        for part in ["WARN", "attempt failed", "daemon=\"orders\"", "partition=3", "offset=41"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn filter_decides_what_is_logged() {
        assert_eq!(logged(LogFormat::Human, "debug").lines().count(), 2);
        assert_eq!(logged(LogFormat::Human, "error"), "");
    }

    #[test]
    fn unreadable_filter_is_an_error_that_says_what_to_write() {
        let Err(error) = subscriber(LogFormat::Human, "daemonry=loud", io::sink) else { panic!("accepted") };
        assert!(error.to_string().contains("info,daemonry=debug"), "{error}");
    }
}
