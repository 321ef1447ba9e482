//! Trace context: which trace a record belongs to, as W3C's `traceparent` header tells it from one service to the next.
//!
//! A record that carries the header continues its sender's trace; what its handler [produces](crate::producer::Producer) carries it on,
//! with the `tracestate` that came along. A dead letter keeps both as the record had them.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

use crate::record::Record;

/// The header's name.
pub const TRACEPARENT: &str = "traceparent";

/// The header that goes with it: what tracing systems have to say to themselves. Carried on, not read.
pub const TRACESTATE: &str = "tracestate";

/// A span within a trace. The text is that of the `traceparent` header, version 00.
///
/// ```
/// use daemonry::trace::TraceContext;
///
/// let sender = TraceContext::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
/// let ours = sender.child();
/// assert_eq!(ours.trace_id().to_string(), sender.trace_id().to_string());
/// assert_ne!(ours.span_id().to_string(), sender.span_id().to_string());
/// assert_eq!(ours.to_string().len(), 55);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: NonZeroU128,
    span: NonZeroU64,
    flags: u8,
}

impl TraceContext {
    /// A new trace, sampled, and its first span.
    pub fn root() -> Self {
        let trace = NonZeroU128::new(fastrand::u128(..)).unwrap_or(NonZeroU128::MIN);
        Self { trace, span: span(), flags: 1 }
    }

    /// Another span of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span: span(), ..self }
    }

    /// Reads a `traceparent` header. `None` for what isn't one; of a later version what version 00 knows is read, as the standard asks.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(header).ok()?;
        let mut parts = text.splitn(5, '-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = hex(version, 2)?;
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        Some(Self {
            trace: NonZeroU128::new(hex(trace, 32)?)?,
            span: NonZeroU64::new(u64::try_from(hex(span, 16)?).ok()?)?,
            flags: u8::try_from(hex(flags, 2)?).ok()?,
        })
    }

    /// What the record's header says, if it has one.
    pub fn of(record: &Record) -> Option<Self> {
        record.header(TRACEPARENT).and_then(Self::parse)
    }

    /// The trace's id, as 32 hexadecimal digits.
    pub fn trace_id(self) -> impl fmt::Display {
        fmt::from_fn(move |f| write!(f, "{:032x}", self.trace))
    }

    /// The span's id, as 16 hexadecimal digits.
    pub fn span_id(self) -> impl fmt::Display {
        fmt::from_fn(move |f| write!(f, "{:016x}", self.span))
    }

    /// Whether the sender records the trace.
    pub fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }
}

fn span() -> NonZeroU64 {
    NonZeroU64::new(fastrand::u64(..)).unwrap_or(NonZeroU64::MIN)
}

/// A number of exactly so many lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(is_digit)).then(|| u128::from_str_radix(text, 16).ok())?
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(trace in 1..=u128::MAX, span in 1..=u64::MAX, flags in any::<u8>()) {
            let (trace, span) = (NonZeroU128::new(trace).unwrap(), NonZeroU64::new(span).unwrap());
            let context = TraceContext { trace, span, flags };
            prop_assert_eq!(TraceContext::parse(context.to_string().as_bytes()), Some(context));
        }

        #[test]
        fn no_header_is_too_odd(header in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(context) = TraceContext::parse(&header) {
                prop_assert!(header.starts_with(&context.to_string().as_bytes()[2..54]) || header.len() >= 55);
            }
        }
    }

    #[test]
    fn ids_of_zero_other_digits_and_unknown_forms_are_no_context() {
        for header in [
            "",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::parse(header.as_bytes()), None, "{header}");
        }
        let later = TraceContext::parse(b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes");
        assert!(later.is_some_and(TraceContext::is_sampled), "a later version");
    }

    #[test]
    fn roots_differ_and_children_stay_in_their_trace() {
        let (one, other) = (TraceContext::root(), TraceContext::root());
        assert_ne!(one.trace_id().to_string(), other.trace_id().to_string());
        assert_eq!(one.child().trace_id().to_string(), one.trace_id().to_string());
    }
}
