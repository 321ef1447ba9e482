//! Which letters: conditions, as they stand in a request or in an address.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::problem::Problem;
use crate::dead_letters::{Filter, place_of};
use crate::pipeline::dead_letter::Reason;
use crate::record::{Offset, Partition, Timestamp};

/// The last time that can be meant, in milliseconds since 1970 UTC: the largest number that every reader of JSON has exactly.
const LAST: u64 = (1 << 53) - 1;

/// So many letters can be left out.
const EXCEPTED: usize = 500;

/// Letters that meet every condition; without any, all that were neither re-driven nor discarded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::api) struct Which {
    /// Those that failed at this time or later, in milliseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = LAST))]
    pub(in crate::api) since: Option<u64>,
    /// Those that failed before this time, in milliseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = LAST))]
    pub(in crate::api) until: Option<u64>,
    /// Those with this reason, as `timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) reason: Option<String>,
    /// Those with this text in their error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) error: Option<String>,
    /// Those of records of this topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) origin: Option<String>,
    /// Those of records of this partition of their topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) origin_partition: Option<i32>,
    /// Those of records with this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) key: Option<String>,
    /// Those of records with this header: its name, or `name=value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) header: Option<String>,
    /// Those in this partition of the letters' topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub(in crate::api) partition: Option<i32>,
    /// The one at this offset of that partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub(in crate::api) offset: Option<i64>,
    /// Not those at these places of the letters' topic, as `0:17,1:4`: partition and offset of each, 500 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) except: Option<String>,
    /// Those too that were re-driven.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::api) with_redriven: bool,
    /// Those too that were discarded.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::api) with_discarded: bool,
}

impl Which {
    pub(in crate::api) fn filter(&self) -> Result<Filter, Problem> {
        let time = |name: &str, millis: u64| {
            let time = i64::try_from(millis).ok().filter(|_| millis <= LAST).and_then(Timestamp::from_millis);
            time.ok_or_else(|| Problem::bad_request(format!("`{name}` is no time")))
        };
        let mut filter = Filter::all();
        if let Some(since) = self.since {
            filter = filter.since(time("since", since)?);
        }
        if let Some(until) = self.until {
            filter = filter.until(time("until", until)?);
        }
        if let Some(name) = &self.reason {
            let reason = Reason::ALL.into_iter().find(|reason| reason.name() == name);
            let names = Reason::ALL.map(Reason::name).join(", ");
            let unknown = || Problem::bad_request(format!("`reason` is `{name}`, but must be one of: {names}"));
            filter = filter.reason(reason.ok_or_else(unknown)?);
        }
        filter = self.error.iter().fold(filter, Filter::error_contains);
        filter = self.origin.iter().fold(filter, |filter, origin| filter.origin(origin.as_str()));
        filter = self.origin_partition.map(Partition).into_iter().fold(filter, Filter::origin_partition);
        filter = self.key.iter().fold(filter, |filter, key| filter.key(key.as_str()));
        filter = self.header.iter().fold(filter, |filter, header| match header.split_once('=') {
            Some((name, value)) => filter.header(name, value),
            None => filter.has_header(header.as_str()),
        });
        if self.partition.is_some_and(i32::is_negative) || self.offset.is_some_and(i64::is_negative) {
            return Err(Problem::bad_request("`partition` and `offset` are 0 or more"));
        }
        filter = match (self.partition, self.offset) {
            (Some(partition), Some(offset)) => filter.at(Partition(partition), Offset(offset)),
            (Some(partition), None) => filter.partition(Partition(partition)),
            (None, None) => filter,
            (None, Some(_)) => return Err(Problem::bad_request("an `offset` needs its `partition`")),
        };
        if let Some(except) = &self.except {
            let places: Option<Vec<_>> = except.split(',').map(|place| place_of(place.trim())).collect();
            let places = places.filter(|places| places.len() <= EXCEPTED);
            let refused = || {
                Problem::bad_request(format!(
                    "`except` is `{}`, but must be up to {EXCEPTED} places as in `0:17,1:4`",
                    except.chars().take(100).collect::<String>()
                ))
            };
            filter = places
                .ok_or_else(refused)?
                .into_iter()
                .fold(filter, |filter, (partition, offset)| filter.except(partition, offset));
        }
        filter = if self.with_redriven { filter.with_redriven() } else { filter };
        Ok(if self.with_discarded { filter.with_discarded() } else { filter })
    }

    /// The same without what fails from now on: what is counted and then done must be the same.
    pub(in crate::api) fn until_now(self) -> Self {
        Self { until: self.until.or_else(|| Some(Timestamp::now().as_millis())), ..self }
    }

    /// The same but for these places, too; `None` where these are more than can be left out.
    pub(in crate::api) fn but_for(&self, places: impl IntoIterator<Item = (i32, i64)>) -> Option<Self> {
        let places = places.into_iter().map(|(partition, offset)| format!("{partition}:{offset}"));
        let known = self.except.iter().flat_map(|except| except.split(',')).map(|place| place.trim().to_owned());
        let all: BTreeSet<String> = known.chain(places).collect();
        let except = all.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        (all.len() <= EXCEPTED).then(|| Self { except: Some(except).filter(|all| !all.is_empty()), ..self.clone() })
    }

    /// Whether they ask what stands in records.
    pub(in crate::api) fn asks_of_records(&self) -> bool {
        self.key.is_some() || self.header.is_some()
    }

    /// In words, for the audit log.
    pub(in crate::api) fn told(&self) -> String {
        let query = self.query();
        if query.is_empty() { "all".to_owned() } else { query }
    }

    /// As they stand in an address.
    pub(in crate::api) fn query(&self) -> String {
        serde_urlencoded::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Which {
        serde_urlencoded::from_str(query).expect("it is well formed")
    }

    #[test]
    fn conditions_become_a_filter_and_an_address_again() {
        let query = "since=1000&until=2000&reason=poison&error=down&origin=orders&origin_partition=3&key=ada\
                     &header=origin%3Dload%3Dtest&partition=1&offset=7&except=1%3A8%2C2%3A0&with_redriven=true&with_discarded=true";
        let time = |millis| Timestamp::from_millis(millis).expect("not negative");
        let expected = Filter::all()
            .since(time(1_000))
            .until(time(2_000))
            .reason(Reason::Poison)
            .error_contains("down")
            .origin("orders")
            .origin_partition(Partition(3))
            .key("ada")
            .header("origin", "load=test")
            .at(Partition(1), Offset(7))
            .except(Partition(1), Offset(8))
            .except(Partition(2), Offset(0))
            .with_redriven()
            .with_discarded();
        assert_eq!(read(query).filter(), Ok(expected));
        assert_eq!(read(query).query(), query);
        assert_eq!(read("").filter(), Ok(Filter::all()));
        assert_eq!(read("partition=1").filter(), Ok(Filter::all().partition(Partition(1))));
        assert_eq!(read("header=trace").filter(), Ok(Filter::all().has_header("trace")));
    }

    #[test]
    fn as_many_places_are_left_out_as_can_be_asked_for() {
        let which = read("except=0:7, 1:8&reason=poison");
        let others = which.but_for([(1, 8), (2, 9)]).expect("few");
        assert_eq!((others.except.as_deref(), others.reason.as_deref()), (Some("0:7,1:8,2:9"), Some("poison")));
        assert_eq!(read("").but_for([]), Some(Which::default()));
        let most = which.but_for((0..498).map(|offset| (3, offset))).expect("500");
        assert!(most.filter().is_ok());
        assert_eq!(which.but_for((0..499).map(|offset| (3, offset))), None);
    }

    #[test]
    fn what_no_condition_can_be_is_told() {
        let refused = |query: &str| read(query).filter().map_err(|problem| problem.detail().to_owned());
        let reasons = "undecodable, poison, not_retryable, error, panic, timeout, crash";
        let said = format!("`reason` is `luck`, but must be one of: {reasons}");
        assert_eq!(refused("reason=luck"), Err(said));
        assert_eq!(refused("offset=7"), Err("an `offset` needs its `partition`".to_owned()));
        let said = "`except` is `7`, but must be up to 500 places as in `0:17,1:4`";
        assert_eq!(refused("except=7"), Err(said.to_owned()));
        assert!(refused(&format!("except={}", vec!["0:1"; 501].join(","))).is_err());
        assert!(serde_urlencoded::from_str::<Which>("sinec=7").is_err());
    }
}
