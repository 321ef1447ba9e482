#!/usr/bin/env bash
# Runs a command that Ctrl-C is to end, from a recipe of make, and ends with its exit code.
#
# GNU make answers SIGINT with code 130, whatever its recipe ends with, and can't be told not to. So on a terminal the command gets a
# process group of its own in the foreground, by the shell's job control: Ctrl-C reaches the command alone. A signal that is sent to
# make's group by other means is passed on.
set -uo pipefail

if ! [[ -t 0 ]] || ! { : </dev/tty; } 2>/dev/null; then
    exec "$@"
fi
set -m
"$@" <&0 &
job=$!
set +m
# A shell that waits for its foreground heeds no trap; this one does.
(
    trap 'kill -INT -- "-$job"' INT
    trap 'kill -TERM -- "-$job"' TERM
    while kill -0 "$job" 2>/dev/null; do
        sleep 1 &
        wait
    done
) 2>/dev/null &
set -m
fg %1 >/dev/null 2>&1
code=$?
# `fg` fails with 1 where the job has ended before; its code is known then, and only then.
if ((code == 1)); then
    wait "$job" 2>/dev/null
    late=$?
    ((late == 127)) || code=$late
fi
exit "$code"
