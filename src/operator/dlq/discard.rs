//! `dlq discard`: gives letters up, for a reason.

use clap::Args;

use super::super::ReadFile;
use super::super::again::Again;
use super::super::console::{Console, OutputArgs};
use super::super::failure::Failure;
use super::change::{ByArgs, Change, ExecuteArgs, Verb};
use super::which::{FilterArgs, LettersArgs};
use crate::dead_letters::Redrive;
use crate::record::Topic;
use crate::shutdown::Exit;

#[derive(Debug, PartialEq, Eq, Args)]
pub(super) struct Discard {
    #[command(flatten)]
    letters: LettersArgs,
    /// Why they are given up, for their marks
    #[arg(long, value_name = "TEXT")]
    because: String,
    #[command(flatten)]
    by: ByArgs,
    #[command(flatten)]
    execute: ExecuteArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

impl Discard {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        if self.because.trim().is_empty() {
            return Err(Failure::usage("say with `--because` why they are given up"));
        }
        let letters = self.letters.open(read)?;
        let console = Console::new(&self.output);
        let by = self.by.who_of(&self.execute)?;
        let again = self.again(letters.topic(), &by);
        // However often their records were re-driven.
        let counted = Redrive::new("counted", self.filter.filter()).cap(u32::MAX);
        let change = Change { verb: Verb::Discard, counted, execute: &self.execute, again };
        let (filter, because) = (self.filter.filter(), self.because);
        change.run(letters, console, |letters| async move { letters.discard(filter, by, because).await })
    }

    fn again(&self, topic: &Topic, by: &str) -> Again {
        let mut again = Again::new(&["dlq", "discard"]);
        self.letters.again(topic, &mut again);
        again.options("because", [&self.because]).options("by", [by]);
        self.filter.again(&mut again);
        self.output.again(&mut again);
        self.execute.again(&mut again);
        again
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        discard: Discard,
    }

    #[test]
    fn letters_are_given_up_for_a_reason_alone() {
        let line = |arguments: &[&str]| {
            let always = ["discard", "--brokers=b:1", "--topic=orders.dlq", "--by=ada"];
            Line::try_parse_from(always.iter().chain(arguments)).map(|line| line.discard)
        };
        assert!(line(&[]).expect_err("no reason").to_string().contains("--because"));
        let empty = line(&["--because= "]).expect("it is well formed");
        assert!(matches!(empty.run(&|_| unreachable!("there is no file")), Err(Failure::Usage(_))));
        let said = line(&["--because=a load test", "--key=ada", "--execute"]).expect("it is well formed");
        let again = said.again(&Topic::from("orders.dlq"), "ada").to_string();
        let expected =
            "dlq discard --brokers=b:1 --topic=orders.dlq --because='a load test' --by=ada --key=ada --execute";
        assert!(again.ends_with(expected), "{again}");
    }
}
