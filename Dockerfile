# syntax=docker/dockerfile:1
# The daemon of handlers/ as an image: `docker build --tag handlers .`, then `docker run handlers check --config /etc/handlers/shop.yaml`.

FROM rust:1.95-slim-bookworm AS build
# What librdkafka is built with (the image has gcc), and what it speaks TLS with. No versions: a build gets the newest fixes.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libssl-dev make pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Crates and objects stay for the next build; the program is copied out, because what is in a cache mount isn't in a layer.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --package handlers --features tls \
    && cp target/release/handlers /usr/local/bin/handlers

FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libssl3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/handlers /usr/local/bin/handlers
# A sample; a deployment puts its own in its place.
COPY config/shop.yaml /etc/handlers/shop.yaml
# With RUST_BACKTRACE set, each error of a handler would record a backtrace; those of panics are wanted.
ENV RUST_LIB_BACKTRACE=0
USER 65532:65532
EXPOSE 9465
# No shell around it: the signal to stop reaches the program itself.
ENTRYPOINT ["/usr/local/bin/handlers"]
CMD ["run", "--config", "/etc/handlers/shop.yaml"]
