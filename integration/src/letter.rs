//! Dead letters as a daemon writes them, to try out what deals with them.

use crate::Message;

/// The letter of this message, which was read from `topic`. `failed_at`: milliseconds since 1970 UTC.
pub fn letter_of(message: Message, topic: &str, reason: &str, error: &str, failed_at: u64) -> Message {
    let failed_at = failed_at.to_string();
    [
        ("daemonry-topic", topic),
        ("daemonry-partition", "3"),
        ("daemonry-offset", "41"),
        ("daemonry-reason", reason),
        ("daemonry-error", error),
        ("daemonry-attempts", "4"),
        ("daemonry-daemon", "shop"),
        ("daemonry-handler", "orders::create"),
        ("daemonry-failed-at", &failed_at),
    ]
    .into_iter()
    .fold(message, |message, (name, value)| message.header(name, value))
}
