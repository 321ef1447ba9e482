//! The tables, for people, in Markdown.

use anyhow::{Context as _, Result};

use crate::figures::Figure;
use crate::judge::Verdict;
use crate::row::Row;
use crate::sample::{Sample, Samples, median};
use crate::targets;

/// What stands around the tables in a page.
const BEGIN: &str = "<!-- figures begin: written by make bench, not by hand -->";
const END: &str = "<!-- figures end -->";

/// The table of figures, a verdict a row, of these rows.
pub fn figures(samples: &Samples, rows: &[Row]) -> String {
    let mut table = String::from("| workload | figure | measured | verdict |\n|---|---|---|---|\n");
    for target in targets::all().iter().filter(|target| rows.contains(&target.row)) {
        let (measured, verdict) = match target.judge.verdict(samples) {
            Verdict::Reached(measured) => (measured, "reached".to_owned()),
            Verdict::Missed(measured) => (measured, "**missed**".to_owned()),
            Verdict::NotMeasured(why) => (String::new(), format!("not measured: {}", why.replace('|', "/"))),
        };
        table += &format!("| {} | {} | {measured} | {verdict} |\n", target.workload, target.figure);
    }
    table
}

/// All runs: the median of each figure, with the smallest and the largest of the rate and the CPU.
pub fn runs(samples: &Samples) -> String {
    let mut table = String::from(
        "| workload | program | messages | runs | messages/s | CPU a message | p99 | four fifths | first message | RSS |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (label, peer) in samples.groups().into_iter().filter(|(label, _)| !label.is_empty()) {
        let (good, failed) = samples.of(label, peer);
        let star = if good.iter().any(|sample| sample.is_earlier) { " *" } else { "" };
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        let messages = good.first().and_then(|sample| sample.report.as_ref()).map_or(0, |report| report.n);
        let cells = [
            spread(&good, Figure::Rate),
            cpu(&good),
            middle(&good, Figure::P99),
            middle(&good, Figure::T80),
            middle(&good, Figure::Start),
            middle(&good, Figure::Memory),
        ];
        table += &format!("| {label} | {peer}{star} | {messages} | {}{failed} | {} |\n", good.len(), cells.join(" | "));
    }
    table
}

fn values(samples: &[&Sample], figure: Figure) -> Vec<f64> {
    samples.iter().filter_map(|sample| figure.of(sample)).collect()
}

fn middle(samples: &[&Sample], figure: Figure) -> String {
    median(values(samples, figure)).map_or_else(String::new, |value| figure.text(value))
}

/// Of a message; of a process that had none, its share of a core.
fn cpu(samples: &[&Sample]) -> String {
    let is_idle = samples.iter().all(|sample| sample.report.as_ref().is_some_and(|report| report.n == 0));
    if is_idle { middle(samples, Figure::Share) } else { spread(samples, Figure::Cpu) }
}

fn spread(samples: &[&Sample], figure: Figure) -> String {
    let values = values(samples, figure);
    let (least, most) = (values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max));
    match (least, median(values.clone()), most) {
        (Some(least), Some(middle), Some(most)) if values.len() > 1 => {
            format!("{} ({} – {})", figure.text(middle), figure.text(least), figure.text(most))
        }
        (_, Some(middle), _) => figure.text(middle),
        _ => String::new(),
    }
}

/// A page with these figures in the place of those that it had.
///
/// # Errors
/// When it has no place for them.
pub fn put_into(page: &str, figures: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("the page has no line `{BEGIN}`"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("the page has no line `{END}`"))?;
    Ok(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", figures.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::tests::sample;

    #[test]
    fn each_target_of_a_row_has_a_verdict() {
        let samples = Samples::new(vec![
            sample("w1a partition", "daemonry", 1_000_000.0),
            sample("w1a partition", "rawb", 1_000_000.0),
        ]);

        let table = figures(&samples, &[Row::W1a]);

        assert!(table.contains("| ≥ 0.95 × rawb | 1.00 × (rawb, 1.00 M/s : 1.00 M/s) | reached |"), "{table}");
        assert!(table.contains("| stretch: ≥ 1.0 × franz-go |  | not measured: franz did not run |"), "{table}");
        assert!(!table.contains("W2"), "{table}");
    }

    #[test]
    fn runs_are_shown_with_their_spread_and_their_failures() {
        let failed = Sample { report: None, error: Some("no result".to_owned()), ..sample("w2 key", "daemonry", 1.0) };
        let earlier = Sample { is_earlier: true, ..sample("w2 key", "kpipe", 10_000.0) };
        let samples = Samples::new(vec![
            earlier,
            sample("w2 key", "daemonry", 30_000.0),
            failed,
            sample("w2 key", "daemonry", 20_000.0),
        ]);

        let table = runs(&samples);

        let ours = "| w2 key | daemonry | 1000 | 2, 1 failed | 25.0 k/s (20.0 k/s – 30.0 k/s) |";
        assert!(table.contains(ours), "{table}");
        assert!(table.ends_with("| w2 key | kpipe * | 1000 | 1 | 10.0 k/s | 100.00 µs |  |  |  |  |\n"), "{table}");
    }

    #[test]
    fn a_page_keeps_what_stands_around_its_figures() {
        let page = format!("# Title\n\n{BEGIN}\nold\n{END}\n\nend\n");
        let first = put_into(&page, "new\n").unwrap();
        assert_eq!(first, format!("# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nend\n"));
        assert_eq!(put_into(&first, "new").unwrap(), first);
        assert!(put_into("# Title", "new").is_err());
    }
}
