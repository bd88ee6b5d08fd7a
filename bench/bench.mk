# Benchmarks and long tests; included by the top Makefile. Each takes a while and says how
# long in its defaults; "make check" runs the tests among them in a short form.

LONG_TEST = CTMS_PROVE_OPTIONS=--verbose nice -n 15 scripts/check

# What they all need first.
set-up:
	$(quiet)scripts/install-packages check
	$(quiet)+$(MAKE) --no-print-directory -j2 all private-postgres

# ---- benchmarks ------------------------------------------------------------------------

# All, one after the other: what docs/benchmarks.md is made from. Two hours on two processors; what
# cannot be measured does not keep the others from it.
DISKS ?= native,2,5,replica
bench: set-up
	+CTMS_BENCH_DISKS=$(DISKS) $(MAKE) --no-print-directory -k -j1 CONTACTS=100000 bench-rest bench-rest-beside \
		bench-rest-size bench-cores bench-sizes bench-replica bench-direct bench-writes bench-keys bench-stripe bench-queue bench-agent bench-token-flood \
		bench-reporting bench-import bench-bulk bench-json-schema bench-json-schema-cancel

bench-agent: set-up
	scripts/check bench/agent.pl
	scripts/check bench/agent_lanes.pl

bench-rest: set-up
	scripts/check bench/rest.pl

bench-rest-beside: set-up
	scripts/check bench/rest_beside.pl

bench-rest-size: set-up
	scripts/check bench/rest_size.pl

bench-cores: set-up
	scripts/check bench/cores.pl

bench-replica: set-up
	scripts/check bench/replica.pl

bench-direct: set-up
	scripts/check bench/direct.pl

bench-stripe: set-up
	scripts/check bench/stripe.pl

bench-queue: set-up
	scripts/check bench/queue.pl

bench-writes: set-up
	scripts/check bench/writes.pl

bench-keys: set-up
	scripts/check bench/keys.pl

bench-reporting: set-up
	scripts/check bench/reporting.pl

bench-token-flood: set-up
	scripts/check bench/token_flood.pl

CONTACTS ?= 1000000
bench-import: set-up
	CTMS_BENCH_CONTACTS=$(CONTACTS) scripts/check bench/import.pl

bench-sizes: set-up
	CTMS_BENCH_CONTACTS=$(CONTACTS) scripts/check bench/sizes.pl

bench-bulk: set-up
	CTMS_BENCH_CONTACTS=$(CONTACTS) scripts/check bench/acoustic_bulk.pl

# Other validators, for comparison only, come from npm at bench time.
CORPORA ?= $(wildcard ../shared/data/json-schema-corpora)
BENCH_TOOLS = build/bench-json-schema
bench-json-schema: set-up
	mkdir -p $(BENCH_TOOLS)
	npm install --prefix $(BENCH_TOOLS) --no-audit --no-fund --silent @sourcemeta/jsonschema ajv || echo "ctms: npm could not install the other validators" >&2
	CTMS_BENCH_CORPORA='$(abspath $(CORPORA))' CTMS_BENCH_TOOLS='$(BENCH_TOOLS)' scripts/check bench/json_schema/verdicts.pl

bench-json-schema-cancel: set-up
	scripts/check bench/json_schema/cancel.pl

# ---- conformance -----------------------------------------------------------------------

SUITE ?= ../shared/data/JSON-Schema-Test-Suite
conformance: set-up
	$(quiet)test -d '$(SUITE)/tests' || { echo "no JSON-Schema-Test-Suite at $(SUITE): make conformance SUITE=…" >&2; exit 1; }
	$(quiet)CTMS_JSON_SCHEMA_SUITE='$(abspath $(SUITE))' CTMS_JSON_SCHEMA_TABLE=1 scripts/check test/t/220_json_schema_suite.pl
	$(quiet)CTMS_JSON_SCHEMA_CORPORA='$(abspath $(CORPORA))' CTMS_TEST_DOCUMENTS=0 CTMS_PROVE_OPTIONS=--verbose \
		scripts/check test/t/227_json_schema_corpora.pl

# ---- long tests ------------------------------------------------------------------------

soak-agent: set-up
	$(quiet)CTMS_TEST_ROUNDS=$(or $(ROUNDS),200) $(LONG_TEST) test/t/340_agent_crashes.pl

soak-bulk: set-up
	$(quiet)CTMS_TEST_ROUNDS=$(or $(ROUNDS),200) $(LONG_TEST) test/t/345_acoustic_bulk_crashes.pl

soak-cluster: set-up
	$(quiet)CTMS_SOAK_SECONDS=$(or $(SECONDS),1800) CTMS_SOAK_SEED=$(SEED) CTMS_SOAK_FAULTS='$(FAULTS)' \
		$(LONG_TEST) test/t/263_cluster.pl

soak-ddl: set-up
	$(quiet)CTMS_SOAK_SECONDS=$(or $(SECONDS),1800) CTMS_SOAK_SEED=$(SEED) $(LONG_TEST) test/t/216_soak_ddl.pl

soak-rest: set-up
	$(quiet)CTMS_SOAK_SECONDS=$(or $(SECONDS),1800) $(LONG_TEST) test/t/130_rest_soak.pl

soak-schemas: set-up
	$(quiet)CTMS_TEST_CHANGES=$(or $(CHANGES),10000) $(LONG_TEST) test/t/226_json_schema_change.pl

soak-stripe: set-up
	$(quiet)CTMS_STRESS_SECONDS=$(or $(SECONDS),600) CTMS_STRESS_SESSIONS=16 CTMS_STRESS_OBJECTS=1000 \
		$(LONG_TEST) test/t/151_stripe_stress.pl

fuzz-http: set-up
	$(quiet)+$(MAKE) --no-print-directory -j2 SANITIZE=address,undefined programs
	$(quiet)CTMS_FUZZ_SECONDS=$(or $(SECONDS),1800) BUILD=build/sanitize $(LONG_TEST) test/t/131_rest_fuzz.pl

.PHONY: set-up bench bench-agent bench-rest bench-rest-beside bench-rest-size bench-cores bench-sizes bench-replica bench-direct bench-stripe \
	bench-queue bench-writes bench-keys bench-reporting bench-token-flood bench-import bench-bulk bench-json-schema bench-json-schema-cancel conformance \
	soak-agent soak-bulk soak-cluster soak-ddl soak-rest soak-schemas soak-stripe fuzz-http
