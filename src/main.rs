//! The operator's command line, for whoever has not the program that it operates: see [`daemonry::operator`].

use std::process::ExitCode;

fn main() -> ExitCode {
    daemonry::operator::main()
}
