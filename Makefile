# What each target needs it installs or finds itself. `make help` lists them.

.PHONY: help quickstart test test-busy test-containers test-sim test-model sim model mutants fuzz check
.PHONY: chaos chaos-short nightly nightly-seeds nightly-mutants nightly-fuzz nightly-containers nightly-chaos
.PHONY: bench bench-contention bench-waiting bench-http bench-instructions bench-criterion bench-fencing bench-all

# The simulator opens the library's inside, which no other build does; so it is
# built apart from everything else.
SIM = RUSTFLAGS='--cfg redlock_sim' cargo
SIM_FLAGS = --quiet --release -p redlock-quorum-sim --target-dir target/sim
# The engine, stepped by hand: what each mutant does that no seed notices.
STEPPER = $(SIM) test --quiet --release -p redlock-quorum --features testing-local --lib \
	--target-dir target/sim engine::stepper -- --nocapture

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | column -t -s "$$(printf '\t')"

quickstart: ## five nodes, a lock, a refusal, a node killed: the library in a minute
	cargo run --example quickstart

test: ## all tests, on whatever servers there are: containers, or local processes
	sh tests/setup.sh
	cargo test --workspace --exclude redlock-quorum-benches --exclude redlock-quorum-model
	$(MAKE) test-sim

test-busy: ## the tests on real servers beside four busy loops, until one fails: RUNS=, ONLY= these names, LOOPS=
	sh tests/setup.sh
	RUNS=$(or $(RUNS),20) ONLY="$(ONLY)" LOOPS=$(or $(LOOPS),4) sh tests/busy.sh

# What these show does not depend on what the nodes are made of: once is enough.
ONCE = failover fenced_postgres haproxy page http_fuzz http_input http_openapi http_secrets http_session \
	http_waiting serve:: serve_end serve_reach serve_underway session:: tower

test-containers: ## the same tests against real servers, on containers only; ONCE= leaves none out
	sh tests/redis-image.sh
	REDLOCK_TEST_BACKEND=docker REDLOCK_TEST_IMAGE=$${REDLOCK_TEST_IMAGE:-redlock-test/redis:local} \
		cargo test -p redlock-quorum-tests --test it -- $(addprefix --skip ,$(ONCE))

fuzz: ## a minute of requests by chance to the lock service: SECONDS=, SEED=
	sh tests/setup.sh
	REDLOCK_FUZZ_SECONDS=$(or $(SECONDS),60) $(if $(SEED),REDLOCK_FUZZ_SEED=$(SEED)) \
		cargo test -p redlock-quorum-tests --test it -- http_fuzz --nocapture

test-sim: ## a fixed set of simulated runs, and that every mutant is noticed
	$(SIM) test $(SIM_FLAGS)
	$(STEPPER)

test-model: ## the small runs of the models of fencing numbers and of strict nodes, and that every mutant is found
	cargo test --quiet --release -p redlock-quorum-model -- --nocapture --test-threads 1

model: ## all its runs, in at most 3 GB: RUN= one of them, MUTANT= the way to where that fails
	@cargo run --quiet --release -p redlock-quorum-model -- $(RUN)$(MUTANT)

sim: ## simulated runs: SEEDS= how many, SEED= one again, LEVEL= a or b, PROFILE=, FIRST=, SLICE=, THREADS=
	@$(SIM) run $(SIM_FLAGS) -- campaign

mutants: ## every wrong turn, until a test notices; writes docs/mutants.md: SEEDS=, LEVEL=, PROFILE=
	@$(SIM) run $(SIM_FLAGS) -- mutants
	@$(STEPPER)

chaos: ## faults on real servers, a minute each: SECS= or TIMES= each fault, STAGES=, SEED=, SERVER=, MODE=, FAULTS=, FLOOR=
	sh tests/setup.sh
	SERVERS="$$(sh tests/servers.sh)" cargo run --quiet $(if $(TIMES),--release) -p redlock-quorum-chaos

# About a minute a server, and all that there is once. The floor says only that no kind of client is
# without locks: a busy host gives them a tenth of what a calm one does, or less.
chaos-short:
	$(MAKE) chaos SECS=$(or $(SECS),30) FLOOR=$(or $(FLOOR),0.1)

# Every day other seeds. A failure ends its slice of seeds alone, and a part that
# fails does not keep the others from running.
TODAY = $(shell echo $$(( $$(date +%s) / 86400 * 10000000 )))

nightly: ## what takes too long for every push, an hour or two: SEEDS= at each level, FIRST=
	$(MAKE) --keep-going nightly-seeds nightly-mutants model nightly-fuzz nightly-containers \
		nightly-chaos

nightly-seeds: ## its simulated runs, in slices: SEEDS=, LEVEL=, FIRST=, SLICE=
	$(MAKE) sim SEEDS=$(or $(SEEDS),300000) FIRST=$(or $(FIRST),$(TODAY)) SLICE=$(or $(SLICE),50000)

nightly-mutants:
	$(MAKE) mutants SEEDS= LEVEL= PROFILE=

nightly-fuzz:
	$(MAKE) fuzz SECONDS=$(or $(SECONDS),1800)

nightly-containers:
	sh tests/setup.sh
	$(MAKE) test-containers ONCE=

nightly-chaos:
	$(MAKE) chaos TIMES=$(or $(TIMES),500) STAGES=$(or $(STAGES),4) PROCESSES=2

check: ## format, lints on all feature combinations, docs, dependency tree
	sh tests/check.sh

bench: ## speed beside raw fan-outs and rslock, on local servers: PART= one of them, ROUNDS=, OUT= where to
	sh tests/setup.sh
	cargo bench -p redlock-quorum-benches --bench compare -- $(PART) $(ROUNDS) $(if $(OUT),--out $(OUT))

bench-contention: ## locks that many want, and many locks, beside rslock: PART=, ROUNDS=
	sh tests/setup.sh
	cargo bench -p redlock-quorum-benches --bench contention -- $(PART) $(ROUNDS)

bench-waiting: ## what waiting and being refused cost, and whether somebody wins: PART= one of them, ROUNDS=
	sh tests/setup.sh
	cargo build --profile bench --features cli --bin redlock
	REDLOCK_PROGRAM=$(CURDIR)/target/release/redlock \
		cargo bench -p redlock-quorum-benches --bench waiting -- $(PART) $(ROUNDS)

bench-instructions: ## instructions of a client for a pair, under valgrind's callgrind
	sh tests/setup.sh
	sh tests/valgrind.sh
	cargo bench -p redlock-quorum-benches --bench instructions

bench-criterion: ## a few of the same numbers over time, by criterion
	sh tests/setup.sh
	cargo bench -p redlock-quorum-benches --bench acquire

bench-http: ## the lock service beside the library itself: ROUNDS=
	sh tests/setup.sh
	cargo build --profile bench --features cli --bin redlock
	REDLOCK_PROGRAM=$(CURDIR)/target/release/redlock \
		cargo bench -p redlock-quorum-benches --bench http -- $(ROUNDS)

bench-fencing: ## a server's CPU for a fenced acquire beside a plain one: ROUNDS=, SCRIPT= others in turn
	sh tests/setup.sh
	cargo bench -p redlock-quorum-benches --bench fencing -- $(ROUNDS) $(if $(SCRIPT),--script $(abspath $(SCRIPT)))

bench-all: bench bench-contention bench-waiting bench-http bench-instructions bench-criterion bench-fencing ## all of them
