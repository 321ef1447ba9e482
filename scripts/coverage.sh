#!/usr/bin/env bash
# Which branches of the pipeline the simulation takes in SEEDS runs (1,000), file by file. Needs a nightly Rust: stable ones count no branches.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    echo "coverage: $1" >&2
    exit 1
}

toolchain=${COVERAGE_TOOLCHAIN:-nightly}
tools=$(realpath -m "${CARGO_TARGET_DIR:-target}/tools")
export PATH="$tools/bin:$PATH"
command -v rustup >/dev/null || die "rustup is missing: install it, and with it Rust's toolchain \`$toolchain\`"
cargo "+$toolchain" --version >/dev/null 2>&1 || rustup toolchain install "$toolchain" --profile minimal ||
    die "Rust's toolchain \`$toolchain\` can't be installed: install it, or name another nightly one in COVERAGE_TOOLCHAIN"
rustup component add llvm-tools --toolchain "$toolchain" >/dev/null 2>&1 ||
    die "\`llvm-tools\` can't be added to Rust's toolchain \`$toolchain\`"
command -v cargo-llvm-cov >/dev/null || cargo install cargo-llvm-cov --locked --version 0.9.1 --root "$tools"

# By itself: what other tests have left beside their builds would be looked at, too.
export CARGO_TARGET_DIR="${tools%/tools}/coverage"
export DAEMONRY_SIM_SEEDS=${SEEDS:-1000}
# With more threads it crashes.
export LLVM_COV_FLAGS=--num-threads=1
# All but the pipeline and what it is made of.
others='src/(admin|app|config|daemon|dead_letters|handler|kafka|metrics|micro|record|supervisor|telemetry|testing)/'
others+='|src/(panic|records?|shutdown|supervisor|telemetry|trace|producer|metrics)\.rs|tests'
# The core alone, as it needs no Kafka.
cargo "+$toolchain" llvm-cov --branch -p daemonry --no-default-features --test simulation \
    --ignore-filename-regex "$others" --summary-only
