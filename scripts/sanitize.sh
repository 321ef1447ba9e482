#!/usr/bin/env bash
# Runs all that touches librdkafka's memory under AddressSanitizer and LeakSanitizer, librdkafka itself included, and fails on
# any report. With a step's name, that step alone:
#
#   unit         what needs no broker: src/kafka, its native part above all
#   source       the Kafka source on a real broker, under all three group protocols
#   conformance  what every source promises
#   letters      dead letters read, re-driven and discarded
#   security     TLS and SASL, and rights that are withheld
#   load         processes of examples/ledger and examples/peer under load: rebalances, retries, dead letters, stops
#   valgrind     the native tests once more, without the sanitizers, for what only memcheck sees: memory that nobody has written
#
# A nightly toolchain is needed (SANITIZE_TOOLCHAIN names another one than `nightly`), and a C compiler with -fsanitize=address.
#
# Not ThreadSanitizer, nor valgrind's helgrind: without a standard library that is instrumented as well, they take a `OnceLock`
# that two threads share, or an `Arc` that both let go, for a race.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    echo "sanitize: $1" >&2
    exit 1
}

steps=("$@")
((${#steps[@]})) || steps=(unit source conformance letters security load valgrind)

# Not the deployable daemon: it has an allocator of its own, by which no sanitizer sees anything, and all that is built with it.
packages=(--workspace --exclude handlers)
toolchain=${SANITIZE_TOOLCHAIN:-nightly}
target_dir=${CARGO_TARGET_DIR:-target}

bash scripts/tools.sh tls
if ! cargo "+$toolchain" --version >/dev/null 2>&1; then
    command -v rustup >/dev/null || die "rustup is missing: install it, and with it Rust's toolchain \`$toolchain\`"
    rustup toolchain install "$toolchain" --profile minimal || die "Rust's toolchain \`$toolchain\` can't be installed: install it, or name another nightly one in SANITIZE_TOOLCHAIN"
fi
rustc() { command rustc "+$toolchain" "$@"; }
host=$(rustc -vV | sed -n 's/^host: //p')
compgen -G "$(rustc --print sysroot)/lib/rustlib/$host/lib/librustc*_rt.asan.a" >/dev/null ||
    die "the toolchain \`$toolchain\` has no AddressSanitizer for $host: name a nightly one for x86_64 or aarch64 Linux in SANITIZE_TOOLCHAIN"
# Suppressions are by name, and so are reports that can be read.
command -v llvm-symbolizer >/dev/null || command -v addr2line >/dev/null ||
    die "neither llvm-symbolizer nor addr2line is there: install llvm or binutils"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
echo 'int main(void) { return 0; }' | "${CC:-cc}" -fsanitize=address -x c -o "$scratch/probe" - 2>"$scratch/why" ||
    die "${CC:-cc} can't build with -fsanitize=address, install its sanitizer library or name another compiler in CC: $(<"$scratch/why")"

# Built beside the ordinary products, and for a named target: so only what runs is instrumented, not the compiler's plugins. C
# and Rust share the runtime of Rust's toolchain. Without sibling calls, no function is missing in the stack of a leak.
sanitized() {
    env CARGO_TARGET_DIR="$target_dir/sanitize" CARGO_BUILD_TARGET="$host" \
        CFLAGS="-fsanitize=address -fno-omit-frame-pointer -fno-optimize-sibling-calls -g1" \
        RUSTFLAGS="-Zsanitizer=address -Cforce-frame-pointers=yes" "$@"
}
# Reports go into files: a process may be one of a test's, with nobody who reads what it says, or be killed afterwards. No
# backtraces of panics: a handler that panics would take seconds for one, and its revocation doesn't wait that long. The fast
# unwinder loses its way in some of librdkafka's threads, and LeakSanitizer passes over a leak that it knows no caller of.
watched() {
    ASAN_OPTIONS="detect_leaks=${leaks:-1}:fast_unwind_on_malloc=0:strict_string_checks=1:log_path=$scratch/report:log_exe_name=1" \
        LSAN_OPTIONS="suppressions=$PWD/scripts/sanitize.supp:print_suppressions=0" RUST_BACKTRACE=0 sanitized "$@"
}
with_kafka() { watched "$target_dir/sanitize/$host/debug/with-kafka" "$@"; }

# One package set for all, see the Makefile.
build() { sanitized cargo "+$toolchain" build --locked "${packages[@]}" --bins --examples; }

step() {
    case $1 in
    unit) watched cargo "+$toolchain" test --locked "${packages[@]}" --lib -- kafka:: ;;
    source) build && with_kafka cargo "+$toolchain" test --locked "${packages[@]}" --test kafka_source ;;
    conformance) build && with_kafka cargo "+$toolchain" test --locked "${packages[@]}" --test conformance ;;
    letters) build && with_kafka cargo "+$toolchain" test --locked "${packages[@]}" --test dead_letters ;;
    security)
        # It starts a broker of its own. Without LeakSanitizer: it doesn't know librdkafka's threads, which C11's `thrd_create`
        # starts, nor their stacks. What a process holds there as it ends within a handshake would count as lost.
        build && leaks=0 watched cargo "+$toolchain" test --locked "${packages[@]}" --test security -- --test-threads 2 api:: ways_in::
        ;;
    load)
        # One after the other: some start ten processes at once, and each is slower than it ought to be.
        build && with_kafka cargo "+$toolchain" test --locked "${packages[@]}" --test faults -- --test-threads 1 \
            peers:: rebalance_storm sigterm_drains letters_equal_their_records
        ;;
    valgrind)
        command -v valgrind >/dev/null || die "valgrind is missing: install it, or name the steps to run without it"
        local runner=CARGO_TARGET_${host//-/_}_RUNNER
        env "${runner^^}=valgrind --quiet --error-exitcode=9 --fair-sched=yes" \
            cargo test --locked "${packages[@]}" --lib -- kafka::native::
        ;;
    *) die "there is no step \`$1\`, see the head of scripts/sanitize.sh" ;;
    esac
}

failed=0
for name in "${steps[@]}"; do
    echo "sanitize: $name" >&2
    step "$name" || failed=1
    for report in "$scratch"/report*; do
        [[ -e $report ]] || continue
        echo "sanitize: $name: $(basename "$report")" >&2
        cat "$report" >&2
        rm "$report"
        failed=1
    done
done
((failed == 0)) && echo "sanitize: no reports" >&2
exit "$failed"
