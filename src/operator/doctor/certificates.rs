//! Whether certificates that the configuration names end soon: that of the API, and those by which clients of Kafka know brokers and are known.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::finding::Findings;
use crate::admin::{Lifetime, lifetimes};
use crate::api::Finding;
use crate::config::{DeployedApi, Period};
use crate::operator::cluster::Target;
use crate::operator::moment::Moment;
use crate::record::Timestamp;

const DAY: u64 = 24 * 60 * 60;

/// What a file of certificates is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Shown to whoever asks the API.
    Api,
    /// Shown to brokers.
    Client,
    /// By which brokers are known: one that is good is enough.
    Authorities,
}

/// A file of certificates.
#[derive(Clone, Debug)]
pub(super) struct CertificateFact {
    for_what: Use,
    path: PathBuf,
    /// What is in it; or why that can't be told from here.
    read: Result<Vec<Lifetime>, String>,
}

impl CertificateFact {
    /// All that there are, each once.
    pub(super) fn all(api: Option<&DeployedApi>, targets: &[Target]) -> Vec<Self> {
        let own = api.and_then(|api| api.certificate.clone()).map(|path| (Use::Api, path));
        let properties = targets.iter().flat_map(|target| target.kafka.properties());
        let named = properties.filter_map(|(name, value)| match name {
            "ssl.certificate.location" => Some((Use::Client, PathBuf::from(value))),
            // A directory, and what librdkafka finds by itself, is somebody else's to look after.
            "ssl.ca.location" if value != "probe" && !Path::new(value).is_dir() => {
                Some((Use::Authorities, PathBuf::from(value)))
            }
            _ => None,
        });
        let mut all: Vec<(Use, PathBuf)> = Vec::new();
        for one in own.into_iter().chain(named) {
            if !all.contains(&one) {
                all.push(one);
            }
        }
        let read = |path: &Path| lifetimes(path).map_err(|error| error.to_string());
        all.into_iter().map(|(for_what, path)| Self { for_what, read: read(&path), path }).collect()
    }
}

pub(super) fn judge(facts: &[CertificateFact], now: Timestamp, into: &mut Vec<Finding>) {
    let mut found = Findings::of("certificates", into);
    for CertificateFact { for_what, path, read } in facts {
        let at = format!("{} of {}", path.display(), for_what.name());
        let all = match read {
            Ok(all) => all,
            Err(error) => {
                found.unknown(at, error, "look from where the program runs, with its user: the page does");
                continue;
            }
        };
        // A chain is as good as the worst of it, authorities as the best of them.
        let judged = match for_what {
            Use::Api | Use::Client => all.iter().min_by_key(|one| one.end),
            Use::Authorities => all.iter().max_by_key(|one| one.end),
        };
        let Some(judged) = judged else { continue };
        let (subject, ends) = (&judged.subject, Moment(judged.end).in_seconds());
        match judged.left(now) {
            None => {
                found.error(at, format!("`{subject}` has expired, at {ends}: {}", for_what.then()), for_what.to_do())
            }
            Some(left) if judged.is_short(now) => found.warning(
                at,
                format!("`{subject}` expires in {}, at {ends}: then {}", in_days(left), for_what.then()),
                for_what.to_do(),
            ),
            Some(left) => found.ok(at, format!("it is good for {}, until {ends}", in_days(left))),
        }
    }
}

fn in_days(left: Duration) -> Period {
    // Of what is longer than a day nobody wants to know the seconds.
    let seconds = left.as_secs();
    Period(Duration::from_secs(if seconds > DAY { seconds - seconds % DAY } else { seconds.max(1) }))
}

impl Use {
    fn name(self) -> &'static str {
        match self {
            Self::Api => "the API",
            Self::Client => "clients of Kafka",
            Self::Authorities => "authorities of Kafka",
        }
    }

    /// What is so once it has ended.
    fn then(self) -> &'static str {
        match self {
            Self::Api => "whoever verifies it, as browsers and the command line do, is kept from the API",
            Self::Client => "brokers let nobody in who shows it",
            Self::Authorities => "no broker that shows a certificate of theirs is believed",
        }
    }

    fn to_do(self) -> &'static str {
        match self {
            Self::Api => "renew it in its place: it is read anew within 5 s",
            Self::Client => "renew it with its key, and restart the program",
            Self::Authorities => "add the authorities' new certificate to the file, and restart the program",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Severity::{self, Error, Ok as Fine, Unknown, Warning};

    const NOW: i64 = 1_800_000_000_000;

    /// What is said of certificates that end in so many days.
    fn judged(for_what: Use, days: &[i64]) -> (Severity, String) {
        let time = |millis| Timestamp::from_millis(millis).expect("after 1970");
        let lifetime = |days: &i64| Lifetime { subject: format!("CN={days}"), end: time(NOW + days * 86_400_000) };
        let read = Ok(days.iter().map(lifetime).collect());
        let mut found = Vec::new();
        judge(&[CertificateFact { for_what, path: "tls.crt".into(), read }], time(NOW), &mut found);
        let finding = found.pop().expect("one");
        (finding.severity, finding.what)
    }

    #[test]
    fn what_ends_within_thirty_days_is_a_warning_and_what_has_ended_an_error() {
        for (days, severity) in [(400, Fine), (30, Fine), (29, Warning), (1, Warning), (0, Error), (-3, Error)] {
            assert_eq!(judged(Use::Client, &[days]).0, severity, "{days} d");
        }
        let (_, soon) = judged(Use::Api, &[29]);
        assert!(soon.starts_with("`CN=29` expires in 29d, at 2027-02-13T08:00:00Z: then whoever"), "{soon}");
        let (_, over) = judged(Use::Api, &[-1]);
        assert!(over.starts_with("`CN=-1` has expired, at 2027-01-14T08:00:00Z"), "{over}");
    }

    #[test]
    fn a_chain_is_as_good_as_the_worst_of_it_and_authorities_as_the_best_of_them() {
        assert_eq!(judged(Use::Client, &[400, 5]).0, Warning);
        assert_eq!(judged(Use::Authorities, &[-100, 5, 400]).0, Fine);
        assert_eq!(judged(Use::Authorities, &[-100, 5]).0, Warning);
        assert_eq!(judged(Use::Authorities, &[-100, -5]).0, Error);
    }

    #[test]
    fn files_are_looked_at_once_and_what_can_not_be_read_here_is_no_warning() {
        let kafka = |ca: &str| crate::kafka::KafkaConfig::new("b1:9092", "shop").property("ssl.ca.location", ca);
        let target = |ca: &str| Target { name: None, kafka: kafka(ca), consumers: Vec::new(), fleet: None };
        let targets = ["/nowhere/ca.pem", "/nowhere/ca.pem", "probe", "/"].map(target);
        let api = DeployedApi { address: crate::api::DEFAULT_ADDRESS, certificate: Some("/nowhere/tls.crt".into()) };
        let facts = CertificateFact::all(Some(&api), &targets);
        let mut found = Vec::new();
        judge(&facts, Timestamp::now(), &mut found);
        let said: Vec<_> = found.iter().map(|finding| (finding.severity, finding.at.as_str())).collect();
        let expected = [(Unknown, "/nowhere/tls.crt of the API"), (Unknown, "/nowhere/ca.pem of authorities of Kafka")];
        assert_eq!(said, expected);
    }
}
