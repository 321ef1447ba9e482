//! Micro-benchmarks that count instructions, and the guard of their figures.
//!
//! Times tell nothing on a machine that does something else as well; instructions are the same on each run. The benchmarks themselves
//! are the library's ([`daemonry::micro`]); this program runs itself under callgrind, once with the round that is measured and once
//! without.

mod callgrind;
mod figures;
mod verdict;

use std::env;
use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use daemonry::micro::{Benchmark, benchmarks};

use callgrind::{Counts, Last};
use figures::Figures;
use verdict::{Counted, advice, each, findings};

/// What built this.
const COMPILER: &str = env!("COMPILER");

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["check", file] => check(file),
        ["accept", file] => accept(file).map(|()| ExitCode::SUCCESS),
        ["show"] => show().map(|()| ExitCode::SUCCESS),
        [last, name] if last == Last::Run.name() => run(name, Last::Run).map(|()| ExitCode::SUCCESS),
        [last, name] if last == Last::Leave.name() => run(name, Last::Leave).map(|()| ExitCode::SUCCESS),
        _ => bail!("usage: micro show | micro check <figures> | micro accept <figures>"),
    }
}

/// Compares with the figures. Those of another compiler say nothing of this one's code: then nothing is measured, and that is said.
fn check(file: &str) -> anyhow::Result<ExitCode> {
    let text = fs::read_to_string(file).with_context(|| format!("read {file} (`make micro-accept` writes it)"))?;
    let figures = Figures::parse(&text).with_context(|| format!("read {file}"))?;
    let mut err = io::stderr().lock();
    if figures.compiler != COMPILER {
        writeln!(
            err,
            "micro: NOT COMPARED: the figures hold for\n    {}\nand this is\n    {COMPILER}",
            figures.compiler
        )?;
        writeln!(err, "micro: `make micro` shows this one's; with the project's compiler they are compared")?;
        return Ok(ExitCode::SUCCESS);
    }
    let benchmarks = benchmarks();
    let counted = count(&benchmarks)?;
    let findings = findings(&figures, &counted);
    if findings.is_empty() {
        writeln!(err, "micro: {} benchmarks are within 5 % of their figures", counted.len())?;
        return Ok(ExitCode::SUCCESS);
    }
    for finding in &findings {
        writeln!(err, "micro: {finding}")?;
    }
    writeln!(err, "micro: {}", advice(&findings))?;
    Ok(ExitCode::FAILURE)
}

/// Makes what is counted now the figures.
fn accept(file: &str) -> anyhow::Result<()> {
    let benchmarks = benchmarks();
    let counts = count(&benchmarks)?.into_iter().map(|one| (one.name.to_owned(), one.counts)).collect();
    let figures = Figures { compiler: COMPILER.to_owned(), counts };
    fs::write(file, figures.to_string()).with_context(|| format!("write {file}"))
}

/// Shows what is counted now, for one time of each.
fn show() -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{COMPILER}\n\n{:32} {:>14} {:>14}", "each time", "instructions", "allocations")?;
    for Counted { name, times, counts: Counts { instructions, allocations } } in count(&benchmarks())? {
        writeln!(out, "{name:32} {:>14} {:>14}", each(instructions, times), each(allocations, times))?;
    }
    Ok(())
}

fn count(benchmarks: &[Benchmark]) -> anyhow::Result<Vec<Counted<'static>>> {
    let count = |benchmark: &Benchmark| {
        let counts = callgrind::count(benchmark.name)?;
        Ok(Counted { name: benchmark.name, times: benchmark.times as u64, counts })
    };
    benchmarks.iter().map(count).collect()
}

/// Some rounds of a benchmark, until all are alike, and then the one that is measured, or only what that one needs.
fn run(name: &str, last: Last) -> anyhow::Result<()> {
    /// By then lanes and tables are as large as they get.
    const BEFORE: usize = 5;
    let benchmark = benchmarks().into_iter().find(|one| one.name == name);
    let mut rounds = benchmark.with_context(|| format!("there is no benchmark `{name}`"))?.begin();
    for _ in 0..BEFORE {
        rounds.prepare()();
    }
    let round = rounds.prepare();
    match last {
        Last::Run => round(),
        // The round itself would let go of what is in it.
        Last::Leave => std::mem::forget(round),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_benchmark_runs_and_has_a_name_of_its_own() {
        let benchmarks = benchmarks();
        for benchmark in &benchmarks {
            run(benchmark.name, Last::Run).unwrap();
        }
        assert_eq!(benchmarks.iter().map(|one| one.name).collect::<BTreeSet<_>>().len(), benchmarks.len());
        assert!(run("no such", Last::Run).is_err());
    }

    #[test]
    fn figures_are_of_the_benchmarks_that_there_are() {
        let figures = Figures::parse(include_str!("../figures.txt")).unwrap();
        let names: BTreeSet<&str> = benchmarks().iter().map(|one| one.name).collect();
        assert_eq!(figures.counts.keys().map(String::as_str).collect::<BTreeSet<_>>(), names);
    }
}
