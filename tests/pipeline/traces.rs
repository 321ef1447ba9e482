//! The way of a trace: from a record's headers into its handler's span, and out with what that sends and with its dead letter.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use daemonry::handler::extract::Producer;
use daemonry::handler::layer::TraceLayer;
use daemonry::handler::{HandlerError, Route, on};
use daemonry::record::OwnedRecord;
use daemonry::retry::RetryPolicy;
use daemonry::trace::{TRACEPARENT, TRACESTATE, TraceContext};
use parking_lot::Mutex;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::scene::{LETTERS, Scene, TOPIC, header, until};

const OUT: &str = "invoices";
const STATE: &str = "vendor=opaque,other=1";

/// Spans as they were begun: name and fields, those of their parents included.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<(String, Texts)>>>);

type Texts = HashMap<String, String>;

struct Fields<'a>(&'a mut Texts);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).expect("it was just made");
        let mut fields = HashMap::new();
        for parent in span.scope().from_root() {
            fields.extend(parent.extensions().get::<Texts>().cloned().unwrap_or_default());
        }
        attributes.record(&mut Fields(&mut fields));
        span.extensions_mut().insert(fields.clone());
        self.0.lock().push((span.name().to_owned(), fields));
    }
}

/// Sends a record on, and then can't go on.
fn route() -> Route {
    let handle = |producer: Producer| async move {
        producer.send(OUT, OwnedRecord::new("y")).await?;
        Err::<(), _>(HandlerError::from(anyhow::anyhow!("no")))
    };
    on(handle).retry(RetryPolicy::exponential().max_retries(1))
}

#[tokio::test(start_paused = true)]
async fn a_trace_goes_from_a_record_into_a_span_for_each_attempt_and_out_again() {
    let spans = Spans::default();
    let _default = tracing::subscriber::set_default(Registry::default().with(spans.clone()));
    let scene = Scene::new(1);
    scene.broker.create_topic(OUT, 1);
    let sender = TraceContext::root();
    let record = OwnedRecord::new("x").with_key("a");
    let record = record.with_header(TRACEPARENT, sender.to_string()).with_header(TRACESTATE, STATE);
    scene.broker.produce(TOPIC, 0, record);
    let process = scene.start(route().layer(TraceLayer::new()));
    until("its letter", || scene.letters(0) == [0]).await;

    let spans = spans.0.lock().clone();
    let attempts: Vec<_> = spans.into_iter().filter(|(name, _)| name == "record").map(|(_, fields)| fields).collect();
    assert_eq!(attempts.len(), 2, "one for each attempt");
    let sent = scene.broker.records(OUT, 0);
    for (n, (fields, (_, sent))) in attempts.iter().zip(&sent).enumerate() {
        let expected = [
            ("daemon", "shop".to_owned()),
            ("topic", TOPIC.to_owned()),
            ("partition", "0".to_owned()),
            ("offset", "0".to_owned()),
            ("attempt", (n + 1).to_string()),
            ("trace_id", sender.trace_id().to_string()),
            ("parent_id", sender.span_id().to_string()),
        ];
        for (name, value) in expected {
            assert_eq!(fields.get(name), Some(&value), "{name}");
        }
        let out = TraceContext::parse(header(sent, TRACEPARENT).as_bytes()).expect("the header is there");
        assert_eq!(out.trace_id().to_string(), sender.trace_id().to_string());
        assert_eq!(
            Some(&out.span_id().to_string()),
            fields.get("span_id"),
            "the attempt is the parent of what it sends"
        );
        assert_eq!(header(sent, TRACESTATE), STATE);
    }
    assert_ne!(attempts[0]["span_id"], attempts[1]["span_id"]);

    let (_, letter) = &scene.broker.records(LETTERS, 0)[0];
    assert_eq!((header(letter, TRACEPARENT), header(letter, TRACESTATE)), (sender.to_string(), STATE.to_owned()));
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_trace_goes_on_without_a_layer_and_the_state_of_one_that_is_not_understood_does_not() {
    for (parent, goes_on) in [(TraceContext::root().to_string(), true), ("garbage".to_owned(), false)] {
        let scene = Scene::new(1);
        scene.broker.create_topic(OUT, 1);
        let record = OwnedRecord::new("x").with_header(TRACEPARENT, parent).with_header(TRACESTATE, STATE);
        scene.broker.produce(TOPIC, 0, record);
        let process = scene.start(route());
        until("its letter", || scene.letters(0) == [0]).await;
        let (_, sent) = &scene.broker.records(OUT, 0)[0];
        assert_eq!(header(sent, TRACESTATE) == STATE, goes_on);
        assert_eq!(TraceContext::parse(header(sent, TRACEPARENT).as_bytes()).is_some(), goes_on);
        process.stop_cleanly().await;
    }
}
