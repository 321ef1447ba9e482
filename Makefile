# `make test` is the whole test suite, against a real Kafka that it starts if it has to.

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
WITH_KAFKA := $(TARGET_DIR)/debug/with-kafka
# By itself: of the library it needs neither Kafka nor what its tests need.
MICRO := cargo run --locked --profile bench -p micro --
FIGURES := micro/figures.txt
BOOK_TOOLS := $(abspath $(TARGET_DIR))/tools

.DEFAULT_GOAL := help
.PHONY: help demo check micro micro-accept test faults soak idle letters bench bench-peers book screenshots coverage mutants sanitize fuzz fmt

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: ## Handle sample orders on a Kafka inside the process, shown live; ends with Ctrl-C, or after FOR=20s
	@bash scripts/tools.sh
	@bash scripts/foreground.sh cargo run --locked -p handlers -- demo $(if $(FOR),--for $(FOR))

check: ## Format, lints, documentation and bans, all without warnings; and no part grown slower
	@bash scripts/tools.sh lint tls micro
	bash scripts/bans.sh
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked -p daemonry --no-default-features --all-targets -- -D warnings
	cargo clippy --locked -p daemonry --no-default-features --features api --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --workspace
	$(MICRO) check $(FIGURES)

micro: ## Count the instructions and allocations of the parts that every record passes
	@bash scripts/tools.sh micro
	@$(MICRO) show

micro-accept: ## Make what they take now the figures that `make check` keeps to
	@bash scripts/tools.sh micro
	$(MICRO) accept $(FIGURES)

# One package set for both steps: another one would select other features and build the dependencies twice. It has TLS, since
# `integration` asks for it; `make demo` builds without, and so needs no OpenSSL.
# The tests run the examples as processes, so those are built first.
HOST = $(shell rustc -vV | sed -n 's/^host: //p' | tr a-z- A-Z_)
RUN_BY = CARGO_TARGET_$(HOST)_RUNNER=$(abspath scripts/test-threads.sh)
test: ## Run all tests; uses KAFKA_BROKERS, Docker or Java, whichever is there
	@bash scripts/tools.sh tls browser schemathesis
	cargo build --locked --workspace --bins --examples
	$(RUN_BY) $(WITH_KAFKA) cargo test --locked --workspace

# As many kills, moves and minutes as show rare things too; `make test` has some of each. ONLY=rebalance_storm for one of them;
# PAGE=docs/testing.md puts what came of them into the table there.
FAULT_FIGURES := $(abspath $(TARGET_DIR))/fault-figures.jsonl
faults: ## Every fault at length, on a real Kafka: kills, stops, storms, clusters, networks; half an hour
	@bash scripts/tools.sh tls
	cargo build --locked --workspace --bins --examples
	rm -f $(FAULT_FIGURES)
	$(RUN_BY) DAEMONRY_FAULTS=long DAEMONRY_FIGURES=$(FAULT_FIGURES) \
		$(WITH_KAFKA) cargo test --locked --workspace --test faults -- --nocapture --include-ignored $(ONLY)
	$(if $(PAGE),$(TARGET_DIR)/debug/fault-figures $(FAULT_FIGURES) $(PAGE))

soak: ## Half an hour, or MINUTES=…, of every fault at random on three brokers: ledger clean, memory flat
	@bash scripts/tools.sh tls
	cargo build --locked --workspace --bins --examples
	SOAK_SECONDS=$$(($(or $(MINUTES),30) * 60)) $(WITH_KAFKA) cargo test --locked --workspace --test soak -- --nocapture

idle: ## What an idle process costs: CPU over a minute each, with 1, 100 and 1,000 partitions
	@bash scripts/tools.sh tls
	cargo build --locked --release --workspace --bin with-kafka --example ledger
	IDLE_SECONDS=60 $(TARGET_DIR)/release/with-kafka cargo test --locked --release --workspace --test idle -- --nocapture

letters: ## What a million dead letters with their marks cost, or LETTERS=…: the API, its pages and the command line, in time and memory
	@bash scripts/tools.sh tls
	cargo build --locked --release --workspace --bin with-kafka --bin handlers --bin daemonry
	LETTERS=$(or $(LETTERS),1000000) $(TARGET_DIR)/release/with-kafka cargo test --locked --release --workspace --test letters -- --nocapture

# RUNS=1 makes each run once, ROWS=w1a,w2 only some; PAGE=docs/performance.md puts the tables there.
BENCH_FLAGS = $(if $(RUNS),--runs $(RUNS)) $(if $(ROWS),--rows $(ROWS)) $(if $(PAGE),--page $(PAGE))
# Not as one workspace: the deployable daemon has mimalloc, and all that is built with it. The raw loops are to have what rdkafka's users have.
BENCH_BUILD = cargo build --locked --release -p integration -p bench $(addprefix --bin ,with-kafka bench rawt rawb rawh bare) && \
	cargo build --locked --release -p daemonry --features tls,mimalloc --example peer --example ledger

bench: ## The figures to reach, measured beside raw loops, with verdicts; minutes. RUNS=1 ROWS=w1a,w2 for less
	@bash scripts/tools.sh tls
	$(BENCH_BUILD)
	$(TARGET_DIR)/release/with-kafka $(TARGET_DIR)/release/bench ours $(BENCH_FLAGS)

bench-peers: ## The same beside other frameworks, which it builds, or PEERS="franz old=./peer"
	@bash scripts/tools.sh tls
	$(BENCH_BUILD)
	$(TARGET_DIR)/release/with-kafka $(TARGET_DIR)/release/bench peers $(PEERS) $(BENCH_FLAGS)

screenshots: ## Pictures of the demo's pages, wide and narrow, light and dark, and the README's; installs Chromium if it is missing
	@bash scripts/tools.sh browser
	@bash scripts/screenshots.sh

book: ## Build the book of docs/ into target/book; installs mdbook if it is missing
	@command -v mdbook >/dev/null || test -x "$(BOOK_TOOLS)/bin/mdbook" || \
		cargo install mdbook --locked --version 0.5.4 --root "$(BOOK_TOOLS)"
	PATH="$(BOOK_TOOLS)/bin:$$PATH" mdbook build

coverage: ## Show which branches of the pipeline the simulation takes, in SEEDS=1000 runs; needs a nightly Rust
	@bash scripts/coverage.sh

mutants: ## Change the pipeline's core in some 1,400 places, one at a time, and say what no test beside it notices; most of an hour
	@bash scripts/mutants.sh $(ARGS)

sanitize: ## Run what touches native memory under sanitizers; needs a nightly Rust, takes a while
	bash scripts/sanitize.sh

fuzz: ## Fuzz what is read of other people's bytes, SECONDS=60 each of TARGETS; needs a nightly Rust
	SECONDS_EACH=$(or $(SECONDS),60) bash scripts/fuzz.sh $(TARGETS)

fmt: ## Format the sources
	@bash scripts/tools.sh lint
	cargo fmt --all
