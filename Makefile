# The few commands of every day. `make` alone lists them; each installs what it lacks.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup setup-build setup-demo build demo kafka test check clean-data

CARGO_TARGET_DIR ?= target
PROGRAM := $(CARGO_TARGET_DIR)/release/hissaback

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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
	cargo test --locked --workspace

check: setup-build ## Check format, lints and documentation
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

clean-data: ## Delete the data directory: make clean-data DATA_DIR=...
	@scripts/clean-data.sh $(DATA_DIR)
