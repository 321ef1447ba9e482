//! Whether whoever stops a process waits as long as it takes to stop.

use std::time::Duration;

use super::finding::Findings;
use crate::api::Finding;
use crate::config::Period;

/// `stop` is what a process takes at most, `grace` what it is given before it is killed.
pub(super) fn judge(stop: Duration, grace: Duration, into: &mut Vec<Finding>) {
    let mut found = Findings::of("stop", into);
    if grace > stop {
        found.ok("every process", format!("it is given {}, and takes {} at most", Period(grace), Period(stop)));
    } else {
        found.error(
            "every process",
            format!(
                "it takes up to {} to stop, and is killed after {}: what it was at runs again",
                Period(stop),
                Period(grace)
            ),
            format!(
                "set `terminationGracePeriodSeconds` to {} or more, or shorten the daemon's `drain`",
                stop.as_secs() + 5
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Severity;

    #[test]
    fn a_process_must_be_given_longer_than_it_takes() {
        let severity = |stop, grace| {
            let mut found = Vec::new();
            judge(Duration::from_secs(stop), Duration::from_secs(grace), &mut found);
            found[0].severity
        };
        assert_eq!(severity(40, 45), Severity::Ok);
        assert_eq!(severity(40, 40), Severity::Error);
        assert_eq!(severity(40, 30), Severity::Error);
    }
}
