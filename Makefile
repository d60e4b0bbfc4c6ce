# Each target does its own set-up, can be run again, and leaves nothing running.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What scripts/install put there goes first, so that the checks use the pinned programs.
export PATH := $(CURDIR)/.cache/bin:$(PATH)

.PHONY: help
help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-25s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## Kill a primary under load and see what 24 clients notice (10 s, once built)
	@scripts/install build run
	@[ -e target/release/segue ] || echo 'Building Segue with all optimisations; the first time takes 3 to 8 minutes.'
	cargo build --release --locked --bin segue --example failover
	@target/release/examples/failover --segue target/release/segue --config proxy.yaml

.PHONY: test
test: ## Run every test: unit, property, simulation, real servers, deploy files, static binary
	@scripts/install build test
	cargo test --locked
	cargo test --locked --manifest-path benches/Cargo.toml --target-dir target --lib
	@# Every row of the promise again, with a connection of its own for each session.
	SEGUE_TEST_UPSTREAM=dedicated cargo test --locked --test it transparency
	@scripts/static dev

# How long `make faults` goes on, and what else it is told (`make faults FAULTS='--rows F1,F5'`).
TIME ?= 12m
FAULTS ?=

.PHONY: faults
faults: ## Break real servers in network namespaces and check what clients saw (12 min), update docs/
	@scripts/install build test
	cargo test --locked --test faults -- --full --time $(TIME) --publish $(FAULTS)

.PHONY: lint
lint: ## Check format, lints and documentation; changes nothing
	@scripts/install build
	cargo fmt --all --check
	cargo fmt --manifest-path benches/Cargo.toml --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --manifest-path benches/Cargo.toml --target-dir target --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

.PHONY: verify
verify: lint test ## Everything that a change must pass; CI runs the same

.PHONY: static
static: ## Build the static binary as it ships, and try it
	@scripts/install build
	@scripts/static release

.PHONY: bench
bench: bench-build ## Compare Segue with direct, floor programs and other proxies (30 min), update docs/
	@scripts/bench --publish

.PHONY: bench-quick
bench-quick: bench-build ## The same in short (up to 3 min, once built); changes nothing
	@scripts/bench --quick

.PHONY: bench-guarded
bench-guarded: bench-build ## What guarded writes cost, beside plain ones (2 min, once built), update docs/
	@scripts/install compare
	@scripts/bench --publish guarded

.PHONY: bench-pure
bench-pure: ## Nanoseconds of scanner, classification and session machine (2 min, once built)
	@scripts/install build
	cargo bench --locked --manifest-path benches/Cargo.toml --target-dir target

.PHONY: bench-instructions
bench-instructions: ## Instructions and allocations for each command, against the last ones
	@scripts/install build count
	cargo build --release --locked --bin segue
	cargo build --release --locked --manifest-path benches/Cargo.toml --target-dir target --bins
	@scripts/bench-instructions
	@target/release/allocations

.PHONY: bench-build
bench-build:
	@scripts/install build bench
	cargo build --release --locked --bin segue
	cargo build --release --locked --manifest-path benches/Cargo.toml --target-dir target --bins

.PHONY: compare-failover
compare-failover: compare-build ## Kill, stop, cut off and change primaries: Segue beside Sentinel + HAProxy (8 min), update docs/
	@scripts/compare failover --publish

.PHONY: compare-failover-quick
compare-failover-quick: compare-build ## The same once each (2 min, once built); changes nothing
	@scripts/compare failover --quick

.PHONY: compare-switchover
compare-switchover: compare-build ## 300 planned switchovers beside FAILOVER and SENTINEL FAILOVER, on both servers (18 min), update docs/
	@scripts/compare switchover --publish

.PHONY: compare-switchover-quick
compare-switchover-quick: compare-build ## The same with 20 (3 min, once built); changes nothing
	@scripts/compare switchover --quick

.PHONY: compare-build
compare-build:
	@scripts/install build compare
	cargo build --release --locked --bin segue --example clients

.PHONY: clean
clean: ## Remove what the other targets made
	rm -rf target .cache
