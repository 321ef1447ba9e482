//! `bench ours`, `bench peers`: measures on the Kafka at `KAFKA_BROKERS`, which `make bench` starts, and prints the table of figures.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use bench::loader::Loader;
use bench::peer::{OTHERS, Peer};
use bench::row::Row;
use bench::runner::Runner;
use bench::sample::Samples;
use bench::{machine, table, topic};
use clap::{Args, Parser, Subcommand, ValueEnum as _};

/// Figures of peers that are not run here, each the median of a series of its own.
const EARLIER: &str = include_str!("../earlier.jsonl");

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures daemonry beside raw loops.
    Ours {
        #[command(flatten)]
        wishes: Wishes,
    },
    /// Measures it beside other frameworks too, by default all: franz, kafkago, ruststream; or a program as NAME=COMMAND, which takes
    /// the flags of examples/peer and prints its line.
    Peers {
        names: Vec<String>,
        #[command(flatten)]
        wishes: Wishes,
    },
    /// Shows the tables of the last time again.
    Show {
        #[command(flatten)]
        wishes: Wishes,
    },
    /// Fills topics, by their short names, and prints their whole ones.
    Fill { names: Vec<String> },
    /// Deletes the topics that were filled.
    Clean,
}

#[derive(Args)]
struct Wishes {
    /// Only these rows of the table.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<Row>,
    /// How often each run is made.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Puts the tables into this page, where it has a place for them.
    #[arg(long)]
    page: Option<PathBuf>,
}

impl Wishes {
    fn rows(&self) -> &[Row] {
        if self.rows.is_empty() { Row::value_variants() } else { &self.rows }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Ours { wishes } => measure(Vec::new(), &wishes),
        Command::Peers { names, wishes } => {
            let all = OTHERS.map(|(name, _)| name.to_owned()).into();
            let names: Vec<String> = if names.is_empty() { all } else { names };
            measure(names.iter().map(|name| Peer::named(name)).collect::<Result<_>>()?, &wishes)
        }
        Command::Show { wishes } => {
            let results = directory()?.join("results.jsonl");
            let text = fs::read_to_string(&results).with_context(|| format!("nothing in {}", results.display()))?;
            let machine = fs::read_to_string(directory()?.join("machine")).unwrap_or_default();
            show(Samples::parse(&text)?, &machine, &wishes)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Fill { names } => fill(&names),
        Command::Clean => {
            Loader::new(&integration::brokers()?)?.clean()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Beside the programs of the workspace's release build.
fn directory() -> Result<PathBuf> {
    let program = env::current_exe()?;
    let target = program.ancestors().nth(2).context("a program stands in a directory of its profile")?;
    Ok(target.join("bench"))
}

fn measure(others: Vec<Peer>, wishes: &Wishes) -> Result<ExitCode> {
    let directory = directory()?;
    // One that is given takes the place of ours of its name.
    let is_given = |peer: &Peer| others.iter().any(|other| other.name == peer.name);
    let mut peers: Vec<Peer> = Peer::ours().into_iter().filter(|peer| !is_given(peer)).collect();
    peers.extend(others);
    let mut runner = Runner::new(integration::brokers()?, peers, &directory)?;
    let ended = runner.run(wishes.rows(), wishes.runs);
    let samples = runner.into_samples();
    // What there is, also where the rest could not be had.
    fs::write(directory.join("results.jsonl"), samples.to_lines()?)?;
    let machine = machine::describe();
    fs::write(directory.join("machine"), &machine)?;
    let has_failed = samples.has_failure_of("daemonry");
    show(samples, &machine, wishes)?;
    ended?;
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[allow(clippy::print_stdout, reason = "the tables are what the program is for")]
fn show(samples: Samples, machine: &str, wishes: &Wishes) -> Result<()> {
    let earlier = Samples::parse(EARLIER)?.of_same_labels(&samples);
    let samples = samples.with(earlier);
    let (figures, runs) = (table::figures(&samples, wishes.rows()), table::runs(&samples));
    let star = "\\* of an earlier series, on a machine of the same size.";
    let tables = format!(
        "Measured on: {machine}.\n\n{figures}\n### All runs\n\nMedians; least and most in brackets.\n\n{runs}\n{star}\n"
    );
    print!("{tables}");
    if let Some(page) = &wishes.page {
        let text = fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
        fs::write(page, table::put_into(&text, &tables)?)?;
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the names are what was asked for")]
fn fill(names: &[String]) -> Result<ExitCode> {
    let loader = Loader::new(&integration::brokers()?)?;
    for name in names {
        let known = || topic::ALL.map(|topic| topic.name).join(", ");
        let topic = topic::named(name).with_context(|| format!("`{name}` is none of {}", known()))?;
        loader.fill(topic)?;
        println!("{}", topic.full_name());
    }
    Ok(ExitCode::SUCCESS)
}
