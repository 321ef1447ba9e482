//! The handlers: each does what the plan says of its record.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use daemonry::handler::{ErrorClass, HandlerError, ProcessingOrder, Router, on, on_batch};
use daemonry::record::Record;
use daemonry::retry::RetryPolicy;
use daemonry::testing::{MemberId, MemoryBroker};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::plan::{Kind, Plan};
use crate::{SharedWorld, TOPIC, recount_letters};

/// Notes that a handler is gone however it goes.
struct Leaves(SharedWorld, usize, u64);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.lock().left(self.1, self.2);
    }
}

pub(crate) fn router(
    plan: &Plan,
    world: &SharedWorld,
    broker: &MemoryBroker,
    member: Arc<Mutex<Option<MemberId>>>,
    (process, killed): (u64, &Arc<Notify>),
) -> Router {
    let (world, broker, outage) = (Arc::clone(world), broker.clone(), plan.outage.clone());
    let killed = Arc::clone(killed);
    let one = move |record: Record| {
        let (world, broker, member) = (Arc::clone(&world), broker.clone(), Arc::clone(&member));
        let killed = Arc::clone(&killed);
        let outage = outage.clone();
        async move {
            let partition = record.partition().0;
            let id: usize = std::str::from_utf8(record.value().unwrap()).unwrap().parse().unwrap();
            let owned = member
                .lock()
                .is_some_and(|member| broker.owned(member).iter().any(|place| place.partition.0 == partition));
            recount_letters(&world, &broker);
            let attempts = world.lock().started(id, process, owned);
            let _leaves = Leaves(Arc::clone(&world), id, process);
            let behaviour = world.lock().records[id].behaviour;
            if !behaviour.sleep.is_zero() {
                sleep(behaviour.sleep).await;
            }
            if behaviour.kind == Kind::Kills {
                killed.notify_one();
                std::future::pending::<()>().await;
            }
            let error = || anyhow::anyhow!("attempt {attempts} fails");
            // What was finished before and runs again would else not end before the process is stopped.
            let is_new = !world.lock().records[id].is_finished();
            if is_new && outage.contains(&world.lock().elapsed()) {
                return Err(error().into());
            }
            match behaviour.kind {
                Kind::Kills => unreachable!("the process has ended"),
                Kind::Poison => return Err(HandlerError::poison(error())),
                Kind::Skip => {
                    world.lock().skipped(id);
                    return Err(HandlerError::skip("passed over"));
                }
                _ if attempts > behaviour.failures => {}
                Kind::Plain => return Err(error().into()),
                Kind::Panics => panic!("attempt {attempts} panics"),
                Kind::RetryAfter => return Err(HandlerError::retry_after(Duration::from_millis(700), error())),
                Kind::Hangs => std::future::pending().await,
            }
            world.lock().succeeded(id);
            Ok(())
        }
    };
    let retry = RetryPolicy::exponential().max_retries(plan.max_retries);
    let Some(max) = plan.batch else {
        let route = on(one).order(plan.order).retry(retry).circuit_breaker(plan.breaker).timeout(plan.timeout);
        return Router::new().topic(TOPIC, route);
    };
    // One record of the batch after the other; what is behind one of its lane that failed isn't begun.
    let order = plan.order;
    let many = move |records: Vec<Record>| {
        let one = one.clone();
        async move {
            let mut failed = HashSet::new();
            let mut results = Vec::with_capacity(records.len());
            for record in records {
                let lane = match order {
                    ProcessingOrder::Partition => (record.partition(), None, None),
                    ProcessingOrder::Key => (record.partition(), record.key().map(<[u8]>::to_vec), None),
                    ProcessingOrder::Unordered => (record.partition(), None, Some(record.offset())),
                };
                if failed.contains(&lane) {
                    results.push(Err(anyhow::anyhow!("it must wait").into()));
                    continue;
                }
                let result = one(record).await;
                if result.as_ref().is_err_and(|error: &HandlerError| error.class() != ErrorClass::Skip) {
                    failed.insert(lane);
                }
                results.push(result);
            }
            results
        }
    };
    // Time for each of them.
    let (within, timeout) = (Duration::from_millis(300), plan.timeout + Duration::from_secs(5));
    let route = on_batch(many).max(max).within(within).order(plan.order).retry(retry).timeout(timeout);
    let route = route.circuit_breaker(plan.breaker);
    Router::new().topic(TOPIC, route)
}
