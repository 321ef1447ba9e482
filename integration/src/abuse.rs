//! Whoever means no good, or can't do better: what an API may be sent, all of it at once; and somebody who behaves well meanwhile.
//!
//! They come from addresses of the loopback network, one for each way: what is bounded by address must not hide the other ways.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Who opens connections and doesn't let go of them.
const HOLDER: u8 = 1;
/// Who behaves well.
const VISITOR: u8 = 2;
/// Who asks too often.
const BURSTER: u8 = 3;
/// Who sends what is to be refused.
const ATTACKER: u8 = 4;

/// Connections that say nothing: more than are open at once.
pub const SILENT: usize = 96;
/// Connections that say a byte a second, half of them of a head and half of a body.
const TRICKLING: usize = 16;
/// Connections that never read what comes each second.
const UNREAD: usize = 16;
/// Requests at once, over what an address may ask.
const BURST: usize = 300;
/// What an answer may take. Longer than the API lets a connection last.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long nothing is read of a stream: longer than one goes on.
const READING: Duration = Duration::from_secs(9);
/// How soon somebody comes back.
const AGAIN: Duration = Duration::from_millis(500);

/// How often each way was answered how, by status; 0 where the connection was closed without an answer.
pub type Answers = BTreeMap<(&'static str, u16), usize>;

/// All of it, until it is stopped.
#[derive(Debug)]
pub struct Abuse(Crowd<Answers>);

impl Abuse {
    /// Begins, against the API at this address.
    ///
    /// # Errors
    /// When there can be no thread for it.
    pub fn start(api: SocketAddr) -> Result<Self> {
        Crowd::gather(move |answers: Arc<Mutex<Answers>>| {
            let mut all = JoinSet::new();
            for _ in 0..SILENT {
                all.spawn(again(answers.clone(), "silent", AGAIN, move || async move {
                    Ok(status(&until_closed(connect(HOLDER, api).await?).await?))
                }));
            }
            for number in 0..TRICKLING {
                let begin = match number % 2 {
                    0 => "GET /api/v1/daemons HTTP/1.1\r\nhost: localhost\r\nx-slow: ".to_owned(),
                    _ => post("/api/v1/daemons/ledger/pause", "localhost", "", 1_000),
                };
                all.spawn(again(answers.clone(), "a byte a second", AGAIN, move || trickle(api, begin.clone())));
            }
            for _ in 0..UNREAD {
                all.spawn(again(answers.clone(), "unread", AGAIN, move || async move {
                    let mut stream = connect(HOLDER, api).await?;
                    stream.write_all(get("/live/overview", "localhost").as_bytes()).await?;
                    sleep(READING).await;
                    Ok(status(&until_closed(stream).await?))
                }));
            }
            let large = format!("{{\"reason\": \"{}\"}}", "x".repeat(1 << 20));
            let origin = "origin: http://evil.example.org\r\nsec-fetch-site: cross-site\r\n";
            let (pause, reason) = ("/api/v1/daemons/ledger/pause", r#"{"reason": "harm"}"#);
            let ways = [
                ("oversized", post(pause, "localhost", "", large.len()) + &large),
                ("traversal", get("/api/v1/daemons/..%2f..%2f..%2fetc%2fpasswd", "localhost")),
                ("traversal", get("/../../../etc/passwd", "localhost")),
                ("cross-site", post(pause, "localhost", origin, reason.len()) + reason),
                ("foreign host", get("/api/v1/daemons", "evil.example.org")),
            ];
            for (way, request) in ways {
                let request = Arc::<str>::from(request);
                all.spawn(again(answers.clone(), way, AGAIN, move || ask(ATTACKER, api, Arc::clone(&request))));
            }
            all.spawn(async move {
                loop {
                    let mut burst = JoinSet::new();
                    for _ in 0..BURST {
                        burst.spawn(ask(BURSTER, api, get("/api/v1/me", "localhost").into()));
                    }
                    while let Some(answer) = burst.join_next().await {
                        note(&answers, "burst", answer.map_err(io::Error::other).flatten());
                    }
                    sleep(AGAIN).await;
                }
            });
            all
        })
        .map(Self)
    }

    /// Ends it.
    ///
    /// # Errors
    /// When its thread panicked.
    pub fn stop(self) -> Result<Answers> {
        self.0.stop()
    }
}

/// Somebody who asks ten times a second, from an address of their own.
#[derive(Debug)]
pub struct Visitor(Crowd<Vec<(u16, Duration)>>);

impl Visitor {
    /// Begins.
    ///
    /// # Errors
    /// When there can be no thread for it.
    pub fn start(api: SocketAddr) -> Result<Self> {
        Crowd::gather(move |told: Arc<Mutex<Vec<(u16, Duration)>>>| {
            let mut all = JoinSet::new();
            all.spawn(async move {
                loop {
                    let asked = Instant::now();
                    let answer = ask(VISITOR, api, get("/api/v1/daemons", "localhost").into()).await.unwrap_or(0);
                    told.lock().unwrap_or_else(PoisonError::into_inner).push((answer, asked.elapsed()));
                    sleep(Duration::from_millis(100).saturating_sub(asked.elapsed())).await;
                }
            });
            all
        })
        .map(Self)
    }

    /// Ends it: each answer's status, and how long it took.
    ///
    /// # Errors
    /// When its thread panicked.
    pub fn stop(self) -> Result<Vec<(u16, Duration)>> {
        self.0.stop()
    }
}

/// Tasks on a thread of their own, and what they have seen.
#[derive(Debug)]
struct Crowd<T> {
    // Dropped, it ends them.
    stop: oneshot::Sender<()>,
    seen: Arc<Mutex<T>>,
    thread: JoinHandle<()>,
}

impl<T: Default + Send + 'static> Crowd<T> {
    fn gather(begin: impl FnOnce(Arc<Mutex<T>>) -> JoinSet<()> + Send + 'static) -> Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let seen = Arc::new(Mutex::new(T::default()));
        let theirs = Arc::clone(&seen);
        let thread = thread::spawn(move || {
            runtime.block_on(async move {
                let _all = begin(theirs);
                // Told, or forgotten: it is the same.
                drop(stopped.await);
            });
        });
        Ok(Self { stop, seen, thread })
    }

    fn stop(self) -> Result<T> {
        drop(self.stop);
        self.thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        Ok(std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Does it again and again.
async fn again<F: Future<Output = io::Result<u16>>>(
    answers: Arc<Mutex<Answers>>,
    way: &'static str,
    pause: Duration,
    once: impl Fn() -> F,
) {
    loop {
        note(&answers, way, once().await);
        sleep(pause).await;
    }
}

fn note(answers: &Mutex<Answers>, way: &'static str, answer: io::Result<u16>) {
    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    *answers.entry((way, answer.unwrap_or(0))).or_default() += 1;
}

async fn connect(from: u8, api: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // Else as many addresses would be taken as connections were made within a minute.
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, from], 0)))?;
    socket.connect(api).await
}

/// All that comes.
async fn until_closed(mut stream: TcpStream) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    match timeout(PATIENCE, stream.read_to_end(&mut answer)).await {
        // What came before the connection was reset is an answer all the same.
        Ok(Err(error)) if answer.is_empty() => Err(error),
        Ok(_) => Ok(answer),
        Err(_) => pending().await,
    }
}

fn status(answer: &[u8]) -> u16 {
    let head = String::from_utf8_lossy(answer.get(..16).unwrap_or(answer)).into_owned();
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

async fn ask(from: u8, api: SocketAddr, request: Arc<str>) -> io::Result<u16> {
    let (mut reader, mut writer) = connect(from, api).await?.into_split();
    let send = async {
        // It may be answered before all of it was read.
        writer.write_all(request.as_bytes()).await.ok();
        Ok::<_, io::Error>(writer)
    };
    let read = async {
        let mut answer = Vec::new();
        let read = reader.read_to_end(&mut answer).await;
        if answer.is_empty() { read.map(|_| answer) } else { Ok(answer) }
    };
    let answered = async { tokio::try_join!(send, read) };
    let (_, answer) = timeout(PATIENCE, answered).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(status(&answer))
}

/// A byte a second behind this, until nobody listens any more.
async fn trickle(api: SocketAddr, begin: String) -> io::Result<u16> {
    let mut stream = connect(HOLDER, api).await?;
    stream.write_all(begin.as_bytes()).await?;
    let (mut reader, mut writer) = stream.into_split();
    let send = async {
        while writer.write_all(b"x").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = send => {}
        read = reader.read_to_end(&mut answer) => { read?; }
    }
    Ok(status(&answer))
}

fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")
}

/// The head of a request with a body of so many bytes.
fn post(path: &str, host: &str, more: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\r\n"
    )
}

/// Where the API of a process listens, by its log.
///
/// # Errors
/// When it doesn't say.
pub fn listens(log: &str) -> Result<SocketAddr> {
    let (_, address) = log.split_once("API listens address=").context("the API does not listen")?;
    Ok(address.split_whitespace().next().context("no address follows")?.parse()?)
}
