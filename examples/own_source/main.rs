//! A source of one's own: records from a WebSocket, under the same pipeline as Kafka's.
//!
//! ```text
//! cargo run --example own_source                    goes on until Ctrl-C
//! cargo run --example own_source -- --quotes 200    ends by itself once so many are acknowledged
//! ```
//!
//! A feed of currency quotes ([`feed`]) stands in for the service that yours reads; here it is a server in the same process. Quotes have
//! positions, and the feed keeps what was acknowledged: that is what a commit is to this source ([`source`]). Halfway the feed hangs up on
//! purpose. The daemon fails, its supervisor starts it again, and the source goes on from what was acknowledged: what was handled and not
//! acknowledged comes again, and nothing is lost. A quote that can't be read becomes a dead letter in a file ([`letters`]).

mod feed;
mod letters;
mod source;

use std::collections::HashMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use daemonry::daemon::SourceDaemon;
use daemonry::handler::extract::{Json, State};
use daemonry::handler::{HandlerError, ProcessingOrder, Router, on};
use daemonry::pipeline::PipelineSettings;
use daemonry::record::Offset;
use daemonry::shutdown::Exit;
use daemonry::supervisor::{RestartPolicy, Supervisor};
use daemonry::telemetry::{self, LogFormat};
use serde::Deserialize;
use tokio::runtime;
use tokio::time::sleep;

use feed::Feed;
use letters::LetterFile;
use source::{FEED, QuoteSource};

#[derive(Debug, Deserialize)]
struct Quote {
    pair: String,
    rate: f64,
}

/// What the handler has done so far, for the summary.
#[derive(Clone, Default)]
struct Book {
    pages: Arc<Mutex<Pages>>,
}

#[derive(Default)]
struct Pages {
    /// How often each position was handled.
    handled: HashMap<Offset, u32>,
    /// The last rate of each pair.
    rates: HashMap<String, f64>,
}

async fn quote(State(book): State<Book>, offset: Offset, Json(quote): Json<Quote>) -> Result<(), HandlerError> {
    sleep(Duration::from_millis(5)).await; // your database
    let mut pages = book.pages.lock().unwrap_or_else(PoisonError::into_inner);
    *pages.handled.entry(offset).or_default() += 1;
    pages.rates.insert(quote.pair, quote.rate);
    Ok(())
}

fn run(quotes: Option<usize>) -> anyhow::Result<Exit> {
    let (book, letters) = (Book::default(), tempfile::NamedTempFile::new()?);
    // The feed has threads of its own: it is another program, usually on another machine.
    let elsewhere = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let feed = elsewhere.block_on(Feed::start(quotes))?;

    let (address, state, path) = (feed.address(), book.clone(), letters.path().to_owned());
    let supervisor = Supervisor::new().admin(([127, 0, 0, 1], 0).into());
    let policy = RestartPolicy::exponential().base(Duration::from_millis(200));
    let supervisor = supervisor.daemon_with(policy, move || {
        let route = on(quote).order(ProcessingOrder::Key).dead_letter("quotes.failed");
        let router = Router::new().topic(FEED, route).with_state(state.clone());
        let connect = QuoteSource::connect(address, router.subscription());
        // An acknowledgement costs little here; the more often, the less comes again.
        let settings = PipelineSettings { commit_interval: Duration::from_millis(100), ..PipelineSettings::default() };
        SourceDaemon::new("quotes", connect, router)
            .settings(settings)
            .dead_letters(Arc::new(LetterFile::new(path.clone())))
    });
    let shutdown = supervisor.shutdown();
    let finished = feed.clone();
    elsewhere.spawn(async move {
        finished.all_acknowledged().await;
        shutdown.request();
    });
    let exit = supervisor.run();

    let pages = book.pages.lock().unwrap_or_else(PoisonError::into_inner);
    let (written, acknowledged) = (feed.written(), feed.acknowledged());
    let letters = letters::positions(letters.path())?;
    let again = pages.handled.values().filter(|&&times| times > 1).count();
    writeln!(
        io::stdout(),
        "{written} quotes of {} pairs, {acknowledged} acknowledged; the feed {}, {again} came again; {} dead letters",
        pages.rates.len(),
        if feed.hung_up().is_some() { "hung up once" } else { "never hung up" },
        letters.len()
    )?;
    let is_settled = |position| pages.handled.contains_key(&Offset(position)) || letters.contains(&position);
    let lost: Vec<i64> = (0..acknowledged).filter(|&position| !is_settled(position)).collect();
    ensure!(lost.is_empty(), "acknowledged, but neither handled nor a dead letter: {lost:?}");
    let safe = |position: &Offset| feed.hung_up().is_some_and(|acknowledged| position.0 < acknowledged);
    let needless = pages.handled.iter().filter(|&(position, &times)| safe(position) && times > 1).count();
    ensure!(needless == 0, "{needless} came again that were acknowledged before the feed hung up");
    Ok(exit)
}

fn main() -> anyhow::Result<ExitCode> {
    telemetry::init(LogFormat::Human)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quotes = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["--quotes", count] => Some(count.parse()?),
        _ => anyhow::bail!("usage: own_source [--quotes N]"),
    };
    Ok(run(quotes)?.into())
}
