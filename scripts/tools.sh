#!/usr/bin/env bash
# Sees to what a build needs beside Rust's compiler, and installs what is missing where it can. With "lint": what
# `make check` needs on top; with "micro": what instructions are counted with; with "browser": Chromium, and what drives it;
# with "schemathesis": what the API is held against its document with.
set -euo pipefail

command -v cargo >/dev/null || {
    echo "tools: cargo is missing: install Rust (see rust-version in Cargo.toml)" >&2
    exit 1
}

packages=()
command -v cc >/dev/null || packages+=(gcc libc6-dev)
# librdkafka builds its C++ interface too, and does not configure without a compiler for it.
command -v c++ >/dev/null || packages+=(g++)
command -v pkg-config >/dev/null || packages+=(pkg-config)
# With "tls", anywhere: the tests talk to brokers over TLS, and make the certificates for it.
if [[ " $* " == *" tls "* ]]; then
    pkg-config --exists openssl 2>/dev/null || packages+=(libssl-dev)
    command -v openssl >/dev/null || packages+=(openssl)
    # They take links down, and mount disks that are too small.
    command -v ip >/dev/null || packages+=(iproute2)
    command -v mount >/dev/null || packages+=(mount)
fi
# Elsewhere there is none to install; nor are there figures to compare with.
if [[ " $* " == *" micro "* && $(uname) == Linux ]]; then
    command -v valgrind >/dev/null || packages+=(valgrind)
fi
if [[ " $* " == *" browser "* ]]; then
    command -v chromium >/dev/null || command -v google-chrome >/dev/null || packages+=(chromium)
    command -v chromedriver >/dev/null || packages+=(chromium-driver)
fi
if [[ " $* " == *" schemathesis "* ]]; then
    python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3-venv)
fi
[[ ${1-} != lint ]] || command -v git >/dev/null || packages+=(git)
if ((${#packages[@]})); then
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
    else
        echo "tools: install ${packages[*]} (so Debian calls them; make does it where it runs as root and finds apt-get)" >&2
        exit 1
    fi
fi

if [[ ${1-} == lint ]]; then
    for component in rustfmt clippy; do
        command=${component/rustfmt/fmt}
        cargo "$command" --version >/dev/null 2>&1 || rustup component add "$component" || {
            echo "tools: install Rust's component $component" >&2
            exit 1
        }
    done
fi

if [[ " $* " == *" schemathesis "* ]]; then
    version=4.32.5
    home=${CARGO_TARGET_DIR:-target}/tools/schemathesis
    if ! "$home/bin/schemathesis" --version 2>/dev/null | grep -qF "$version"; then
        rm -rf "$home"
        python3 -m venv "$home"
        "$home/bin/pip" install -q "schemathesis==$version"
    fi
fi
