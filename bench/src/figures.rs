//! The figures of a run, and how they are written.

use crate::sample::Sample;

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Figure {
    /// Messages a second.
    Rate,
    /// CPU of the process, in microseconds a message.
    Cpu,
    /// The largest resident set, in MiB.
    Memory,
    /// The 99th percentile of the latency, in ms.
    P99,
    /// Seconds from the first message to the last.
    Time,
    /// Seconds to four fifths of the messages.
    T80,
    /// From the start of the process to the first message, in ms.
    Start,
    /// Percent of a core.
    Share,
}

impl Figure {
    /// That of a run, where it has it.
    pub fn of(self, sample: &Sample) -> Option<f64> {
        let report = sample.report.as_ref()?;
        match self {
            // A single message, or none, has neither.
            Self::Rate => Some(report.msgs_per_s).filter(|_| report.n > 1),
            Self::Cpu => Some(report.cpu_us()).filter(|_| report.n > 1),
            Self::Memory => Some(report.max_rss_mb).filter(|mib| *mib > 0.0),
            Self::P99 => report.p99_ms,
            Self::Time => Some(report.secs),
            Self::T80 => Some(report.t80_s).filter(|secs| *secs > 0.0),
            Self::Start => sample.start_ms,
            Self::Share => Some((report.cpu_user_s + report.cpu_sys_s) / report.secs * 100.0),
        }
    }

    /// A value with its unit.
    pub fn text(self, value: f64) -> String {
        match self {
            Self::Rate if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
            Self::Rate if value >= 1e4 => format!("{:.1} k/s", value / 1e3),
            Self::Rate => format!("{value:.0}/s"),
            Self::Cpu => format!("{value:.2} µs"),
            Self::Memory => format!("{value:.0} MiB"),
            Self::P99 => format!("{value:.2} ms"),
            Self::Time | Self::T80 => format!("{value:.2} s"),
            Self::Start => format!("{value:.0} ms"),
            Self::Share => format!("{value:.2} %"),
        }
    }
}

#[cfg(test)]
mod tests {
    use meter::Report;

    use super::*;
    use crate::sample::tests::sample;

    #[test]
    fn cpu_before_the_first_message_is_not_a_messages() {
        let mut sample = sample("w3", "rawt", 1.0);
        sample.report = Some(Report {
            n: 1_000_000,
            cpu_user_s: 2.0,
            cpu_sys_s: 1.0,
            cpu_before_first_s: 0.5,
            ..Report::default()
        });
        assert_eq!(Figure::Cpu.of(&sample), Some(2.5));
    }

    #[test]
    fn what_a_run_does_not_have_is_no_figure() {
        let mut sample = sample("idle", "daemonry", 1.0);
        sample.report = Some(Report { secs: 20.0, cpu_user_s: 0.1, ..Report::default() });
        assert_eq!(Figure::Cpu.of(&sample), None);
        assert_eq!(Figure::P99.of(&sample), None);
        assert_eq!(Figure::Share.of(&sample), Some(0.5));
    }

    #[test]
    fn rates_are_written_as_people_say_them() {
        assert_eq!(Figure::Rate.text(1_640_000.0), "1.64 M/s");
        assert_eq!(Figure::Rate.text(40_346.0), "40.3 k/s");
        assert_eq!(Figure::Rate.text(843.2), "843/s");
    }
}
