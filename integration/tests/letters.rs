//! What it takes to deal with many dead letters: the time of each answer of a process's API, of its pages and of the command line, and the
//! memory of both. All letters but the last few are done with, so that there is a mark for each.
//!
//! `LETTERS` says how many there are: `make letters` has a million, in a release build. Without it they are few, and it is looked at what is
//! read for an answer.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context as _, Result, ensure};
use integration::letter::{Letters, letter_of};
use integration::member::binary;
use integration::patience::{unix_ms, until};
use integration::{Member, Topics, brokers};
use serde_json::{Value, json};

/// How many letters there are where nobody says.
const FEW: usize = 20_000;
/// Letters that nothing was done with yet: before all others, and behind them.
const BEFORE: usize = 50;
const BEHIND: usize = 500;
const LEFT: usize = BEFORE + BEHIND;
/// How long the work on all of them may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long an answer of the API may take: what it says of itself.
const ANSWER: Duration = Duration::from_secs(8);
/// What a process may hold, however many letters there are.
const MEMORY: u64 = 128 << 20;
/// All of them, done with or not.
const ALL: &str = "with_redriven=true&with_discarded=true";

/// A topic of letters that are done with, and a process that shows them.
struct Scene {
    brokers: String,
    letters: String,
    member: Member,
    api: String,
    directory: tempfile::TempDir,
}

/// What a command took.
struct Run {
    time: Duration,
    peak: u64,
    out: String,
    said: String,
}

impl Scene {
    fn open(count: usize) -> Result<Self> {
        let (brokers, directory) = (brokers()?, tempfile::tempdir()?);
        let topics = Topics::connect(&brokers)?;
        let topic = topics.create_fresh("many", 4)?;
        let letters = format!("{topic}.dlq");
        topics.create(&letters, 4, &[])?;
        for read in ["orders.created", "shipments.requested"] {
            // Other tests want them as well.
            topics.create(read, 4, &[]).ok();
        }
        Letters::of(&topic).write(&brokers, count, |number, message| {
            let reason = match number {
                ..BEFORE => "panic",
                number if number % 2 == 0 => "error",
                _ => "timeout",
            };
            // A few that are hard to find.
            let error = if number % (count / 10) == 7 { "the disk is full" } else { "connection refused" };
            letter_of(message, &topic, reason, error, unix_ms())
        })?;
        let change = |command: &str, arguments: &[&str]| -> Result<()> {
            let begun = Instant::now();
            let run = dlq(&brokers, &letters, command, &[arguments, &["--execute", "--yes"]].concat(), Stdio::null())?;
            eprintln!("{command} of half of {count} letters: {:?}, {} MiB", begun.elapsed(), run.peak >> 20);
            Ok(())
        };
        change("redrive", &["--reason", "error"])?;
        change("discard", &["--reason", "timeout", "--because", "a test"])?;
        Letters::of(&topic).write(&brokers, BEHIND, |_, message| {
            letter_of(message, &topic, "error", "connection refused", unix_ms())
        })?;
        let (member, api) = Self::start(&brokers, &topic, directory.path(), "0")?;
        Ok(Self { brokers, letters, member, api, directory })
    }

    fn start(brokers: &str, topic: &str, directory: &Path, name: &str) -> Result<(Member, String)> {
        let config = directory.join("shop.yaml");
        let orders = json!({"missing_dead_letter_topic": "create", "topics": {"orders.created": {"dead_letter": format!("{topic}.dlq")}}});
        let text = json!({
            "admin": {"enabled": false},
            "api": {"enabled": true, "address": "127.0.0.1:0"},
            // What other tests have written may become letters, too.
            "kafka": {"main": {"brokers": brokers, "group": topic, "start": "latest"}},
            "daemons": {"orders": orders, "shipments": {"enabled": false}},
        });
        fs::write(&config, text.to_string())?;
        let mut command = Command::new(binary("handlers")?);
        command.args(["run", "--config"]).arg(&config).env("RUST_LOG", "info,daemonry::dead_letters=debug");
        let mut member = Member::run(command, directory.join(format!("{name}.log")))?;
        member.until_log("API listens", PATIENCE)?;
        let log = member.log()?;
        let (_, address) = log.split_once("API listens address=").context("it was just there")?;
        let api = address.split_whitespace().next().context("none")?.to_owned();
        let (letters, asked) = (format!("/api/v1/daemons/orders/letters/{topic}.dlq/9999/0"), "it names its letters");
        // Once it has begun. No letter is there, and no marks are read for it.
        until(PATIENCE, asked, || Ok(ask(&api, "GET", &letters, None)?.1.contains("the topic has").then_some(())))?;
        Ok((member, api))
    }

    /// An answer, and how long it took.
    fn get(&self, what: &str, path: &str) -> Result<String> {
        let begun = Instant::now();
        let (status, body) = ask(&self.api, "GET", path, None)?;
        let (time, memory) = (begun.elapsed(), self.member.memory()? >> 20);
        eprintln!("{what}: {time:.1?}, process {memory} MiB");
        ensure!(status == 200 && time < ANSWER, "{path}: {status} after {time:?}: {body}");
        Ok(body)
    }

    /// A page of letters, and how it went.
    fn page(&self, what: &str, query: &str) -> Result<Value> {
        let page: Value = serde_json::from_str(&self.get(what, &format!("{}?{query}", self.path()))?)?;
        eprintln!(
            "    {} letters, {} looked at, marks left to read: {}, next {}",
            count(&page),
            page["looked_at"],
            page["marks_left"],
            page["next"],
        );
        Ok(page)
    }

    /// All pages from here on: letters, pages, and how many were looked at.
    fn pages(&self, what: &str, query: &str) -> Result<(usize, usize, u64)> {
        let (begun, mut letters, mut pages, mut looked_at) = (Instant::now(), 0, 0, 0);
        let mut from = String::new();
        loop {
            let page = self.page(what, &format!("limit=1000&{query}{from}"))?;
            (letters, pages) = (letters + count(&page), pages + 1);
            looked_at += page["looked_at"].as_u64().context("it is a number")?;
            let Some(next) = page["next"].as_str() else { break };
            from = format!("&from={next}");
        }
        eprintln!("{what}, to its end: {:.1?}, {letters} letters on {pages} pages", begun.elapsed());
        Ok((letters, pages, looked_at))
    }

    /// How many marks it has read, as its log says.
    fn marks_read(&self) -> Result<u64> {
        let log = self.member.log()?;
        let read = log.lines().filter(|line| line.contains("marks were read"));
        read.map(|line| {
            let count = line.split_once("records=").context("no count")?.1;
            Ok(count.split_whitespace().next().context("no count")?.parse::<u64>()?)
        })
        .sum()
    }

    fn path(&self) -> String {
        format!("/api/v1/daemons/orders/letters/{}", self.letters)
    }

    /// Has something counted over the API.
    fn counted(&self, what: &str) -> Result<Value> {
        let begun = Instant::now();
        let which = json!({"with_redriven": true, "with_discarded": true});
        let order = json!({"which": which, "reason": "a test"});
        let (status, job) = ask(&self.api, "POST", &format!("{}/redrives", self.path()), Some(&order))?;
        ensure!(status == 200, "{status} {job}");
        let job: Value = serde_json::from_str(&job)?;
        let path = format!("/api/v1/jobs/{}?wait=true", job["job"].as_str().context("no name")?);
        let job = until(PATIENCE, "the job's end", || {
            let job: Value = serde_json::from_str(&ask(&self.api, "GET", &path, None)?.1)?;
            Ok(Some(job).filter(|job| !job["ended_at"].is_null()))
        })?;
        eprintln!("{what}: {:.1?}, process {} MiB", begun.elapsed(), self.member.memory()? >> 20);
        Ok(job)
    }

    /// What a command of `daemonry dlq` takes.
    fn dlq(&self, command: &str, arguments: &[&str]) -> Result<Run> {
        let path = self.directory.path().join("out");
        let run = dlq(&self.brokers, &self.letters, command, arguments, File::create(&path)?.into())?;
        let said = run.said.lines().last().unwrap_or_default().to_owned();
        eprintln!("dlq {command} {}: {:.1?}, {} MiB; {said}", arguments.join(" "), run.time, run.peak >> 20);
        let run = Run { out: fs::read_to_string(&path)?, ..run };
        fs::remove_file(path)?;
        ensure!(run.peak < MEMORY, "it took {} MiB", run.peak >> 20);
        Ok(run)
    }
}

fn count(page: &Value) -> usize {
    page["letters"].as_array().map_or(0, Vec::len)
}

fn ask(api: &str, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(api)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\ncontent-type: application/json");
    write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    Ok((head.split(' ').nth(1).context("no status")?.parse()?, body.to_owned()))
}

/// Runs a command, and looks at its memory until it has ended.
fn dlq(brokers: &str, letters: &str, command: &str, arguments: &[&str], out: Stdio) -> Result<Run> {
    let begun = Instant::now();
    let mut process = Command::new(binary("daemonry")?);
    process.args(["dlq", command, "--brokers", brokers, "--topic", letters]).args(arguments).env("USER", "ada");
    let mut child = process.stdin(Stdio::null()).stdout(out).stderr(Stdio::piped()).spawn()?;
    let mut peak = 0;
    let status = loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) * 1024);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let (time, mut said) = (begun.elapsed(), String::new());
    child.stderr.take().context("it is piped")?.read_to_string(&mut said)?;
    ensure!(status.success(), "dlq {command}: {status}: {said}");
    Ok(Run { time, peak, out: String::new(), said })
}

#[test]
fn many_letters_are_dealt_with_in_little_time_and_memory() -> Result<()> {
    let asked = env::var("LETTERS").ok().map(|text| text.parse()).transpose().context("LETTERS")?;
    let many = asked.unwrap_or(FEW);
    let scene = Scene::open(many)?;
    eprintln!("a process that has begun: {} MiB", scene.member.memory()? >> 20);

    assert_eq!(scene.pages("letters that are left, first", "")?.0, LEFT);
    let (left, _, looked_at) = scene.pages("letters that are left, again", "")?;
    assert_eq!(left, LEFT);
    let page = scene.page("first page of all", ALL)?;
    assert_eq!(count(&page), 100);
    assert_eq!(scene.pages("a text that 10 errors have", &format!("error=disk&{ALL}"))?.0, 10);
    let quarter = many / 4 - 10;
    let last = format!("from=0:{quarter},1:{quarter},2:{quarter},3:{quarter}&limit=1000&{ALL}");
    assert!(count(&scene.page("a late page of all", &last)?) > 0);
    // Not one by its place: how many have the first one's millisecond, and come by partition, is chance.
    let done_with =
        page["letters"].as_array().into_iter().flatten().find(|letter| letter["failure"]["reason"] != "panic");
    let done_with = done_with.context("no letter that is done with")?;
    let (partition, offset) = (&done_with["partition"], &done_with["offset"]);
    let place = format!("{partition}/{offset}");
    let shown: Value = serde_json::from_str(&scene.get("one letter", &format!("{}/{place}", scene.path()))?)?;
    assert_eq!(shown["mark"]["by"], "ada", "{shown}");
    let pages = format!("/daemons/orders/letters/{}", scene.letters);
    assert!(scene.get("page of the UI", &pages)?.contains("100 shown"));
    assert!(scene.get("page of the UI, all", &format!("{pages}?{ALL}"))?.contains("100 shown"));
    assert!(scene.get("page of the UI, one letter", &format!("{pages}/{place}"))?.contains("by ada"));
    let counted = scene.counted("counts of a re-drive of all")?;
    assert_eq!(counted["counts"]["selected"], json!(many + BEHIND), "{counted}");
    let (memory, peak) = (scene.member.memory()?, scene.member.peak_memory()?);
    eprintln!("the process at its end: {} MiB, {} at most", memory >> 20, peak >> 20);
    ensure!(peak < MEMORY, "it took {} MiB", peak >> 20);
    // Once, however many asked; and those that are done with are passed over.
    let (read, marks) = (scene.marks_read()?, u64::try_from(many - BEFORE)?);
    ensure!(read == marks, "{read} marks were read, and there are {marks}");
    ensure!(looked_at < 5_000, "{looked_at} letters were looked at for {LEFT}");

    let listed = scene.dlq("ls", &["--output=ndjson"])?;
    assert_eq!(listed.out.lines().count(), LEFT, "{}", listed.said);
    let listed = scene.dlq("ls", &["--output=ndjson", "--limit=100000", "--with-redriven", "--with-discarded"])?;
    assert_eq!(listed.out.lines().count(), 100_000.min(many + BEHIND), "{}", listed.said);
    let show = [partition.to_string(), offset.to_string()];
    let shown = scene.dlq("show", &[&*show[0], &*show[1], "--output=json"])?;
    assert!(shown.out.contains("ada"), "{}", shown.out);
    let counted = scene.dlq("redrive", &["--output=ndjson"])?;
    assert!(counted.out.contains(&format!(r#""letters":{LEFT},"#)), "{}", counted.out);
    scene.dlq("redrive", &["--with-redriven", "--with-discarded", "--output=ndjson"])?;
    Ok(())
}
