//! Long work on a terminal: a real one, so that what is asked and drawn there is what somebody sees who sits before it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use integration::Message;
use integration::patience::until;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::scene::{PATIENCE, Scene};

const LETTERS: usize = 1_200;

/// A terminal, and a process before it, whose answer goes elsewhere.
struct Terminal {
    master: File,
    process: Child,
    /// What is drawn, as it comes; ends with the process.
    drawn: Receiver<Vec<u8>>,
    reader: JoinHandle<()>,
    screen: String,
}

impl Terminal {
    fn run(mut command: Command) -> Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        tcsetwinsize(&master, Winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 })?;
        let terminal = ioctl_tiocgptpeer(&master, flags)?;
        command.env("TERM", "xterm-256color").stdin(terminal.try_clone()?).stderr(terminal).stdout(Stdio::piped());
        let process = command.spawn()?;
        // It holds the terminal's other end: what is drawn ends only once nobody does.
        drop(command);
        let master = File::from(master);
        let (to, drawn) = channel();
        let mut from = master.try_clone()?;
        let reader = thread::spawn(move || {
            let mut read = [0; 4_096];
            while let Ok(length @ 1..) = from.read(&mut read) {
                if to.send(read[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(Self { master, process, drawn, reader, screen: String::new() })
    }

    /// Takes what was drawn meanwhile.
    fn look(&mut self) -> &str {
        for drawn in self.drawn.try_iter() {
            self.screen.push_str(&String::from_utf8_lossy(&drawn));
        }
        &self.screen
    }

    fn sees(&mut self, text: &str) -> Result<()> {
        let seen = until(PATIENCE, text, || Ok(self.look().contains(text).then_some(())));
        seen.with_context(|| format!("on the terminal: {:?}", self.screen))
    }

    fn types(&mut self, text: &str) -> Result<()> {
        Ok(self.master.write_all(text.as_bytes())?)
    }

    /// Its exit code, its answer, and all that was drawn.
    fn end(mut self) -> Result<(i32, String, String)> {
        let begun = Instant::now();
        let mut out = self.process.stdout.take().context("it is taken once")?;
        let status = loop {
            if let Some(status) = self.process.try_wait()? {
                break status;
            }
            if begun.elapsed() > PATIENCE {
                self.process.kill()?;
            }
            self.drawn.recv_timeout(Duration::from_millis(50)).into_iter().for_each(|drawn| {
                self.screen.push_str(&String::from_utf8_lossy(&drawn));
            });
        };
        let mut answer = String::new();
        out.read_to_string(&mut answer)?;
        self.reader.join().ok().context("the reader has panicked")?;
        let code = status.code().context("it was killed")?;
        Ok((
            code,
            answer,
            self.screen
                + &self.drawn.try_iter().map(|drawn| String::from_utf8_lossy(&drawn).into_owned()).collect::<String>(),
        ))
    }
}

/// How far the bar said that it was, in the order in which it was drawn.
fn positions(drawn: &str) -> Vec<usize> {
    let before = drawn.split("/1,200").map(|before| {
        let digits = before.rsplit(|one: char| !one.is_ascii_digit() && one != ',').next().unwrap_or_default();
        digits.replace(',', "").parse().ok()
    });
    // Behind the last one there is none.
    let mut positions: Vec<Option<usize>> = before.collect();
    positions.pop();
    positions.into_iter().flatten().collect()
}

#[test]
fn on_a_terminal_long_work_is_asked_about_and_shows_how_far_it_is_until_it_is_done() -> Result<()> {
    let scene = Scene::open("terminal")?;
    scene.write(LETTERS, 20)?;
    let redrive = || scene.operator("redrive", &["--per-second=400", "--execute", "--output=json"]);
    let mut terminal = Terminal::run(redrive()?)?;
    terminal.sees("Type `1200` to go on: ")?;
    terminal.types("12\n")?;
    let (code, answer, drawn) = terminal.end()?;
    ensure!(code == 4 && answer.is_empty() && drawn.contains("not confirmed, nothing was done"), "{code} {drawn:?}");
    ensure!(scene.written()?.count() == 0, "it was not meant");

    let mut terminal = Terminal::run(redrive()?)?;
    terminal.sees("Type `1200` to go on: ")?;
    terminal.types("1200\n")?;
    terminal.sees("/1,200")?;
    let (code, answer, drawn) = terminal.end()?;
    ensure!(code == 0 && answer.contains(r#"{"outcome":"redriven","letters":1200,"#), "{code} {answer} {drawn:?}");
    let positions = positions(&drawn);
    ensure!(positions.is_sorted() && positions.iter().all(|position| *position <= LETTERS), "{positions:?}");
    let mut steps = positions;
    steps.dedup();
    ensure!(steps.iter().filter(|position| (1..LETTERS).contains(*position)).count() >= 2, "{steps:?} of {drawn:?}");
    // What was drawn is taken away, so that the answer stands alone.
    let (_, behind) = drawn.rsplit_once("/1,200").context("a bar")?;
    ensure!(behind.contains("\u{1b}[2K"), "the bar stays: {behind:?}");
    scene.written()?.ensure_is(LETTERS, 20)?;

    // Where nobody looks there is no bar.
    scene.topics.produce_to(&scene.letters, daemonry::record::Partition(0), &[Message::new("no letter")])?;
    let quiet = scene.dlq("discard", &["--because=x", "--with-redriven", "--execute", "--yes", "--output=json"])?;
    ensure!(!quiet.said.contains("/1,200") && !quiet.said.contains('\u{1b}'), "{:?}", quiet.said);
    // What is no letter is left, each time, and the exit code says so.
    ensure!(quiet.code == 1 && quiet.said.contains("1 record was left where it is:"), "{} {}", quiet.code, quiet.said);
    let again = scene.dlq("discard", &["--because=x", "--with-redriven", "--execute", "--yes", "--output=json"])?;
    ensure!(again.code == 1 && again.said.contains("`dlq ls` lists them"), "{} {}", again.code, again.said);
    let listed = scene.dlq("ls", &["--output=ndjson"])?;
    ensure!(listed.code == 0 && listed.out.lines().count() == 1, "{}", listed.out);
    let place = serde_json::from_str::<serde_json::Value>(&listed.out)?;
    let except = format!("--except={}:{}", place["partition"], place["offset"]);
    let without = scene.dlq("discard", &["--because=x", &except, "--execute", "--yes", "--output=json"])?;
    ensure!(without.code == 0, "{} {}", without.code, without.said);
    Ok(())
}
