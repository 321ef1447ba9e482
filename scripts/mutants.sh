#!/usr/bin/env bash
# Changes the pure core of the pipeline in one place after the other, and says which changes no test notices. First by the tests that stand beside
# the code, with few cases of each property; what is left by all of them, and by the pipeline's scenarios and the simulation.
#
#   scripts/mutants.sh [ARGUMENTS]    such as --file src/retry.rs
#
# Hours by two cores; nothing else should run meanwhile. The list of what was not noticed is in target/mutants/mutants.out/missed.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

version=27.1.0
out=${CARGO_TARGET_DIR:-target}/mutants
if ! cargo mutants --version 2>/dev/null | grep -qF "$version"; then
    cargo install cargo-mutants --locked --version "$version"
fi
mkdir -p "$out"
# Exit code 2: there were some that nobody noticed.
run() { cargo mutants --output "$out" --jobs "$(nproc)" --no-shuffle "$@" || [[ $? == 2 || $? == 3 ]]; }

PROPTEST_CASES=64 run "$@" -- --lib -- pipeline:: retry::
run --iterate "$@" -- --lib --test pipeline --test simulation
cat "$out/mutants.out/missed.txt"
