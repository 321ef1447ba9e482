#!/usr/bin/env bash
# Changes what decides over records in one place after the other, and says which changes no test notices. First by the tests that stand beside
# the code, with few cases of each property; what those don't notice by the pipeline's scenarios and the simulation as well.
#
#   scripts/mutants.sh [ARGUMENTS]    of cargo-mutants, such as --file src/retry.rs
#
# Most of two hours by two cores, with nothing else beside it. What was noticed stays noticed: started again, it goes on with the rest, until
# target/mutants is removed. There mutants.out/missed.txt has what no test noticed.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export PATH="$target/tools/bin:$PATH"
version=27.1.0
cargo mutants --version 2>/dev/null | grep -qF "$version" ||
    cargo install cargo-mutants --locked --version "$version" --root "$target/tools"
out=$target/mutants
mkdir -p "$out"
# Each works on a copy of its own, whose target directory stands in it.
unset CARGO_TARGET_DIR
export CARGO_PROFILE_DEV_DEBUG=0

# 2: something was not noticed; 3: something timed out, which counts as noticed.
run() {
    local code=0
    cargo mutants --iterate --output "$out" --jobs "$(nproc)" --no-shuffle "$@" || code=$?
    [[ $code == 0 || $code == 2 || $code == 3 ]] || exit "$code"
}

# Those tests that take most of the time notice nothing that others don't.
PROPTEST_CASES=1000 run --cargo-arg=--lib "$@" -- -- --skip five_million pipeline:: retry::
DAEMONRY_SIM_SEEDS=300 run --cargo-arg=--lib --cargo-arg=--test=pipeline --cargo-arg=--test=simulation "$@" \
    -- -- --skip job_of_days --skip steady_load_finds --skip bad_keys_that_look
echo "not noticed:"
cat "$out/mutants.out/missed.txt"
