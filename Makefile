# Each target does its own set-up, can be run again, and leaves nothing running.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What scripts/install put there goes first, so that the checks use the pinned programs.
export PATH := $(CURDIR)/.cache/bin:$(PATH)

.PHONY: help
help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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
	@scripts/static dev

.PHONY: lint
lint: ## Check format, lints and documentation; changes nothing
	@scripts/install build
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

.PHONY: verify
verify: lint test ## Everything that a change must pass; CI runs the same

.PHONY: static
static: ## Build the static binary as it ships, and try it
	@scripts/install build
	@scripts/static release

.PHONY: clean
clean: ## Remove what the other targets made
	rm -rf target .cache
