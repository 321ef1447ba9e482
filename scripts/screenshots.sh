#!/usr/bin/env bash
# Runs the demo, and takes pictures of its pages with Chromium: wide and narrow, light and dark. They are in target/screenshots; the README's
# own goes to docs/images.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
out=$target/screenshots
scratch=$(mktemp -d)
demo=
end() {
    [[ -z $demo ]] || kill -INT "$demo" 2>/dev/null || true
    wait || true
    rm -rf "$scratch"
}
trap end EXIT

browser=$(command -v chromium || command -v google-chrome) || {
    echo "screenshots: install Chromium" >&2
    exit 1
}

cargo build --locked -p handlers
"$target/debug/handlers" demo --for 6min >"$scratch/summary" 2>"$scratch/said" &
demo=$!
for _ in {1..100}; do
    api=$(grep -om1 'what the daemons are at: http://[^,]*' "$scratch/said" | grep -o 'http.*' || true)
    [[ -z $api ]] || break
    sleep 0.2
done
[[ -n $api ]] || {
    echo "screenshots: the demo does not serve its pages, it said:" >&2
    cat "$scratch/said" >&2
    exit 1
}
# So that there is something to look at: letters, errors, half a minute of rates, and a job.
sleep 45
letters=/daemons/orders/letters/orders.created.dlq
job=$(curl -sf -H 'content-type: application/json' -d '{"reason": "the tax service is mended"}' "$api/api/v1$letters/redrives" |
    grep -o '"job":"[^"]*"' | cut -d '"' -f 4)
curl -sf -o /dev/null "$api/api/v1/jobs/$job?wait=true"
change() { curl -sf -o /dev/null -H 'content-type: application/json' -d "$2" "$api/api/v1/daemons/$1"; }
change orders/pause '{"topic": "orders.created", "key": "customer-7", "reason": "her address kills the tax service", "lasts": 7200000}'
curl -sf -o /dev/null -H 'content-type: application/json' -d '{}' "$api/api/v1/doctor"
change shipments/workers '{"workers": 2, "reason": "the warehouse is slow"}'
change orders/seek '{"topic": "orders.created", "partition": 1, "to": "end", "reason": "nobody wants these any more"}'
# A list has the latest first; the demo reads its four partitions.
command=$(curl -sf "$api/api/v1/commands?limit=1" | grep -o '"id":"[^"]*"' | head -1 | cut -d '"' -f 4)

mkdir -p "$out" docs/images
# Window widths; Chromium's colour schemes are 0 for dark and 1 for light.
picture() {
    local name=$1 path=$2 width=$3 height=$4 scheme=$5
    timeout 60 "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --hide-scrollbars --user-data-dir="$scratch/$name" \
        --blink-settings=preferredColorScheme="$scheme" --window-size="$width,$height" --screenshot="$out/$name.png" \
        "$api$path" >"$scratch/browser" 2>&1 || {
        cat "$scratch/browser" >&2
        exit 1
    }
}
pages=(overview=/ daemon=/daemons/orders workers=/workers errors=/errors letters=/letters topic="$letters" letter="$letters/0/0"
    job=/jobs/$job fleet=/fleet overrides=/overrides commands=/commands command="/commands/$command" topics=/topics partitions=/topics/orders.created
    records="/topics/orders.created/1?from=beginning" record=/topics/orders.created/1/1 config=/config audit=/audit doctor=/doctor)
for page in "${pages[@]}"; do
    name=${page%%=*} path=${page#*=}
    picture "$name-wide-light" "$path" 1440 900 1
    picture "$name-wide-dark" "$path" 1440 900 0
    picture "$name-narrow-light" "$path" 390 844 1
    picture "$name-narrow-dark" "$path" 390 844 0
done
picture readme / 1340 366 1
cp "$out/readme.png" docs/images/overview.png
echo "screenshots: in $out, and docs/images/overview.png"
