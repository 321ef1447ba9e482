//! What operators do meanwhile: partitions rest, go on elsewhere, or are added, and records are passed over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemonry::pipeline::control::{Control, Scope};
use daemonry::pipeline::seek::SeekTo;
use daemonry::record::{Offset, TopicPartition};
use tokio::time::sleep;

use crate::plan::Behaviour;
use crate::{SharedWorld, Simulation, TOPIC};

/// What operators want, of all processes.
#[derive(Default)]
pub(crate) struct Wishes {
    /// Those that there ever were.
    controls: Vec<Control>,
    /// Partitions that rest, and how often somebody asked for that.
    paused: BTreeMap<i32, usize>,
    skips: Vec<(i32, Offset)>,
}

impl Wishes {
    /// The control of one more process, which is as operators want.
    pub(crate) fn control(&mut self) -> Control {
        let control = Control::new();
        self.paused.keys().for_each(|partition| control.pause(rest(*partition)));
        for (partition, offset) in &self.skips {
            control.skip(TopicPartition::new(TOPIC, *partition), *offset);
        }
        self.controls.push(control.clone());
        control
    }
}

impl Wishes {
    /// Whether what stands there is to be passed over.
    pub(crate) fn skips(&self, partition: i32, offset: Offset) -> bool {
        self.skips.contains(&(partition, offset))
    }

    pub(crate) fn controls(&self) -> &[Control] {
        &self.controls
    }
}

fn rest(partition: i32) -> Scope {
    Scope::Partition(TopicPartition::new(TOPIC, partition))
}

impl Simulation {
    /// Has a partition rest for a while, in all processes.
    pub(crate) fn pause(&self, partition: i32, time: Duration) {
        let wish = move |rests: bool, wishes: &mut Wishes, world: &SharedWorld| {
            let times = wishes.paused.entry(partition).or_default();
            *times = if rests { *times + 1 } else { *times - 1 };
            if *times == 0 {
                wishes.paused.remove(&partition);
                wishes.controls.iter().for_each(|control| control.resume(&rest(partition)));
                world.lock().rests(partition, false);
            } else {
                wishes.controls.iter().for_each(|control| control.pause(rest(partition)));
                world.lock().rests(partition, true);
            }
        };
        wish(true, &mut self.wishes.lock(), &self.world);
        let (wishes, world) = (Arc::clone(&self.wishes), Arc::clone(&self.world));
        tokio::spawn(async move {
            sleep(time).await;
            wish(false, &mut wishes.lock(), &world);
        });
    }

    /// Has a partition of this process go on elsewhere, if it is its own by then.
    pub(crate) fn seek(&self, control: Control, partition: i32, place: i64) {
        let number = self.world.lock().seeks(partition, place);
        let world = Arc::clone(&self.world);
        tokio::spawn(async move {
            let to = SeekTo::Offset(Offset(place));
            let answer = control.seek(TopicPartition::new(TOPIC, partition), to).await;
            world.lock().sought(number, answer.is_ok());
        });
    }

    /// Has a record passed over, whichever process gets it.
    pub(crate) fn skip(&self, id: usize) {
        let mut world = self.world.lock();
        world.waived(id);
        let (partition, offset) = (world.records[id].partition, Offset(world.records[id].offset));
        // Another record may stand there by now.
        world.waive_place(partition, offset.0);
        let mut wishes = self.wishes.lock();
        wishes.skips.push((partition, offset));
        let place = TopicPartition::new(TOPIC, partition);
        wishes.controls.iter().for_each(|control| control.skip(place.clone(), offset));
    }

    /// Adds a partition that has these records.
    pub(crate) fn grow(&self, records: Vec<(u64, Behaviour)>) {
        let partition = self.broker.partitions(TOPIC);
        self.broker.create_topic(TOPIC, partition + 1);
        self.write(partition, records);
    }
}
