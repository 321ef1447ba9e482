#!/usr/bin/env bash
# What no compiler checks: who may name which client, what must not be in the repository, how long a file may be.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
fail() {
    echo "bans: $1" >&2
    failed=1
}

# Without git, or in a tree that is not a clone of one's own, nothing would be found, and nothing would have been checked.
git rev-parse --show-toplevel >/dev/null || {
    echo "bans: git must be installed, and know this directory as a work tree" >&2
    exit 1
}

# Prints the matches of a pattern in tracked and new files, and fails with the reason if there are any.
ban() {
    local reason=$1 pattern=$2 found status=0
    shift 2
    found=$(git grep --untracked -nP "$pattern" -- "$@") || status=$?
    case $status in
    0)
        echo "$found" >&2
        fail "$reason"
        ;;
    1) ;;
    *) fail "cannot look for: $reason" ;;
    esac
}

ban "only src/kafka (and integration and bench, which have hands of their own on Kafka) may name rdkafka" \
    '\brdkafka(_sys)?::' '*.rs' ':!src/kafka.rs' ':!src/kafka/*' ':!integration/*' ':!bench/*'
ban "the pipeline uses tokio's time only, so that virtual time drives it" \
    '(?<!tokio::)\btime::(Instant|SystemTime|\{[^}]*\b(Instant|SystemTime)\b)' src/pipeline src/pipeline.rs src/retry.rs
ban "no absolute paths of a machine" \
    '(^|[^A-Za-z0-9_.}~-])/(work|root|home|Users)/' . ':!scripts/bans.sh'
ban "no hosts of package registries" \
    '(static|index)[.]crates[.]io|repo1?[.]maven|maven[.]org|pypi[.]org|pythonhosted[.]|npmjs[.]|proxy[.]golang|deb[.]debian' \
    . ':!scripts/bans.sh'

while IFS= read -r -d '' file; do
    [[ -f $file ]] || continue
    all=$(wc -l <"$file")
    code=$(awk '/^#\[cfg\(test\)\]/ { exit } { n++ } END { print n + 0 }' "$file")
    if ((all > 500)); then
        fail "$file has $all lines: split it by 500"
    elif ((code > 300)) && [[ $file == src/* && $file != */tests.rs ]]; then
        echo "bans: warning: $file has $code lines without its tests: aim below 300" >&2
    fi
done < <(git ls-files -z --cached --others --exclude-standard -- '*.rs')

exit "$failed"
