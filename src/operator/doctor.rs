//! `doctor`: finds what usually goes wrong, and says what to do.
//!
//! Facts are collected first, then each check judges them: a file each, pure. The invariant: every check is made, whatever the others
//! find; where one can't be, that is said.

mod brokers;
mod certificates;
mod facts;
mod finding;
mod fleet;
mod group;
mod letters;
mod marks;
mod progress;
mod rights;
mod settings;
mod stop;
mod topics;

use clap::Args;

use self::certificates::CertificateFact;
use self::facts::Facts;
use super::ReadFile;
use super::cluster::{ClusterArgs, Target, used_targets};
use super::console::{Console, OutputArgs};
use super::failure::Failure;
use super::standing::{Subject, subjects, wanted};
use super::work::block_on;
use crate::api::{Finding, Severity};
use crate::config::{Deployment, Period};
use crate::record::Timestamp;
use crate::shutdown::Exit;

/// All that judge a cluster.
const CHECKS: [fn(&Facts, &mut Vec<Finding>); 9] = [
    brokers::judge,
    topics::judge,
    letters::judge,
    marks::judge,
    rights::judge,
    group::judge,
    progress::judge,
    settings::judge,
    fleet::judge,
];

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The group; can be repeated. By default those of the file's daemons
    #[arg(long, short, value_name = "GROUP")]
    group: Vec<String>,
    /// How many processes are to run: whether there are partitions for each
    #[arg(long, value_name = "COUNT")]
    replicas: Option<usize>,
    /// How long a process is given to stop, as Kubernetes' `terminationGracePeriodSeconds`: whether that is enough
    #[arg(long, value_name = "PERIOD", conflicts_with = "brokers")]
    grace_period: Option<Period>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Doctor {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let mut found = Vec::new();
        let deployment = self.cluster.deployment(read)?;
        if let (Some(Period(grace)), Some(deployment)) = (self.grace_period, &deployment) {
            stop::judge(deployment.stop, grace, &mut found);
        }
        let targets = self.cluster.targets(read)?;
        let api = deployment.and_then(|deployment| deployment.api);
        certificates::judge(&CertificateFact::all(api.as_ref(), &targets), Timestamp::now(), &mut found);
        // Without a group there is still the cluster to look at.
        let is_read = !self.group.is_empty() || targets.iter().any(|target| !target.consumers.is_empty());
        let mut wanted = match is_read {
            true => wanted(targets, &self.group)?,
            false => targets.into_iter().map(|target| (target, Vec::new())).collect(),
        };
        if self.group.is_empty()
            && let Some(alone) = self.cluster.fleet_alone(read)?
            && wanted.iter().all(|(target, _)| target.name != alone.name)
        {
            wanted.push((alone, Vec::new()));
        }
        found.extend(block_on(look(&wanted, self.replicas))?);
        let mut console = Console::new(&self.output);
        console.answer(&found, "nothing was looked at")?;
        let count = |severity| found.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        if console.is_for_people() {
            console.note(&format!("{errors} error(s), {warnings} warning(s)"));
        }
        Ok(if errors > 0 { Exit::Found } else { Exit::Drained })
    }
}

/// Looks at each of these clusters, and at those groups of it.
async fn look(wanted: &[(Target, Vec<Subject>)], replicas: Option<usize>) -> Result<Vec<Finding>, Failure> {
    let mut found = Vec::new();
    for (target, subjects) in wanted {
        let facts = Facts::collect(target, subjects, replicas).await?;
        CHECKS.iter().for_each(|judge| judge(&facts, &mut found));
    }
    Ok(found)
}

/// What the command finds of a program that runs, for its API.
///
/// # Errors
/// Why it can't look, in words.
pub(crate) async fn examine(deployment: Deployment) -> Result<Vec<Finding>, String> {
    let (mut found, api) = (Vec::new(), deployment.api.clone());
    let targets = used_targets(deployment);
    certificates::judge(&CertificateFact::all(api.as_ref(), &targets), Timestamp::now(), &mut found);
    let targets = targets.into_iter();
    let with_subjects = |target: Target| {
        let subjects = subjects(&target);
        (target, subjects)
    };
    let wanted: Vec<_> = targets.map(with_subjects).collect();
    found.extend(look(&wanted, None).await.map_err(|failure| failure.to_string())?);
    Ok(found)
}

#[cfg(test)]
mod tests;
