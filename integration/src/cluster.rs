//! Several brokers, each a process of ours: killed, stopped and started again one by one or all at once; leaders and coordinators
//! move as a test wants.
//!
//! A topic has a replica on each of up to three brokers, and takes a record once two of those have it; so one may go at any time, and
//! nothing that was acknowledged is lost.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use daemonry::record::Partition;

use crate::broker::{Broker, BrokerOptions, Node, cluster_id, free_ports};
use crate::patience::{until, until_true};
use crate::topics::Topics;
use crate::wire::request;

/// What a change may take until all brokers know of it.
const SPREAD: Duration = Duration::from_secs(60);
/// What a broker may take for one answer.
const ANSWER: Duration = Duration::from_secs(10);
/// A broker of several may take less memory than one alone.
const HEAP_MIB: u32 = 384;

/// A running cluster.
///
/// Dropping it kills the brokers, waits for their end and removes their data.
#[derive(Debug)]
pub struct Cluster {
    /// That of node 1 first.
    brokers: Vec<Broker>,
    topics: Topics,
}

impl Cluster {
    /// Starts so many brokers, and waits until each knows of all of them.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn start(size: u16) -> Result<Self> {
        Self::start_each(vec![BrokerOptions::default(); usize::from(size)])
    }

    /// Starts a broker for each of these options.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn start_each(options: Vec<BrokerOptions>) -> Result<Self> {
        let size = options.len();
        let mut ports = free_ports(options.iter().map(|options| 1 + options.ports()).sum())?;
        let controllers = ports.split_off(ports.len() - size);
        let (cluster_id, replicas) = (cluster_id(), size.min(3));
        let mut prepared = Vec::new();
        for (id, options) in (1..).zip(options) {
            let own = ports.split_off(ports.len() - options.ports());
            let node = Node { id, cluster_id: cluster_id.clone(), controllers: controllers.clone() };
            let options = options.heap_mib(HEAP_MIB).replicated(replicas);
            prepared.push(thread::spawn(move || Broker::prepare(Broker::directory()?, options, node, own)));
        }
        let prepared = prepared.into_iter().map(|thread| thread.join().map_err(|_| anyhow::anyhow!("it panicked"))?);
        let mut brokers = prepared.collect::<Result<Vec<_>>>()?;
        start(&mut brokers)?;
        let topics = Topics::connect(bootstrap(&brokers))?;
        let cluster = Self { brokers, topics };
        cluster.until_whole()?;
        Ok(cluster)
    }

    /// The addresses of all its brokers, for clients.
    pub fn bootstrap(&self) -> String {
        bootstrap(&self.brokers)
    }

    /// The addresses of another listener of each broker.
    pub fn listeners(&self, name: &str) -> Vec<String> {
        self.brokers.iter().map(|broker| broker.listener(name)).collect()
    }

    /// Hands on it.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// A broker, by its id from 1.
    ///
    /// # Panics
    /// When there is none of this id.
    pub fn broker(&mut self, id: i32) -> &mut Broker {
        let index = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        index.and_then(|index| self.brokers.get_mut(index)).expect("the id of a broker")
    }

    /// Starts all brokers that don't run, and waits until each knows of all of them.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn restart_stopped(&mut self) -> Result<()> {
        start(&mut self.brokers)?;
        self.until_whole()
    }

    /// Kills all of them.
    ///
    /// # Errors
    /// When one can't be waited for.
    pub fn kill_all(&mut self) -> Result<()> {
        self.brokers.iter_mut().try_for_each(Broker::kill)
    }

    /// Who leads each partition of a topic.
    ///
    /// # Errors
    /// When no broker answers.
    pub fn leaders(&self, topic: &str) -> Result<BTreeMap<Partition, i32>> {
        let replicas = self.topics.replicas(topic)?;
        Ok(replicas.into_iter().map(|(partition, (leader, _))| (partition, leader)).collect())
    }

    /// Has the next replica of each partition of a topic lead it, and waits until it does. No record moves: who has it stays the same.
    ///
    /// # Errors
    /// When it is refused, or takes too long.
    pub fn move_leaders(&self, topic: &str) -> Result<()> {
        let mut wanted = Vec::new();
        for (partition, (leader, mut replicas)) in self.topics.replicas(topic)? {
            replicas.sort_unstable();
            let at = replicas.iter().position(|broker| *broker == leader).context("a leader is a replica")?;
            replicas.rotate_left(at + 1);
            wanted.push((partition, replicas));
        }
        let partitions: Vec<Partition> = wanted.iter().map(|(partition, _)| *partition).collect();
        let address = self.any_address()?;
        request::place_replicas(&address, topic, &wanted, ANSWER)?;
        until_true(SPREAD, &format!("the leaders of {topic} on their next replicas"), || {
            // Asked again: a replica may just be about to be in sync.
            request::elect_preferred(&address, topic, &partitions, ANSWER)?;
            let leaders = self.leaders(topic)?;
            Ok(wanted.iter().all(|(partition, replicas)| leaders.get(partition) == replicas.first()))
        })
    }

    /// Has these brokers have each partition of a topic, and the first of them lead it. Waits until all of them are in sync.
    ///
    /// # Errors
    /// When it is refused, or takes too long.
    pub fn place(&self, topic: &str, replicas: &[i32]) -> Result<()> {
        let partitions = self.topics.partitions(topic)?;
        let wanted: Vec<_> = partitions.iter().map(|partition| (*partition, replicas.to_vec())).collect();
        let address = self.any_address()?;
        request::place_replicas(&address, topic, &wanted, ANSWER)?;
        until_true(SPREAD, &format!("the replicas of {topic} on {replicas:?}"), || {
            let found = self.topics.replicas(topic)?;
            if found.values().any(|(_, found)| found != replicas) {
                return Ok(false);
            }
            request::elect_preferred(&address, topic, &partitions, ANSWER)?;
            Ok(self.leaders(topic)?.values().all(|leader| Some(leader) == replicas.first()))
        })?;
        self.until_whole()
    }

    /// The broker that coordinates a group.
    ///
    /// # Errors
    /// When nobody does in time.
    pub fn coordinator(&self, group: &str) -> Result<i32> {
        until(SPREAD, &format!("a coordinator of {group}"), || {
            request::coordinator(&self.any_address()?, group, ANSWER)
        })
    }

    /// Waits until each broker that runs knows of all of them, and all replicas of all partitions are in sync: until then the next one
    /// can't be done without.
    ///
    /// # Errors
    /// When it takes too long.
    pub fn until_whole(&self) -> Result<()> {
        let size = self.brokers.len();
        until_true(SPREAD, &format!("{size} brokers with all replicas in sync"), || {
            // None may answer yet.
            Ok(self.topics.is_whole(size).unwrap_or(false))
        })
    }

    /// The address of one that runs.
    fn any_address(&self) -> Result<String> {
        let running = self.brokers.iter().find(|broker| broker.runs());
        Ok(running.context("no broker runs")?.bootstrap())
    }
}

fn bootstrap(brokers: &[Broker]) -> String {
    let addresses: Vec<String> = brokers.iter().map(Broker::bootstrap).collect();
    addresses.join(",")
}

/// All at once: of three controllers two must be there before any answers.
fn start(brokers: &mut [Broker]) -> Result<()> {
    let mut stopped: Vec<&mut Broker> = brokers.iter_mut().filter(|broker| !broker.runs()).collect();
    stopped.iter_mut().try_for_each(|broker| broker.launch())?;
    stopped.iter_mut().try_for_each(|broker| broker.until_it_answers())
}
