//! What operators have changed of the daemons, as the part of a configuration that has it for good.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{OverridesSection, PerTime, SkippedRecord, as_yaml};
use crate::fleet::{Change, Standing};

/// A configuration with these overrides alone, the latest of which stands first.
pub(crate) fn overrides_as_yaml(overrides: &[Standing]) -> String {
    #[derive(Default, Serialize)]
    struct Daemon {
        overrides: OverridesSection,
    }
    let mut daemons: BTreeMap<&str, Daemon> = BTreeMap::new();
    for Standing { of, .. } in overrides.iter().rev() {
        let section = &mut daemons.entry(&of.daemon).or_default().overrides;
        match of.change.clone() {
            Change::Pause(scope) => section.paused.push(scope),
            Change::Rate(limit) => section.rate = limit.meant().map(PerTime),
            Change::KeyRate(limit) => section.key_rate = limit.meant().map(PerTime),
            Change::Workers(workers) => section.workers = Some(workers),
            Change::Skip { topic, partition, offset } => {
                section.skipped.push(SkippedRecord { topic, partition, offset })
            }
        }
    }
    as_yaml(&BTreeMap::from([("daemons", daemons)]))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::api::shown::{RateLimit, Scope};
    use crate::fleet::Override;

    fn of(change: Change) -> Standing {
        let (id, daemon, by, reason) = ("a".to_owned(), "orders".to_owned(), "ada".to_owned(), "why".to_owned());
        Standing { of: Override { id, daemon, change, by, reason, at: 0, until: 1 }, here_alone: false }
    }

    #[test]
    fn what_is_changed_is_a_part_of_a_configuration() {
        let key = Scope { topic: Some("created".to_owned()), partition: None, key: Some("customer-7".to_owned()) };
        let rate = |attempts| Change::Rate(RateLimit { attempts, interval: 1_000 });
        let skip = Change::Skip { topic: "created".to_owned(), partition: 3, offset: 42 };
        // The latest stands first, and counts.
        let changes = [skip, rate(5), rate(100), Change::Workers(NonZeroUsize::MIN), Change::Pause(key)];
        let text = overrides_as_yaml(&changes.map(of));
        assert_eq!(
            text,
            "\
daemons:
  orders:
    overrides:
      paused:
        -
          key: customer-7
          topic: created
      rate: 5/s
      skipped:
        -
          offset: 42
          partition: 3
          topic: created
      workers: 1
"
        );
    }
}
