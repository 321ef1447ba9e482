//! What keeps the brokers from talking to us, told apart by what librdkafka says of it, in words that say what to do.
//!
//! It has a code for a password that is wrong and one for a certificate that can't be verified; everything else is a line of its log,
//! and a connection that is gone. Each client keeps its own; the callbacks write it down, whoever asked something reads it.

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::config::KafkaConfig;

/// How often the brokers must refuse us until they do: a user may be made a moment later than the daemon that uses it.
pub(crate) const REFUSALS: u32 = 3;

/// What stands between us and the brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// Credentials or certificates, ours or theirs, are refused. Trying again changes nothing before somebody changes them.
    Refused(String),
    /// They hang up as they do on a client that speaks another protocol, and as they do when they are about to end.
    Suspected(String),
}

impl Obstacle {
    /// What it is, and what to do.
    pub(super) fn say(&self) -> &str {
        match self {
            Self::Refused(say) | Self::Suspected(say) => say,
        }
    }

    /// What a line of librdkafka's about a connection that failed means; `None` where it means nothing of the kind.
    fn of(line: &str, door: &Door) -> Option<Self> {
        let Door { brokers, protocol, mechanism, user } = door;
        let has = |part: &str| line.contains(part);
        if has("mechanism handshake failed") {
            return Some(Self::Refused(match line.rsplit_once("supported mechanisms: ").map(|(_, offered)| offered) {
                Some(offered) if !has("SASL state") => format!(
                    "the brokers of `{brokers}` don't take SASL mechanism `{mechanism}`, but {}: set `sasl.mechanism` to one of theirs",
                    without_timing(offered)
                ),
                _ => format!(
                    "`{brokers}` is no listener with SASL: set `security.protocol` to `ssl` or `plaintext`, or name the right port"
                ),
            }));
        }
        if has("SASL authentication error") || has("SASL authentication failure") || has("SASL authentication: ") {
            return Some(Self::Refused(format!(
                "the brokers of `{brokers}` refuse user `{user}` or its password: check `sasl.username`, `sasl.password` and `sasl.mechanism` (`{mechanism}`)"
            )));
        }
        if has("certificate verify failed") || has("Failed to verify broker certificate") {
            return Some(Self::Refused(format!(
                "the certificate of `{brokers}` can't be verified: set `ssl.ca.location` to the authority that signed it, name the brokers as it does, and see that it has not expired"
            )));
        }
        // Of the broker's: bad, revoked, expired, unknown, unknown authority, access denied, required.
        if ["42", "44", "45", "46", "48", "49", "116"].iter().any(|alert| has(&format!("SSL alert number {alert}"))) {
            return Some(Self::Refused(format!(
                "the brokers of `{brokers}` refuse our certificate, or want one: set `ssl.certificate.location` and `ssl.key.location` to one that their authority signed, and that has not expired"
            )));
        }
        // Handshake failure, protocol version, insufficient security.
        if ["40", "70", "71"].iter().any(|alert| has(&format!("SSL alert number {alert}"))) {
            return Some(Self::Refused(format!(
                "the brokers of `{brokers}` break the TLS handshake off: they may want a certificate (`ssl.certificate.location` and `ssl.key.location`), or another cipher or version of TLS"
            )));
        }
        if has("wrong version number") || has("http request") {
            return Some(Self::Refused(no_tls(brokers)));
        }
        let hung_up = has("Disconnected");
        if hung_up && has("in state SSL_HANDSHAKE") {
            return Some(Self::Suspected(no_tls(brokers)));
        }
        if hung_up && has("in state APIVERSION_QUERY") && !protocol.ends_with("ssl") {
            return Some(Self::Suspected(format!(
                "`{brokers}` hangs up as soon as it is asked something: if it listens with TLS, set `security.protocol` to `ssl` or `sasl_ssl`"
            )));
        }
        // One that has lasted was no stranger's.
        if hung_up
            && has("in state UP")
            && lived(line).is_some_and(|millis| millis < 1_000)
            && !protocol.starts_with("sasl")
        {
            return Some(Self::Suspected(format!(
                "`{brokers}` hangs up on the first question: if it asks for SASL, set `security.protocol` to `sasl_ssl` or `sasl_plaintext`, and `sasl.mechanism`"
            )));
        }
        None
    }
}

fn no_tls(brokers: &str) -> String {
    format!(
        "`{brokers}` does not answer in TLS: name its TLS port, or set `security.protocol` to `plaintext` or `sasl_plaintext` if it has none"
    )
}

/// librdkafka ends its lines with how long the connection was in which state.
fn without_timing(text: &str) -> &str {
    text.split(" (after ").next().unwrap_or_default().trim()
}

/// That time, in milliseconds.
fn lived(line: &str) -> Option<u64> {
    line.rsplit_once(" (after ")?.1.split_once("ms in state")?.0.parse().ok()
}

/// How we knock: what may be shown of it.
#[derive(Debug)]
struct Door {
    brokers: String,
    protocol: String,
    mechanism: String,
    user: String,
}

/// The obstacle that one client met last.
#[derive(Debug)]
pub(super) struct Obstacles {
    door: Door,
    met: Mutex<Met>,
    down: Notify,
}

#[derive(Debug, Default)]
struct Met {
    last: Option<Obstacle>,
    /// Whether every broker was tried since, in vain.
    by_all: bool,
}

impl Obstacles {
    /// None yet.
    pub(super) fn new(config: &KafkaConfig) -> Self {
        let property = |names: &[&str], otherwise: &str| {
            let found = names.iter().find_map(|name| config.get_property(name));
            found.unwrap_or(otherwise).to_owned()
        };
        let door = Door {
            brokers: config.brokers.clone(),
            protocol: property(&["security.protocol"], "plaintext").to_ascii_lowercase(),
            mechanism: property(&["sasl.mechanism", "sasl.mechanisms"], "GSSAPI"),
            user: property(&["sasl.username"], ""),
        };
        Self { door, met: Mutex::default(), down: Notify::new() }
    }

    /// A line of librdkafka's about a connection that failed.
    pub(super) fn hear(&self, line: &str) {
        if let Some(obstacle) = Obstacle::of(line, &self.door) {
            self.met.lock().last = Some(obstacle);
        } else if line.contains("Connect to ") || line.contains("Failed to resolve") {
            // Nobody is there at all: what was in the way before is so no longer.
            self.clear();
        }
    }

    /// The last one, if nothing was heard of the brokers since.
    pub(super) fn last(&self) -> Option<Obstacle> {
        self.met.lock().last.clone()
    }

    /// The brokers have answered.
    pub(super) fn clear(&self) {
        *self.met.lock() = Met::default();
    }

    /// All brokers were tried, and none is connected.
    pub(super) fn all_down(&self) {
        self.met.lock().by_all = true;
        self.down.notify_waiters();
    }

    /// Waits until all brokers were tried, none is connected, and one has refused us.
    pub(super) async fn refused(&self) -> String {
        loop {
            let mut down = std::pin::pin!(self.down.notified());
            down.as_mut().enable();
            if let Met { last: Some(Obstacle::Refused(say)), by_all: true } = &*self.met.lock() {
                return say.clone();
            }
            down.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(protocol: &str, line: &str) -> Option<Obstacle> {
        let config = KafkaConfig::new("kafka:9092", "g")
            .property("security.protocol", protocol)
            .property("sasl.mechanism", "PLAIN")
            .property("sasl.username", "alice")
            .property("sasl.password", "hush");
        let obstacles = Obstacles::new(&config);
        obstacles.hear(line);
        obstacles.last()
    }

    #[test]
    fn lines_of_the_client_become_advice() {
        let cases = [
            (
                "sasl_ssl",
                "SASL authentication error: Authentication failed: Invalid username or password",
                "`sasl.password`",
                true,
            ),
            (
                "sasl_ssl",
                "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: SCRAM-SHA-256,GSSAPI (after 3ms in state AUTH_HANDSHAKE)",
                "but SCRAM-SHA-256,GSSAPI:",
                true,
            ),
            (
                "sasl_ssl",
                "SASL PLAIN mechanism handshake failed: Broker: Request not valid in current SASL state: broker's supported mechanisms: ",
                "no listener with SASL",
                true,
            ),
            (
                "ssl",
                "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could not be verified",
                "`ssl.ca.location`",
                true,
            ),
            (
                "ssl",
                "Receive failed: error:0A000412:SSL routines::sslv3 alert bad certificate: SSL alert number 42 (after 0ms in state APIVERSION_QUERY)",
                "`ssl.key.location`",
                true,
            ),
            (
                "ssl",
                "SSL handshake failed: error:0A000410:SSL routines::sslv3 alert handshake failure: SSL alert number 40",
                "`ssl.key.location`",
                true,
            ),
            (
                "ssl",
                "SSL handshake failed: Disconnected: SSL connection closed by peer: connecting to a PLAINTEXT broker listener? (after 8ms in state SSL_HANDSHAKE)",
                "`plaintext`",
                false,
            ),
            (
                "plaintext",
                "Disconnected: connection closed by peer: receive 0 after POLLIN (after 1ms in state APIVERSION_QUERY)",
                "`sasl_ssl`",
                false,
            ),
            ("ssl", "Disconnected: SSL connection closed by peer (after 2ms in state UP)", "asks for SASL", false),
        ];
        for (protocol, line, advice, is_refusal) in cases {
            let obstacle = heard(protocol, line).unwrap_or_else(|| panic!("nothing heard: {line}"));
            assert!(obstacle.say().contains(advice), "{obstacle:?} does not say {advice}");
            assert!(obstacle.say().contains("kafka:9092") && !obstacle.say().contains("hush"), "{obstacle:?}");
            assert_eq!(matches!(obstacle, Obstacle::Refused(_)), is_refusal, "{obstacle:?}");
        }
    }

    #[test]
    fn a_connection_that_ends_in_the_middle_of_its_work_is_no_obstacle() {
        assert_eq!(heard("sasl_ssl", "Disconnected (after 2ms in state UP)"), None);
        assert_eq!(heard("ssl", "Disconnected (after 600000ms in state UP, 1 identical error(s) suppressed)"), None);
        assert_eq!(
            heard("ssl", "Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)"),
            None
        );
    }

    #[tokio::test]
    async fn a_broker_that_refuses_us_counts_once_all_were_tried() {
        use futures_util::FutureExt;

        let obstacles = Obstacles::new(&KafkaConfig::new("kafka:9092,kafka:9093", "g"));
        let mut refused = std::pin::pin!(obstacles.refused());
        obstacles.hear("SASL authentication error: no");
        assert_eq!(refused.as_mut().now_or_never(), None);
        obstacles.all_down();
        assert!(refused.now_or_never().is_some());
    }

    #[test]
    fn a_broker_that_is_not_there_refuses_nobody() {
        let obstacles = Obstacles::new(&KafkaConfig::new("kafka:9092", "g"));
        obstacles.hear("SASL authentication error: no");
        obstacles.hear("Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)");
        assert_eq!(obstacles.last(), None);
    }
}
