#!/usr/bin/env bash
# Changes what decides over records in one place after the other, and says which changes the tests that stand beside the code don't notice,
# with a few hundred cases of each property.
#
#   scripts/mutants.sh [ARGUMENTS]    of cargo-mutants, such as --re 'retry.rs' for what that names
#
# Most of an hour by two cores, with nothing else beside it. What was noticed stays noticed: started again, it goes on with the rest, until
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

# The test that is left out takes longer than all others, and looks at memory.
code=0
PROPTEST_CASES=250 cargo mutants --iterate --output "$out" --jobs "$(nproc)" --no-shuffle --cargo-arg=--lib "$@" \
    -- -- --skip five_million pipeline:: retry:: || code=$?
# 2: something was not noticed; 3: something timed out, which counts as noticed.
[[ $code == 0 || $code == 2 || $code == 3 ]]
