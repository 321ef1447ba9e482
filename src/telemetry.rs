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
//!
//! Keys, payloads and secrets never are fields. Everything goes to standard error; standard output belongs to the program.

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
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
    /// For machines: one JSON object a line, the fields beside `timestamp`, `level`, `target` and `message`.
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
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
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
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, filter, move || writer.clone()).expect("the filter can be read");
        tracing::subscriber::with_default(subscriber, || {
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
        });
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
