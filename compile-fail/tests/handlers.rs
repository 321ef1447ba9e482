//! Handlers that are none: the compiler's first words name the argument that is wrong, and say what to do.

use std::process::Command;

/// The words are compared as this version of Rust has them; each puts them a little differently.
const RUST: &str = "rustc 1.95.";

#[test]
fn compiler_names_the_argument_that_is_wrong_and_says_what_to_do() {
    let rustc = Command::new("rustc").arg("--version").output().expect("the compiler that built this is there");
    if String::from_utf8_lossy(&rustc.stdout).starts_with(RUST) {
        trybuild::TestCases::new().compile_fail("cases/*.rs");
    }
}
