#!/usr/bin/env bash
# Which branches of the pipeline the simulation's seeds take, file by file: SEEDS of them. Needs a nightly Rust with llvm-tools, as stable ones
# count no branches.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    echo "coverage: $1" >&2
    exit 1
}

toolchain=${COVERAGE_TOOLCHAIN:-nightly}
tools=$(realpath -m "${CARGO_TARGET_DIR:-target}/tools")
export PATH="$tools/bin:$PATH"
command -v rustup >/dev/null || die "rustup is missing: install it"
cargo "+$toolchain" --version >/dev/null 2>&1 || rustup toolchain install "$toolchain" --profile minimal
rustup component add llvm-tools --toolchain "$toolchain" >/dev/null 2>&1 || die "llvm-tools can't be added to Rust's toolchain \`$toolchain\`"
command -v cargo-llvm-cov >/dev/null || cargo install cargo-llvm-cov --locked --version 0.9.1 --root "$tools"

export DAEMONRY_SIM_SEEDS=${SEEDS:-1000}
# The core alone, as it needs no Kafka; what isn't the pipeline is left out of the table.
cargo "+$toolchain" llvm-cov --branch -p daemonry --no-default-features --test simulation \
    --ignore-filename-regex '/src/(?!pipeline/)|/tests/|tests\.rs|/registry/' --summary-only "$@"
