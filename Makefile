# Every recipe is one call: what it does stands in the script it calls.
.DEFAULT_GOAL := help
.PHONY: help demo test dist generate fmt lint unit fuzz api e2e contract bench down clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: ## local Kubernetes, operator, a VMImage, its disk booted: all from nothing
	@e2e/demo

test: ## everything: lints, unit, golden, oracle, chart, API server, cluster
	@e2e/test

dist: ## static programs and their container image in dist/
	@e2e/dist

generate: ## what is generated: CRD, the chart's copy of it, install.yaml
	@e2e/generate

fmt: ## format the Rust sources
	@cargo fmt

lint: ## formatting, clippy for every set of features, licences
	@e2e/test lint

unit: ## tests that need no cluster
	@e2e/test unit

fuzz: ## fuzz every reader of untrusted bytes for ten minutes each, and keep what reaches new code
	@fuzz/run --seconds 600 --grow

api: ## tests against a real API server
	@e2e/test api

e2e: ## tests against a real cluster with a kubelet
	@e2e/test e2e

contract: ## what CDI was seen to do, row by row, against a stand-in or, with KUBECONFIG, a real CDI
	@e2e/test contract

bench: ## measure against the named peers; prints tables
	@e2e/bench

down: ## end every local cluster that was kept
	@e2e/cluster/cluster down --all

clean: ## remove what was built in the checkout
	@rm -rf dist out target
