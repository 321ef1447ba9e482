//! A failure as text.

use std::error::Error;

/// An error and its causes, in one line: it goes into logs and into the lines of a probe's answer.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::DaemonError;

    #[test]
    fn causes_and_lines_stand_in_one_line() {
        let error = anyhow::anyhow!("left: 1\n right: 2\n\n").context("can't connect");
        let error = DaemonError::failed(error);
        assert_eq!(chain(&error), "can't connect: left: 1 right: 2");
    }
}
