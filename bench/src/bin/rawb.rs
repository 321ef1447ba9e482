//! What librdkafka itself costs: the partitions' queues are forwarded into one, which is read in batches and handled in one thread.
//! A second thread polls for rebalances. What was handled is committed every second.
//!
//! It is no consumer to use: a partition that is taken away has its messages in the common queue still.

#![allow(unsafe_code, reason = "rdkafka has no batch reads; that they are ours too is no reason to measure with them")]

use std::ffi::CString;
use std::hint::black_box;
use std::ptr;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use bench::raw::{COMMIT, Positions, client};
use clap::Parser;
use meter::{Body, Flags, Handler, Meter};
use rdkafka::ClientContext;
use rdkafka::bindings as rd;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::types::RDKafkaRespErr;

/// Messages that are read at once.
const BATCH: usize = 1_000;

/// The common queue, once there is one.
#[derive(Clone)]
struct Forwarding(Arc<AtomicPtr<rd::rd_kafka_queue_t>>);

impl ClientContext for Forwarding {}

impl ConsumerContext for Forwarding {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Assign(partitions) = rebalance else { return };
        let handle = consumer.client().native_ptr();
        if self.0.load(Ordering::Acquire).is_null() {
            // SAFETY: the client lives, and the queue is destroyed once, at the end of `consume`.
            self.0.store(unsafe { rd::rd_kafka_queue_new(handle) }, Ordering::Release);
        }
        for partition in partitions.elements() {
            let topic = CString::new(partition.topic()).expect("a topic's name holds no NUL");
            // SAFETY: client, name and common queue live; the reference to the partition's queue is ours, and given back once.
            // The forwarding stays.
            unsafe {
                let queue = rd::rd_kafka_queue_get_partition(handle, topic.as_ptr(), partition.partition());
                assert!(!queue.is_null(), "a partition that is assigned has a queue");
                rd::rd_kafka_queue_forward(queue, self.0.load(Ordering::Acquire));
                rd::rd_kafka_queue_destroy(queue);
            }
        }
    }
}

/// What is there, a whole batch at most, or the first message that comes within 100 ms. Each is destroyed by the caller, once.
fn read(queue: *mut rd::rd_kafka_queue_t, batch: &mut [*mut rd::rd_kafka_message_t]) -> usize {
    // SAFETY: the queue lives, and the batch has room for as many as are asked for.
    unsafe {
        // With a timeout it would wait all of it for a batch that isn't full.
        let read = rd::rd_kafka_consume_batch_queue(queue, 0, batch.as_mut_ptr(), batch.len());
        if read > 0 {
            return read.cast_unsigned();
        }
        batch[0] = rd::rd_kafka_consume_queue(queue, 100);
        usize::from(!batch[0].is_null())
    }
}

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    flags: Flags,
    /// So many clients, each in a group of its own, that read the same topic; `count` is what all of them handle together.
    #[arg(long, default_value_t = 1)]
    daemons: usize,
    /// What is done with each message, before it is given back.
    #[arg(long, default_value = "none")]
    handler: Handler,
}

/// What the clients of one run share.
struct Run {
    meter: Meter,
    handler: Handler,
    ended: AtomicBool,
}

fn main() -> Result<()> {
    let Args { flags, daemons, handler } = Args::parse();
    let meter = match handler {
        Handler::None => Meter::new(flags.count),
        Handler::Json => Meter::without_latencies(flags.count),
    };
    let run = Run { meter, handler, ended: AtomicBool::new(false) };
    thread::scope(|scope| {
        let client = |number: usize| {
            let flags = Flags { group: format!("{}-{number}", flags.group), ..flags.clone() };
            let run = &run;
            scope.spawn(move || consume(&flags, run))
        };
        let clients: Vec<_> = (0..daemons).map(client).collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow!("a client has panicked"))?)
    })?;
    run.meter.print();
    Ok(())
}

/// One client, until all that is to be handled is.
fn consume(flags: &Flags, Run { meter, handler, ended }: &Run) -> Result<()> {
    let forwarding = Forwarding(Arc::new(AtomicPtr::new(ptr::null_mut())));
    let consumer: Arc<BaseConsumer<Forwarding>> = Arc::new(client(flags).create_with_context(forwarding.clone())?);
    consumer.subscribe(&[&flags.topic])?;
    let stopped = Arc::new(AtomicBool::new(false));
    let events = thread::spawn({
        let (consumer, stopped) = (Arc::clone(&consumer), Arc::clone(&stopped));
        move || {
            while !stopped.load(Ordering::Acquire) {
                match consumer.poll(Duration::from_millis(100)) {
                    None => {}
                    Some(Ok(_)) => eprintln!("a message in the consumer's own queue: it is not counted"),
                    Some(Err(error)) => eprintln!("{error}"),
                }
            }
        }
    });
    while forwarding.0.load(Ordering::Acquire).is_null() {
        thread::sleep(Duration::from_millis(1));
    }
    let queue = forwarding.0.load(Ordering::Acquire);

    let mut batch = vec![ptr::null_mut(); BATCH];
    let (mut next, mut committed) = (Positions::default(), Instant::now());
    while !ended.load(Ordering::Relaxed) {
        let read = read(queue, &mut batch);
        let mut is_over = false;
        for message in &batch[..read] {
            // SAFETY: the message was just read and is destroyed below, after the last use of it and of its payload.
            let message_ref = unsafe { &**message };
            if message_ref.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                eprintln!("{:?}", message_ref.err);
            } else if !is_over {
                let payload = if message_ref.payload.is_null() {
                    &[]
                } else {
                    // SAFETY: as above; librdkafka says how long its payload is.
                    unsafe { slice::from_raw_parts(message_ref.payload.cast::<u8>(), message_ref.len) }
                };
                meter.start(payload);
                if let Some(wait) = flags.work.wait(payload) {
                    thread::sleep(wait);
                }
                if *handler == Handler::Json {
                    let Body { n, k, p } = serde_json::from_slice(payload)?;
                    black_box((n, k, p));
                }
                next.handled(message_ref.partition, message_ref.offset);
                is_over = meter.done();
            }
            // SAFETY: it is ours, and destroyed once.
            unsafe { rd::rd_kafka_message_destroy(*message) };
        }
        if is_over {
            ended.store(true, Ordering::Relaxed);
        } else if committed.elapsed() > COMMIT && !next.is_empty() {
            consumer.commit(&next.list(&flags.topic)?, CommitMode::Async)?;
            committed = Instant::now();
        }
    }
    if !next.is_empty() {
        consumer.commit(&next.list(&flags.topic)?, CommitMode::Sync)?;
    }

    stopped.store(true, Ordering::Release);
    ensure!(events.join().is_ok(), "the thread that polls has panicked");
    // SAFETY: nobody reads it any more, and the client lives still.
    unsafe { rd::rd_kafka_queue_destroy(queue) };
    Ok(())
}
