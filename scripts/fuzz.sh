#!/usr/bin/env bash
# Fuzzes each target of fuzz/ for 60 s (SECONDS_EACH), or those that are named, from what its corpus has. What makes one fail is left in
# fuzz/artifacts/<target>/: once mended it belongs in the corpus, which `make test` replays. What only reached something new is left under
# the target directory.
#
# Without a sanitizer: what is fuzzed has no `unsafe`, and librdkafka can't be configured with one. `make sanitize` is for that.
#
# A nightly toolchain is needed: FUZZ_TOOLCHAIN names another one than `nightly`.
set -euo pipefail
cd "$(dirname "$0")/.."

targets=("$@")
((${#targets[@]})) || targets=(metadata headers letter config)
toolchain=${FUZZ_TOOLCHAIN:-nightly}
# An absolute one: cargo-fuzz works in a directory of its own.
mkdir -p "${CARGO_TARGET_DIR:-target}"
target_dir=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)

if ! cargo "+$toolchain" --version >/dev/null 2>&1; then
    command -v rustup >/dev/null || {
        echo "fuzz: rustup is missing: install it, and with it Rust's toolchain \`$toolchain\`" >&2
        exit 1
    }
    rustup toolchain install "$toolchain" --profile minimal
fi
command -v cargo-fuzz >/dev/null || test -x "$target_dir/tools/bin/cargo-fuzz" ||
    cargo install cargo-fuzz --locked --version 0.13.1 --root "$target_dir/tools"

for target in "${targets[@]}"; do
    found=$target_dir/fuzz-corpus/$target
    mkdir -p "$found"
    PATH="$target_dir/tools/bin:$PATH" CARGO_TARGET_DIR="$target_dir/fuzz" \
        cargo "+$toolchain" fuzz run --sanitizer none "$target" "$found" "fuzz/corpus/$target" -- \
        -max_total_time="${SECONDS_EACH:-60}" -rss_limit_mb=1024 -timeout=10
done
