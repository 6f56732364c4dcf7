# The few commands of every day. `make` alone lists them; each installs what it lacks.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup setup-build setup-demo setup-bench setup-peers build demo kafka test chaos payouts fuzz-api \
	bench bench-peers bench-replay bench-analytics instructions instructions-accept check clean-data

CARGO_TARGET_DIR ?= target
CASES ?= 10000
KILLS ?= 216
PAYOUTS ?= 100000
CONVERSIONS ?= 600000
EVENTS ?= 10000000
SCENARIO ?=
HISTORY ?=
REPETITIONS ?=
FORM ?= short
SEED ?= $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
PROGRAM := $(CARGO_TARGET_DIR)/release/hissaback

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what building, running and testing lack (by apt as root, by npm, by Maven)
	@scripts/setup.sh

setup-build:
	@scripts/setup.sh build

setup-demo:
	@scripts/setup.sh build services

build: setup-build ## Build the program, optimised
	cargo build --locked --release

demo: setup-demo build ## Play a shop's day through the whole pipeline: make demo ARGS="--conversions 1000"
	$(PROGRAM) demo $(ARGS)

kafka: ## Run a Kafka broker and a schema registry on this machine until Ctrl-C: make kafka DIR=...
	@scripts/setup.sh build kafka
	cargo run --locked --quiet --package stream --features broker --example kafka -- $(DIR)

test: setup ## Run every test, against real PostgreSQL, ClickHouse and Kafka
	cargo test --locked --workspace --no-fail-fast
	node --test deploy/edge/worker.test.mjs
	cargo test --locked --workspace --features sinks/positions-first --test ledger a_kill_between
	@scripts/instructions.sh

chaos: export HISSABACK_KILLS = $(KILLS)
chaos: export HISSABACK_SEED = $(SEED)
chaos: export HISSABACK_CHAOS_REPORT = $(abspath $(CARGO_TARGET_DIR))/chaos.json
chaos: export HISSABACK_CHAOS_DOCUMENT = $(abspath docs/reliability.md)
chaos: setup ## Kill the product at every commit point: make chaos KILLS=216 SEED=1
	cargo test --locked --features commit-points --test kill -- --ignored --nocapture kills_at
	cargo test --locked --features commit-points,positions-first --test kill -- --ignored \
		--nocapture a_position

payouts: export HISSABACK_PAYOUTS = $(PAYOUTS)
payouts: export HISSABACK_SEED = $(SEED)
payouts: export HISSABACK_PAYOUTS_REPORT = $(abspath $(CARGO_TARGET_DIR))/payouts.json
payouts: export HISSABACK_PAYOUTS_DOCUMENT = $(abspath docs/reliability.md)
payouts: setup ## Make many payouts while things go wrong: make payouts PAYOUTS=100000 SEED=1
	cargo test --locked --package sinks --test payouts_proof -- --ignored --nocapture as_many

fuzz-api: export HISSABACK_FUZZ_CASES = $(CASES)
fuzz-api: setup ## Try the API with requests made up from its description: make fuzz-api CASES=10000
	cargo test --locked --package api --test api -- --nocapture requests_made_up

setup-bench: setup-build
	@scripts/setup.sh services kafka

bench: setup-bench build ## Measure the product, and write docs/performance.md: make bench SCENARIO=day FORM=full
	cargo build --locked --release --package harness
	cargo build --locked --release --package stream --features broker --example kafka
	$(CARGO_TARGET_DIR)/release/harness $(SCENARIO) --form $(FORM) $(if $(filter command line,$(origin SEED)),--seed $(SEED)) \
		$(if $(HISTORY),--history $(HISTORY)) $(if $(REPETITIONS),--repetitions $(REPETITIONS)) \
		$(if $(filter command line,$(origin CONVERSIONS)),--conversions $(CONVERSIONS)) \
		--histories $(CARGO_TARGET_DIR)/bench-history \
		--results $(CARGO_TARGET_DIR)/bench --document docs/performance.md

setup-peers: setup-build
	@scripts/setup.sh services kafka peers

bench-peers: setup-peers build ## Measure what would be used instead, side by side: make bench-peers FORM=full
	cargo build --locked --release --package harness
	cargo build --locked --release --package stream --features broker --example kafka
	$(CARGO_TARGET_DIR)/release/harness original connect --form $(FORM) $(if $(filter command line,$(origin SEED)),--seed $(SEED)) \
		--results $(CARGO_TARGET_DIR)/bench --document docs/performance.md

bench-replay: export CONVERSIONS := $(CONVERSIONS)
bench-replay: setup ## Replay a month of a shop, and measure it: make bench-replay CONVERSIONS=6000000
	cargo bench --locked --package operations --bench replay

bench-analytics: export HISSABACK_BENCH_EVENTS = $(EVENTS)
bench-analytics: export HISSABACK_BENCH_DOCUMENT = 1
bench-analytics: setup ## Time the documented queries over many events: make bench-analytics EVENTS=10000000
	cargo test --locked --test analytics -- --ignored --nocapture what_the_documented_queries_take

instructions: ## Count the pure core's instructions, and hold them against the committed counts
	@scripts/setup.sh build instructions
	@scripts/instructions.sh

instructions-accept: ## Commit to the pure core's instructions as they are now
	@scripts/setup.sh build instructions
	@scripts/instructions.sh accept

check: setup-build ## Check format, lints and documentation
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

clean-data: ## Delete the data directory: make clean-data DATA_DIR=...
	@scripts/clean-data.sh $(DATA_DIR)
