# What each target needs it installs or finds itself. `make help` lists them.

.PHONY: help quickstart test test-containers check bench

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | column -t -s "$$(printf '\t')"

quickstart: ## five nodes, a lock, a refusal, a node killed: the library in a minute
	cargo run --example quickstart

test: ## all tests, on whatever servers there are: containers, or local processes
	sh tests/setup.sh
	cargo test --workspace

test-containers: ## the same tests against real servers, on containers only
	sh tests/redis-image.sh
	REDLOCK_TEST_BACKEND=docker REDLOCK_TEST_IMAGE=$${REDLOCK_TEST_IMAGE:-redlock-test/redis:local} \
		cargo test -p redlock-quorum-tests --test it

check: ## format, lints on all feature combinations, docs, dependency tree
	sh tests/check.sh

bench: ## speed beside a raw fan-out, in one run on local servers
	sh tests/setup.sh
	cargo bench -p redlock-quorum-benches
