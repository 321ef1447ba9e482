//! The reporter: tells of this process, every five seconds and until its end.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::helm::Steering;
use super::report::Report;
use super::{FleetConfig, Trouble, make};
use crate::api::Instance;
use crate::producer::SendError;
use crate::record::OwnedRecord;
use crate::supervisor::Roster;

/// How long a report may take: the next one says more.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long it may take to take the last one back.
const GOODBYE: Duration = Duration::from_secs(1);

/// See the module. Dropping it takes the report back, and waits for that.
#[derive(Debug)]
pub(super) struct Reporter {
    trouble: Arc<Trouble>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Reporter {
    pub(super) fn start(
        config: FleetConfig,
        instance: Instance,
        roster: Roster,
        steering: Steering,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let (trouble, stop) =
            (Arc::new(Trouble::of("the others do not hear of this process")), CancellationToken::new());
        let (told, stopped) = (Arc::clone(&trouble), stop.clone());
        let work = move || {
            runtime.block_on(report(&config, &instance, &roster, &steering, &told, &stopped));
            // A topic that is still being made is not waited for.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("daemonry-fleet".to_owned()).spawn(work)?;
        Ok(Self { trouble, stop, thread: Some(thread) })
    }

    /// Why the others may not hear of this process.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.known()
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("what tells the fleet of this process panicked");
        }
    }
}

async fn report(
    config: &FleetConfig,
    instance: &Instance,
    roster: &Roster,
    steering: &Steering,
    trouble: &Trouble,
    stop: &CancellationToken,
) {
    let (mut is_made, mut is_told) = (false, false);
    let mut ticks = interval(config.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let telling = async {
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = steering.news() => {}
            }
            let went = async {
                if !is_made {
                    make(&config.topic, Arc::clone(&config.shelf)).await?;
                    is_made = true;
                }
                let told = serde_json::to_vec(&Report::now(instance, roster, steering.steered()));
                let record = OwnedRecord::new(told.map_err(|error| error.to_string())?).with_key(instance.id.as_str());
                is_told = true;
                let sent = timeout(PATIENCE, config.producer.send(config.topic.as_str(), record)).await;
                sent.map_err(|_| format!("a report to `{}` was not acknowledged within {PATIENCE:?}", config.topic))?
                    .map_err(|error| {
                        is_made &= !matches!(error, SendError::UnknownTopic(_));
                        error.to_string()
                    })
            };
            let went = went.await.map(drop);
            trouble.note(went);
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = telling => {}
        () = roster.history().record(roster) => {}
    }
    if is_told {
        let gone = OwnedRecord { value: None, ..OwnedRecord::new("") }.with_key(instance.id.as_str());
        // Else it is silent to the others for a while, and then forgotten.
        timeout(GOODBYE, config.producer.send(config.topic.as_str(), gone)).await.ok();
    }
}
