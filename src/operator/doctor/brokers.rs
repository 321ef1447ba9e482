//! Whether each broker answers, at the address that clients are told to go to.

use super::facts::Facts;
use super::finding::Findings;
use crate::api::Finding;

pub(super) fn judge(facts: &Facts, into: &mut Vec<Finding>) {
    let mut found = Findings::of("brokers", into);
    if !facts.is_reached() {
        for broker in &facts.brokers {
            let error = broker.answer.as_ref().err().cloned().unwrap_or_default();
            found.error(&broker.address, error, "let a broker be reached first: nothing else can be looked at");
        }
        return;
    }
    for broker in &facts.brokers {
        let Err(error) = &broker.answer else { continue };
        match broker.id {
            Some(id) => found.error(
                format!("broker {id} at {}", broker.address),
                format!("the cluster tells clients to go there, and nobody answers from here: {error}"),
                "if it runs, set its `advertised.listeners` to an address that is resolved and reached from here, and let the network pass",
            ),
            None => found.warning(
                &broker.address,
                format!("the configuration names it, and it doesn't answer: {error}"),
                "correct `brokers`: a start finds the others only while one of them answers",
            ),
        }
    }
    let (all, named) = (
        facts.brokers.iter().filter(|broker| broker.id.is_some()),
        facts.brokers.iter().filter(|broker| broker.is_named).count(),
    );
    let (count, answering) = (all.clone().count(), all.filter(|broker| broker.answer.is_ok()).count());
    if answering == count {
        found.ok(&facts.cluster, format!("{count} of {count} broker(s) answer where clients are told to go"));
    }
    if named == 1 && count > 1 {
        found.warning(
            &facts.cluster,
            format!("`brokers` names one of {count}"),
            "name two or three of them: while that one is away, nothing can be started",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::BrokerFact;
    use super::super::tests::said;
    use super::*;
    use crate::api::Severity::{Error, Ok as Fine, Warning};

    fn broker(id: Option<i32>, is_named: bool, answer: Result<(), &str>) -> BrokerFact {
        let address = format!("b{}:9092", id.unwrap_or(0));
        BrokerFact { address, id, is_named, answer: answer.map_err(str::to_owned) }
    }

    fn judged(brokers: Vec<BrokerFact>) -> Vec<(crate::api::Severity, String)> {
        said(judge, &Facts { cluster: "main".to_owned(), brokers, ..Facts::default() })
    }

    #[test]
    fn brokers_that_all_answer_are_well() {
        let found = judged(vec![broker(Some(1), true, Ok(())), broker(Some(2), true, Ok(()))]);
        assert_eq!(found, [(Fine, "main".to_owned())]);
    }

    #[test]
    fn an_advertised_address_where_nobody_answers_is_an_error() {
        let found = judged(vec![broker(None, true, Ok(())), broker(Some(1), false, Err("refused"))]);
        assert_eq!(found, [(Error, "broker 1 at b1:9092".to_owned())]);
    }

    #[test]
    fn a_named_address_that_is_not_there_is_a_warning() {
        let found = judged(vec![broker(None, true, Err("refused")), broker(Some(1), true, Ok(()))]);
        assert_eq!(found, [(Warning, "b0:9092".to_owned()), (Fine, "main".to_owned())]);
    }

    #[test]
    fn one_name_for_several_brokers_is_a_warning() {
        let found = judged(vec![broker(Some(1), true, Ok(())), broker(Some(2), false, Ok(()))]);
        assert_eq!(found, [(Fine, "main".to_owned()), (Warning, "main".to_owned())]);
    }

    #[test]
    fn silence_is_told_as_the_client_understands_it() {
        let facts = Facts { brokers: vec![broker(None, true, Err("the password is wrong"))], ..Facts::default() };
        let mut found = Vec::new();
        judge(&facts, &mut found);
        assert_eq!((found[0].severity, found[0].what.as_str()), (Error, "the password is wrong"));
    }
}
