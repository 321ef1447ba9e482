//! The verdict: how what was counted stands beside the figures.

use std::collections::BTreeSet;
use std::fmt;

use crate::callgrind::Counts;
use crate::figures::Figures;

/// By how much a count may differ from its figure, in per cent.
const TOLERANCE: u64 = 5;
/// So many times a benchmark may do its work for one allocation more or less: what a table takes that grows now and then is no news.
const DONE_FOR_ONE_ALLOCATION: u64 = 100;

/// What was counted now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted<'a> {
    /// The benchmark.
    pub(crate) name: &'a str,
    /// How often its round does its work.
    pub(crate) times: u64,
    pub(crate) counts: Counts,
}

/// A difference that must not stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It takes more than its figure allows.
    Grew(Change),
    /// It takes less than its figure, which no longer guards it.
    Shrank(Change),
    /// Nobody has accepted anything for it yet.
    New(String),
    /// There is a figure for what is no longer measured.
    Gone(String),
}

/// A count that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    name: String,
    what: &'static str,
    figure: u64,
    now: u64,
    times: u64,
}

/// Everything that must not stand, at once.
pub(crate) fn findings(figures: &Figures, counted: &[Counted<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for &Counted { name, times, counts } in counted {
        let Some(figure) = figures.counts.get(name) else {
            findings.push(Finding::New(name.to_owned()));
            continue;
        };
        let change = |what, figure, now| Change { name: name.to_owned(), what, figure, now, times };
        let instructions = change("instructions", figure.instructions, counts.instructions);
        findings.extend(instructions.finding(0));
        let allocations = change("allocations", figure.allocations, counts.allocations);
        findings.extend(allocations.finding(times / DONE_FOR_ONE_ALLOCATION));
    }
    let measured: BTreeSet<&str> = counted.iter().map(|one| one.name).collect();
    let gone = figures.counts.keys().filter(|name| !measured.contains(name.as_str()));
    findings.extend(gone.map(|name| Finding::Gone(name.clone())));
    findings
}

impl Change {
    /// Nothing where it is within the tolerance, or no more than `slack`.
    fn finding(self, slack: u64) -> Option<Finding> {
        let allowed = (u128::from(self.figure) * u128::from(TOLERANCE)).max(u128::from(slack) * 100);
        if u128::from(self.now.abs_diff(self.figure)) * 100 <= allowed {
            return None;
        }
        Some(if self.now > self.figure { Finding::Grew(self) } else { Finding::Shrank(self) })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, what, figure, now, times } = self;
        let more = if now > figure { "more" } else { "fewer" };
        write!(f, "{name}: ")?;
        match percent(now.abs_diff(*figure), *figure) {
            Some(percent) => write!(f, "{percent} % {more} {what}, {now} instead of {figure}")?,
            None => write!(f, "{now} {what} instead of none")?,
        }
        if *times > 1 {
            write!(f, " for {times} times, so {} instead of {} each", each(*now, *times), each(*figure, *times))?;
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grew(change) | Self::Shrank(change) => change.fmt(f),
            Self::New(name) => write!(f, "{name}: has no figure yet"),
            Self::Gone(name) => write!(f, "{name}: has a figure, but is no longer measured"),
        }
    }
}

/// What is to be done about them.
pub(crate) fn advice(findings: &[Finding]) -> String {
    let mut advice = String::new();
    if findings.iter().any(|finding| matches!(finding, Finding::Grew(_))) {
        advice.push_str("find what has become slower; where it is worth that, ");
    } else if findings.iter().any(|finding| matches!(finding, Finding::Shrank(_))) {
        advice.push_str("so that what was gained is kept, ");
    }
    advice.push_str("run `make micro-accept`, and commit the figures with the reason");
    advice
}

/// With one decimal; none of nothing.
fn percent(part: u64, whole: u64) -> Option<String> {
    (whole > 0).then(|| ratio(u128::from(part) * 100, whole, 1))
}

/// What one time takes.
pub(crate) fn each(count: u64, times: u64) -> String {
    ratio(u128::from(count), times.max(1), 2)
}

/// Rounded to so many decimals.
fn ratio(part: u128, whole: u64, decimals: u32) -> String {
    let scale = 10_u128.pow(decimals);
    let scaled = (part * scale + u128::from(whole) / 2) / u128::from(whole);
    format!("{}.{:0width$}", scaled / scale, scaled % scale, width = decimals as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(figure: (u64, u64), now: (u64, u64), times: u64) -> Vec<String> {
        let counts = |(instructions, allocations)| Counts { instructions, allocations };
        let figures = Figures { compiler: String::new(), counts: [("part".to_owned(), counts(figure))].into() };
        let findings = findings(&figures, &[Counted { name: "part", times, counts: counts(now) }]);
        let kinds = findings.iter().map(|finding| match finding {
            Finding::Grew(_) => "grew ",
            Finding::Shrank(_) => "shrank ",
            _ => "",
        });
        kinds.zip(&findings).map(|(kind, finding)| format!("{kind}{finding}")).collect()
    }

    #[test]
    fn five_per_cent_either_way_are_let_pass_and_no_more() {
        assert_eq!(judged((1_000, 0), (1_050, 0), 1), [""; 0]);
        assert_eq!(judged((1_000, 0), (950, 0), 1), [""; 0]);
        assert_eq!(judged((1_000, 0), (1_051, 0), 1), ["grew part: 5.1 % more instructions, 1051 instead of 1000"]);
        assert_eq!(judged((1_000, 0), (949, 0), 1), ["shrank part: 5.1 % fewer instructions, 949 instead of 1000"]);
        assert_eq!(judged((u64::MAX, 0), (u64::MAX, 0), 1), [""; 0]);
    }

    #[test]
    fn what_one_time_takes_is_told_where_there_are_many() {
        let told =
            "grew part: 100.0 % more instructions, 3000 instead of 1500 for 1000 times, so 3.00 instead of 1.50 each";
        assert_eq!(judged((1_500, 0), (3_000, 0), 1_000), [told]);
    }

    #[test]
    fn allocation_now_and_then_is_let_pass_and_one_each_time_is_not() {
        assert_eq!(judged((1, 4), (1, 14), 1_000), [""; 0]);
        let told =
            "grew part: 25000.0 % more allocations, 1004 instead of 4 for 1000 times, so 1.00 instead of 0.00 each";
        assert_eq!(judged((1, 4), (1, 1_004), 1_000), [told]);
        assert_eq!(judged((1, 0), (1, 1), 1), ["grew part: 1 allocations instead of none"]);
    }

    #[test]
    fn benchmarks_and_figures_without_one_another_are_found() {
        let counts = Counts { instructions: 1, allocations: 0 };
        let figures = Figures { compiler: String::new(), counts: [("old".to_owned(), counts)].into() };
        let found = findings(&figures, &[Counted { name: "new", times: 1, counts }]);
        assert_eq!(found, [Finding::New("new".to_owned()), Finding::Gone("old".to_owned())]);
        assert_eq!(advice(&found), "run `make micro-accept`, and commit the figures with the reason");
    }

    #[test]
    fn growth_is_to_be_looked_into_and_a_gain_to_be_kept() {
        let change = Change { name: "part".to_owned(), what: "instructions", figure: 1, now: 2, times: 1 };
        assert!(advice(&[Finding::Shrank(change.clone()), Finding::Grew(change.clone())]).starts_with("find what"));
        assert!(advice(&[Finding::Shrank(change)]).starts_with("so that what was gained is kept"));
    }
}
