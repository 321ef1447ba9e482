#!/usr/bin/env bash
# What cargo runs each test by: of the faults one more goes at a time than there are cores, as for the most part they wait; at length two more.
set -euo pipefail

# A cargo that a test runs runs its programs itself.
for variable in $(compgen -v CARGO_TARGET_ | grep _RUNNER); do unset "$variable"; done
case ${1##*/} in
    faults-*)
        [ "${DAEMONRY_FAULTS-}" = long ] && more=2 || more=1
        export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) + more))}
        ;;
esac
exec "$@"
