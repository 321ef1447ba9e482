//! What a seek is about: how many records it has handled again, or never, told before it is done.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DaemonName;
use super::steering::Destination;
use crate::api::access::Role;
use crate::api::daemons::shown::Partition;
use crate::api::endpoint::{Asked, Endpoint, Named};
use crate::api::fleet::Members;
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::api::topics;
use crate::record::{Offset, Timestamp};

pub(super) fn endpoint() -> Endpoint {
    let summary = "How many records a seek would have handled again, or never";
    Endpoint::get::<StakeShown, _>("/api/v1/daemons/{daemon}/seek", Role::Operator, summary, stake)
        .with::<DaemonName>()
        .with::<Seeking>()
}

/// Where a partition would go on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Seeking {
    topic: String,
    #[schemars(range(min = 0))]
    partition: i32,
    /// `beginning`, `end`, an offset, a time as in `2026-11-26T18:00:00Z`, or `@` and milliseconds since 1970.
    to: String,
}

/// What a seek is about.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct StakeShown {
    /// So many records, at most; null where that is not known.
    pub(crate) records: Option<u64>,
    /// What becomes of them; null where that is not known.
    pub(crate) effect: Option<Effect>,
}

/// What a seek does to records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Effect {
    /// They are handled again.
    Again,
    /// They are never handled.
    Never,
}

impl Effect {
    /// As people say it.
    pub(crate) fn said(self) -> &'static str {
        match self {
            Self::Again => "at most are handled again",
            Self::Never => "at most are never handled",
        }
    }
}

/// What a seek is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) struct Stake {
    pub(in crate::api) records: u64,
    pub(in crate::api) effect: Effect,
}

impl Stake {
    /// What it does to the partition, as far as that is known. Which offset a time has the brokers know.
    pub(in crate::api) async fn of(
        api: &Api,
        daemon: &str,
        (topic, partition): (&str, i32),
        to: Destination,
    ) -> Option<Self> {
        let stands = {
            let members = Members::now(api);
            let mut all = members.of_daemon(daemon).flat_map(|(_, reported)| &reported.partitions);
            all.find(|one| one.topic == topic && one.partition == partition)?.clone()
        };
        let to = match to {
            Destination::Time(millis) => {
                let Offset(offset) = topics::offset_at(api, topic, partition, Timestamp::from_millis(millis)?).await?;
                Destination::Offset(offset)
            }
            to => to,
        };
        Self::among(&stands, to)
    }

    /// The same of a partition that stands so.
    fn among(stands: &Partition, to: Destination) -> Option<Self> {
        let about = |records: i64, effect| u64::try_from(records).ok().map(|records| Self { records, effect });
        match (to, stands.committed) {
            // Where its first record is only the broker knows.
            (Destination::Beginning, committed) => about(committed?, Effect::Again),
            (Destination::End, _) => stands.lag.map(|records| Self { records, effect: Effect::Never }),
            (Destination::Offset(offset), committed) if offset <= committed? => {
                about(committed?.saturating_sub(offset), Effect::Again)
            }
            (Destination::Offset(offset), committed) => about(offset.saturating_sub(committed?), Effect::Never),
            (Destination::Time(_), _) => None,
        }
    }
}

async fn stake(
    State(api): State<Api>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Asked(Seeking { topic, partition, to }): Asked<Seeking>,
) -> Result<Json<StakeShown>, Problem> {
    let to: Destination = to.parse().map_err(Problem::bad_request)?;
    super::steered(&api, &daemon).await?;
    let stake = Stake::of(&api, &daemon, (&topic, partition), to).await;
    Ok(Json(StakeShown { records: stake.map(|stake| stake.records), effect: stake.map(|stake| stake.effect) }))
}
