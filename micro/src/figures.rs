//! Figures: what each benchmark took when somebody last accepted it, and by which compiler it was built. Kept as text, so that a change
//! of them is read as any other.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, bail};

use crate::callgrind::Counts;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    /// What built the benchmarks, and for what.
    pub(crate) compiler: String,
    /// By the benchmark's name.
    pub(crate) counts: BTreeMap<String, Counts>,
}

/// What stands before the compiler's name.
const COMPILER: &str = "compiler: ";

impl Figures {
    /// Reads them back.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut compiler = None;
        let mut counts = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix(COMPILER) {
                compiler = Some(name.to_owned());
                continue;
            }
            let (name, of_it) = entry(line).with_context(|| format!("line {number} is not a benchmark's: `{line}`"))?;
            if counts.insert(name.to_owned(), of_it).is_some() {
                bail!("line {number} has `{name}` a second time");
            }
        }
        Ok(Self { compiler: compiler.context("no line names the compiler")?, counts })
    }
}

/// A name, its instructions and its allocations.
fn entry(line: &str) -> Option<(&str, Counts)> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    let counts = Counts { instructions: words.next()?.parse().ok()?, allocations: words.next()?.parse().ok()? };
    words.next().is_none().then_some((name, counts))
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# What a round of each micro-benchmark takes. `make micro-accept` writes this, and `make check` keeps to it."
        )?;
        writeln!(f, "# It holds for this compiler alone:")?;
        writeln!(f, "{COMPILER}{}", self.compiler)?;
        writeln!(f)?;
        writeln!(f, "# {:30} {:>12} {:>12}", "benchmark", "instructions", "allocations")?;
        for (name, Counts { instructions, allocations }) in &self.counts {
            writeln!(f, "{name:32} {instructions:>12} {allocations:>12}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let counts = [("lanes/key", 1_414_352, 4), ("route/raw", 398_573, 0)];
        let counts =
            counts.map(|(name, instructions, allocations)| (name.to_owned(), Counts { instructions, allocations }));
        Figures { compiler: "rustc 1.95.0 (59807616e 2026-04-14) for x86_64".to_owned(), counts: counts.into() }
    }

    #[test]
    fn what_was_written_is_read_back() {
        assert_eq!(Figures::parse(&figures().to_string()).unwrap(), figures());
    }

    #[test]
    fn line_that_is_none_is_told_with_its_number() {
        for wrong in ["route/raw 12", "route/raw 12 x", "route/raw 12 1 1", "route/raw -1 0"] {
            let error = Figures::parse(&format!("compiler: rustc\n\n{wrong}\n")).unwrap_err();
            assert_eq!(error.to_string(), format!("line 3 is not a benchmark's: `{wrong}`"));
        }
        let twice = Figures::parse("compiler: rustc\nroute/raw 1 1\nroute/raw 2 2").unwrap_err();
        assert_eq!(twice.to_string(), "line 3 has `route/raw` a second time");
        assert_eq!(Figures::parse("route/raw 1 1").unwrap_err().to_string(), "no line names the compiler");
    }
}
