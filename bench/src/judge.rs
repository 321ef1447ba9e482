//! How figures are held against one another.

use crate::figures::Figure;
use crate::sample::{Key, Median, Samples};

/// What is held against what.
#[derive(Clone, Debug)]
pub enum Judge {
    /// A figure is so many times that of another, which is the best one of several.
    Ratio {
        /// Ours.
        ours: Key,
        /// Theirs.
        theirs: Vec<Key>,
        /// Which figure.
        figure: Figure,
        /// The factor.
        bound: Bound,
    },
    /// A figure is not above a limit, in its unit.
    Limit {
        /// Ours.
        ours: Key,
        /// Which figure.
        figure: Figure,
        /// The limit.
        limit: f64,
    },
    /// A figure is not farther above another than this, in its unit.
    Difference {
        /// Ours.
        ours: Key,
        /// Theirs.
        theirs: Key,
        /// Which figure.
        figure: Figure,
        /// The limit.
        limit: f64,
    },
    /// What one figure is above another is at most so many times what it is for somebody else.
    Added {
        /// Ours, with what adds to it and without.
        ours: [Key; 2],
        /// Theirs, likewise.
        theirs: [Key; 2],
        /// Which figure.
        figure: Figure,
        /// The factor.
        factor: f64,
    },
    /// Memory grows with a size no faster than in proportion to it. Three points, by size.
    Slope {
        /// Sizes, and what was measured at each.
        points: [(f64, Key); 3],
        /// By how much of the size the slope is told.
        step: f64,
        /// What the size counts.
        unit: &'static str,
    },
}

/// On which side of a factor a ratio has to be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Bound {
    /// On it or above.
    AtLeast(f64),
    /// On it or below.
    AtMost(f64),
}

/// What came of it.
#[derive(Clone, PartialEq, Debug)]
pub enum Verdict {
    /// It holds; what was measured.
    Reached(String),
    /// It doesn't.
    Missed(String),
    /// Why nobody knows.
    NotMeasured(String),
}

impl Verdict {
    fn new(is_reached: bool, measured: String) -> Self {
        if is_reached { Self::Reached(measured) } else { Self::Missed(measured) }
    }
}

/// So many times as steep is called in proportion still, and by so many MiB it may be off: what has been read ahead when a run ends
/// differs by that from run to run.
const STEEPER: f64 = 1.5;
const MEMORY_NOISE: f64 = 32.0;

impl Judge {
    /// Judges the medians of the runs.
    pub fn verdict(&self, samples: &Samples) -> Verdict {
        self.weigh(samples).unwrap_or_else(Verdict::NotMeasured)
    }

    fn weigh(&self, samples: &Samples) -> Result<Verdict, String> {
        match self {
            Self::Ratio { ours, theirs, figure, bound } => {
                let own = samples.median(*ours, *figure)?;
                let (name, best) = best(samples, theirs, *figure, *bound)?;
                let ratio = own.value / best.value;
                let is_reached = match bound {
                    Bound::AtLeast(factor) => ratio >= *factor,
                    Bound::AtMost(factor) => ratio <= *factor,
                };
                let whose = if name == ours.peer { String::new() } else { format!("{name}, ") };
                let measured = format!("{ratio:.2} × ({whose}{})", against(*figure, own, best));
                Ok(Verdict::new(is_reached, measured))
            }
            Self::Limit { ours, figure, limit } => {
                let own = samples.median(*ours, *figure)?.value;
                Ok(Verdict::new(own <= *limit, figure.text(own)))
            }
            Self::Difference { ours, theirs, figure, limit } => {
                let own = samples.median(*ours, *figure)?;
                let other = samples.median(*theirs, *figure)?;
                let difference = own.value - other.value;
                let sign = if difference < 0.0 { "−" } else { "+" };
                let measured = format!("{sign}{} ({})", figure.text(difference.abs()), against(*figure, own, other));
                Ok(Verdict::new(difference <= *limit, measured))
            }
            Self::Added { ours, theirs, figure, factor } => {
                let added = |[with, without]: [Key; 2]| {
                    Ok::<_, String>(samples.median(with, *figure)?.value - samples.median(without, *figure)?.value)
                };
                let (own, other) = (added(*ours)?, added(*theirs)?);
                let texts = [own, other].map(|value| figure.text(value));
                let measured = format!("{:.2} × ({}, +{} : +{})", own / other, theirs[0].peer, texts[0], texts[1]);
                Ok(Verdict::new(own <= factor * other, measured))
            }
            Self::Slope { points, step, unit } => {
                let memory = |(_, key): &(f64, Key)| samples.median(*key, Figure::Memory).map(|median| median.value);
                let held = [memory(&points[0])?, memory(&points[1])?, memory(&points[2])?];
                let [(small, _), (middle, _), (large, _)] = points;
                let (lower, upper) = ((held[1] - held[0]) / (middle - small), (held[2] - held[1]) / (large - middle));
                let most = held[1] + lower.max(0.0) * STEEPER * (large - middle) + MEMORY_NOISE;
                let whole = (held[2] - held[0]) / (large - small) * step;
                let measured = format!(
                    "{:.0}, {:.0}, {:.0} MiB at {small}, {middle}, {large}: {whole:.2} MiB per {step} {unit} ({:.2}, then {:.2})",
                    held[0],
                    held[1],
                    held[2],
                    lower * step,
                    upper * step,
                );
                Ok(Verdict::new(held[2] <= most, measured))
            }
        }
    }
}

/// The one that is hardest to beat. Those that did not run are left out, as long as one did.
fn best(samples: &Samples, theirs: &[Key], figure: Figure, bound: Bound) -> Result<(&'static str, Median), String> {
    let mut why_not = "nobody ran".to_owned();
    let mut best: Option<(&str, Median)> = None;
    for key in theirs {
        match samples.median(*key, figure) {
            Ok(median) => {
                let harder = best.is_none_or(|(_, best)| match bound {
                    Bound::AtLeast(_) => median.value > best.value,
                    Bound::AtMost(_) => median.value < best.value,
                });
                if harder {
                    best = Some((key.peer, median));
                }
            }
            Err(error) => why_not = error,
        }
    }
    best.ok_or(why_not)
}

/// Two figures side by side; an asterisk where one is of another series.
fn against(figure: Figure, ours: Median, theirs: Median) -> String {
    let star = if theirs.is_earlier { "*" } else { "" };
    format!("{} : {}{star}", figure.text(ours.value), figure.text(theirs.value))
}

#[cfg(test)]
mod tests {
    use meter::Report;

    use super::*;
    use crate::sample::Sample;
    use crate::sample::tests::sample;

    const OURS: Key = Key { label: "w1a", peer: "daemonry" };
    const RAW: Key = Key { label: "w1a", peer: "rawb" };
    const FRANZ: Key = Key { label: "w1a", peer: "franz" };

    fn samples() -> Samples {
        Samples::new(vec![
            sample("w1a", "daemonry", 800_000.0),
            sample("w1a", "rawb", 1_000_000.0),
            Sample { is_earlier: true, ..sample("w1a", "franz", 1_600_000.0) },
        ])
    }

    fn ratio(theirs: Vec<Key>, figure: Figure, bound: Bound) -> Verdict {
        Judge::Ratio { ours: OURS, theirs, figure, bound }.verdict(&samples())
    }

    #[test]
    fn a_ratio_is_reached_on_its_bound() {
        let measured = "0.80 × (rawb, 800.0 k/s : 1.00 M/s)".to_owned();
        let at_least = |factor| ratio(vec![RAW], Figure::Rate, Bound::AtLeast(factor));
        assert_eq!(at_least(0.8), Verdict::Reached(measured.clone()));
        assert_eq!(at_least(0.81), Verdict::Missed(measured));
    }

    #[test]
    fn the_best_of_several_is_the_one_to_beat() {
        let measured = "0.50 × (franz, 800.0 k/s : 1.60 M/s*)".to_owned();
        assert_eq!(ratio(vec![RAW, FRANZ], Figure::Rate, Bound::AtLeast(0.8)), Verdict::Missed(measured));
        let less = ratio(vec![RAW, FRANZ], Figure::Cpu, Bound::AtMost(2.1));
        assert_eq!(less, Verdict::Reached("2.00 × (franz, 1.25 µs : 0.62 µs*)".to_owned()));
    }

    #[test]
    fn what_did_not_run_is_not_measured() {
        let missing = Key { label: "w1a", peer: "kpipe" };
        let verdict = ratio(vec![missing], Figure::Rate, Bound::AtLeast(1.0));
        assert_eq!(verdict, Verdict::NotMeasured("kpipe did not run".to_owned()));
        assert!(matches!(ratio(vec![missing, RAW], Figure::Rate, Bound::AtLeast(0.5)), Verdict::Reached(_)));
    }

    #[test]
    fn differences_and_limits_are_in_the_unit_of_the_figure() {
        let less = Judge::Difference { ours: OURS, theirs: RAW, figure: Figure::Cpu, limit: 0.2 };
        assert_eq!(less.verdict(&samples()), Verdict::Missed("+0.25 µs (1.25 µs : 1.00 µs)".to_owned()));
        let limit = Judge::Limit { ours: OURS, figure: Figure::Cpu, limit: 1.25 };
        assert_eq!(limit.verdict(&samples()), Verdict::Reached("1.25 µs".to_owned()));
    }

    #[test]
    fn what_something_adds_is_held_against_what_it_adds_elsewhere() {
        let key = |label, peer| Key { label, peer };
        let mut all = vec![sample("json", "daemonry", 500_000.0), sample("json", "rawb", 625_000.0)];
        all.extend(["daemonry", "rawb"].map(|peer| samples().of("w1a", peer).0[0].clone()));
        let added = |factor| {
            let (ours, theirs) = ([key("json", "daemonry"), OURS], [key("json", "rawb"), RAW]);
            Judge::Added { ours, theirs, figure: Figure::Cpu, factor }.verdict(&Samples::new(all.clone()))
        };
        let measured = "1.25 × (rawb, +0.75 µs : +0.60 µs)".to_owned();
        assert_eq!(added(1.3), Verdict::Reached(measured.clone()));
        assert_eq!(added(1.2), Verdict::Missed(measured));
    }

    fn slope(memory: [f64; 3]) -> Verdict {
        const LABELS: [&str; 3] = ["small", "middle", "large"];
        let held = |label: &str, max_rss_mb| Sample {
            report: Some(Report { max_rss_mb, ..Report::default() }),
            ..sample(label, "daemonry", 1.0)
        };
        let samples = Samples::new(LABELS.iter().zip(memory).map(|(label, memory)| held(label, memory)).collect());
        let key = |label| Key { label, peer: "daemonry" };
        let points = [(1.0, key(LABELS[0])), (10.0, key(LABELS[1])), (50.0, key(LABELS[2]))];
        Judge::Slope { points, step: 10.0, unit: "daemons" }.verdict(&samples)
    }

    #[test]
    fn memory_in_proportion_to_a_size_is_reached_and_told_with_its_slope() {
        let told = "20, 65, 265 MiB at 1, 10, 50: 50.00 MiB per 10 daemons (50.00, then 50.00)".to_owned();
        assert_eq!(slope([20.0, 65.0, 265.0]), Verdict::Reached(told));
        assert!(matches!(slope([20.0, 20.0, 50.0]), Verdict::Reached(_)), "30 MiB are noise");
    }

    #[test]
    fn memory_that_grows_faster_than_its_size_is_missed() {
        assert!(matches!(slope([20.0, 65.0, 465.0]), Verdict::Missed(_)));
        assert!(matches!(slope([20.0, 20.0, 60.0]), Verdict::Missed(_)));
    }
}
