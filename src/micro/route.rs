//! The call of a handler through its route: extractors, layers, and the driver that has no type.

use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde::Deserialize;
use tokio::runtime::{Builder, Runtime};

use super::{Benchmark, RECORDS, Round, Rounds, records};
use crate::handler::extract::{Json, State};
use crate::handler::layer::TimeoutLayer;
use crate::handler::{Attempts, Delivery, RouteSpec, Router, Verdict, Work, on};
use crate::record::Record;

pub(super) const BENCHMARKS: &[Benchmark] = &[
    Benchmark::new("route/raw", RECORDS, || {
        let router = Router::new().topic("orders", on(raw));
        Box::new(Calls::new(router, b"0123456789abcdef"))
    }),
    Benchmark::new("route/json_state_timeout", RECORDS, || {
        let route = on(json).layer(TimeoutLayer::new(Duration::from_secs(30)));
        let router = Router::new().topic("orders", route).with_state(Shop { discount: 7 });
        Box::new(Calls::new(router, br#"{"id": 4711, "customer": 12, "cents": 1999, "paid": true}"#))
    }),
];

async fn raw(record: Record) {
    black_box(record.value());
}

#[derive(Clone, Copy)]
struct Shop {
    discount: u64,
}

/// Of numbers alone: what a payload's texts take is not the route's.
#[derive(Deserialize)]
struct Order {
    id: u64,
    customer: u32,
    cents: u64,
    paid: bool,
}

async fn json(State(shop): State<Shop>, Json(order): Json<Order>) {
    black_box((order.id, order.customer, order.cents - shop.discount, order.paid));
}

struct Calls {
    route: Arc<RouteSpec>,
    value: &'static [u8],
    /// Layers with a timeout want one around them.
    runtime: Runtime,
}

impl Calls {
    fn new(router: Router, value: &'static [u8]) -> Self {
        let route = Arc::clone(router.into_routes().of(&"orders".into()).expect("just made"));
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime without I/O needs nothing");
        Self { route, value, runtime }
    }

    fn drive(&self, run: &mut Run) {
        let Work::Each(handler) = &self.route.work else { unreachable!("no route here takes batches") };
        let _inside = self.runtime.enter();
        let mut driven = handler.drive(run, self.route.settings.timeout);
        let polled = driven.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(()), "no handler here waits");
    }
}

impl Rounds for Calls {
    fn prepare(&mut self) -> Round<'_> {
        let mut run = Run { records: records(0, RECORDS, self.value).into_iter(), delivery: None, succeeded: 0 };
        Box::new(move || {
            self.drive(&mut run);
            assert_eq!(run.succeeded, RECORDS);
        })
    }
}

/// The attempts of a run, handed out as a worker does.
struct Run {
    records: std::vec::IntoIter<Record>,
    delivery: Option<Delivery>,
    succeeded: usize,
}

impl Attempts for Run {
    fn next(&mut self) -> Option<&Delivery> {
        let record = self.records.next()?;
        match &mut self.delivery {
            Some(delivery) => delivery.turn_to(record, 1),
            empty => *empty = Some(Delivery::new(record, 1)),
        }
        self.delivery.as_ref()
    }

    fn waits(&mut self) {
        unreachable!("no handler here waits");
    }

    fn ended(&mut self, verdict: Verdict) {
        self.succeeded += usize::from(matches!(verdict, Verdict::Succeeded));
    }
}
