//! What a handler does with a message.

use std::time::{Duration, Instant};

use crate::payload;

/// Which message is a slow one, of so many.
const SLOW: u64 = 100;

/// What a handler does.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Work {
    /// Nothing.
    None,
    /// It waits for so long.
    Sleep(Duration),
    /// It burns CPU for so long.
    Cpu(Duration),
    /// It waits for the first time, but where the message's number is a multiple of 100 for the second.
    Skew(Duration, Duration),
}

impl Work {
    /// Reads `none`, `sleep:MS`, `cpu:US` or `skew:MS:SLOWMS`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is none of none, sleep:MS, cpu:US, skew:MS:SLOWMS");
        let time = |ms: &str| {
            let seconds = ms.parse::<f64>().map_err(|_| wrong())? / 1e3;
            Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
        };
        match text.split(':').collect::<Vec<_>>()[..] {
            ["none"] => Ok(Self::None),
            ["sleep", ms] => Ok(Self::Sleep(time(ms)?)),
            ["cpu", us] => Ok(Self::Cpu(Duration::from_micros(us.parse().map_err(|_| wrong())?))),
            ["skew", ms, slow] => Ok(Self::Skew(time(ms)?, time(slow)?)),
            _ => Err(wrong()),
        }
    }

    /// How long the handler of this message waits; CPU is burnt here.
    pub fn wait(self, payload: &[u8]) -> Option<Duration> {
        match self {
            Self::Skew(..) => self.wait_of(payload::field(payload, payload::NUMBER)),
            Self::None | Self::Sleep(_) | Self::Cpu(_) => self.wait_of(0),
        }
    }

    /// As [`wait`](Self::wait), by the message's number.
    pub fn wait_of(self, number: u64) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::Sleep(time) => Some(time),
            Self::Cpu(time) => {
                let start = Instant::now();
                while start.elapsed() < time {
                    std::hint::spin_loop();
                }
                None
            }
            Self::Skew(_, slow) if number.is_multiple_of(SLOW) => Some(slow),
            Self::Skew(time, _) => Some(time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_read_as_it_is_written() {
        assert_eq!(Work::parse("none"), Ok(Work::None));
        assert_eq!(Work::parse("sleep:0.5"), Ok(Work::Sleep(Duration::from_micros(500))));
        assert_eq!(Work::parse("cpu:3"), Ok(Work::Cpu(Duration::from_micros(3))));
        for wrong in ["", "cpu:-1", "sleep", "sleep:fast", "sleep:-1", "skew:5", "none:1"] {
            assert!(Work::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_hundredth_message_is_slow() {
        let work = Work::parse("skew:5:200").unwrap();
        let slow = (0..1_000).filter(|number| work.wait_of(*number) == Some(Duration::from_millis(200)));
        assert_eq!(slow.count(), 10);
        assert_eq!(work.wait(br#"{"n":       300,"#), Some(Duration::from_millis(200)));
    }
}
