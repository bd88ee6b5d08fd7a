# ctms: PostgreSQL extension, REST server, sync agent and command line.
#
#   make run           set up, build and run everything here, until Ctrl-C
#   make check         set up, build and pass all tests
#   make               build extension and programs
#   make install       install both          (PG_CONFIG=… chooses the PostgreSQL, PREFIX=…)
#   make installcheck  regression and isolation tests on a running server (PGHOST, PGPORT, …)
#   make bench-rest    how fast the REST server is, next to pgbench
#   make bench-json-schema  how fast the JSON Schema engine is, next to Blaze and ajv
#   make soak-rest     a mixed load on the REST server for half an hour    (SECONDS=1800)
#   make fuzz-http     bent requests to a server with sanitizers             (FUZZ_SECONDS=1800)
#   make bench-agent   how fast the agent is, and how soon it begins
#   make soak-schemas  changes schemas under sessions that validate, CHANGES=10000 times
#   make conformance SUITE=…  what the JSON Schema engine passes of the JSON-Schema-Test-Suite
#   make soak-agent  kills agents and the database at every step, ROUNDS=200 times
#   make bench-import  how long adopting an older database takes, CONTACTS=1000000
#   make soak-stripe   16 sessions store shuffled Stripe objects for SECONDS=600
#   make sql-reference docs/sql-reference.md anew
#   make deb           Debian packages, in build/deb
#   make lint          formatting and static analysis
#   make check-asan    the programs' tests under AddressSanitizer and UBSan
#   make check-valgrind  the regression tests with the server under valgrind
#   make fuzz          looks for crashes and contradictions (FUZZ_SECONDS=60 FUZZ_TARGETS=…)
#
# Tests by name: make check TESTS="test/t/100_rest.pl build/test/unit/foo"
# Compilers' command lines are shown with V=1.

PG_CONFIG ?= $(firstword $(wildcard /usr/lib/postgresql/15/bin/pg_config) pg_config)
PREFIX ?= /usr/local
WERROR ?=
SANITIZE ?=

BUILD = build$(if $(SANITIZE),/sanitize)
PG_MAJOR = $(shell $(PG_CONFIG) --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
EXTENSION_BUILD = build/extension-$(PG_MAJOR)
PRIVATE_PG = $(CURDIR)/build/postgresql-$(PG_MAJOR)
# quiet is "@" unless V=1; $(call say,CC,file) tells what a quiet recipe does.
quiet = $(if $(V),,@)
say = $(if $(V),,@echo "  $(1) $(2)")
EXTENSION_MAKE = $(quiet)+$(MAKE) $(if $(V),,-s) --no-print-directory -C $(EXTENSION_BUILD) -f $(CURDIR)/extension.mk WERROR=$(WERROR)

all: extension programs

# ---- extension -------------------------------------------------------------

SQL_PARTS = $(sort $(wildcard extension/sql/*.sql))

ctms--1.0.sql: $(SQL_PARTS)
	$(quiet)cat $(SQL_PARTS) >$@

extension: ctms--1.0.sql
	$(quiet)mkdir -p $(EXTENSION_BUILD)/extension
	$(call say,EXTENSION,ctms.so)
	$(EXTENSION_MAKE) PG_CONFIG=$(PG_CONFIG) all

install-extension: extension
	$(EXTENSION_MAKE) PG_CONFIG=$(PG_CONFIG) install

installcheck:
	mkdir -p $(EXTENSION_BUILD)/extension
	$(EXTENSION_MAKE) PG_CONFIG=$(PG_CONFIG) installcheck

# A copy of PostgreSQL inside build/ with the extension in it, for run and check.
private-postgres: extension
	$(quiet)scripts/private-postgres $(PG_CONFIG) $(PRIVATE_PG) >build/private-pg_config
	$(EXTENSION_MAKE) PG_CONFIG="$$(cat build/private-pg_config)" install >/dev/null

# ---- programs ----------------------------------------------------------------

include programs.mk
include fuzz.mk

install: install-extension install-programs install-data

.SECONDEXPANSION:
include packaging/packaging.mk

# ---- run and check -------------------------------------------------------------

run:
	$(quiet)scripts/install-packages run
	$(quiet)+$(MAKE) --no-print-directory all private-postgres
	$(quiet)scripts/run

check:
	$(quiet)scripts/install-packages check
	$(quiet)+$(MAKE) --no-print-directory -j2 WERROR=-Werror all unit-tests fuzz-replay private-postgres
	$(quiet)scripts/check $(TESTS)

check-asan:
	$(quiet)scripts/install-packages check
	$(quiet)+$(MAKE) --no-print-directory -j2 SANITIZE=address,undefined programs unit-tests
	$(quiet)+$(MAKE) --no-print-directory private-postgres
	$(quiet)BUILD=build/sanitize scripts/check $(or $(TESTS),--programs)

check-valgrind:
	$(quiet)scripts/install-packages lint
	$(quiet)+$(MAKE) --no-print-directory private-postgres
	$(quiet)scripts/check-valgrind

# The description of functions and tables, from the comments in the catalog.
sql-reference: private-postgres
	$(quiet)scripts/generate-sql-reference

lint:
	$(quiet)scripts/install-packages lint
	$(quiet)scripts/lint

bench-agent:
	scripts/install-packages check
	$(MAKE) --no-print-directory -j2 all private-postgres
	scripts/check bench/agent.pl

soak-agent:
	$(quiet)scripts/install-packages check
	$(quiet)+$(MAKE) --no-print-directory -j2 all private-postgres
	$(quiet)CTMS_TEST_ROUNDS=$(or $(ROUNDS),200) CTMS_PROVE_OPTIONS=--verbose nice -n 15 scripts/check test/t/340_agent_crashes.pl

soak-schemas:
	$(quiet)scripts/install-packages check
	$(quiet)+$(MAKE) --no-print-directory private-postgres
	$(quiet)CTMS_TEST_CHANGES=$(or $(CHANGES),10000) CTMS_PROVE_OPTIONS=--verbose nice -n 15 scripts/check test/t/226_json_schema_change.pl

# Other validators, for comparison only, come from npm at bench time.
CORPORA ?= ../shared/data/json-schema-corpora
BENCH_TOOLS = build/bench-json-schema
bench-json-schema:
	scripts/install-packages check
	$(MAKE) --no-print-directory private-postgres
	mkdir -p $(BENCH_TOOLS)
	npm install --prefix $(BENCH_TOOLS) --no-audit --no-fund --silent @sourcemeta/jsonschema ajv || echo "no comparison: npm failed" >&2
	CTMS_BENCH_CORPORA='$(abspath $(CORPORA))' CTMS_BENCH_TOOLS='$(abspath $(BENCH_TOOLS))' scripts/check bench/json_schema.pl

bench-rest:
	scripts/install-packages check
	$(MAKE) --no-print-directory -j2 all private-postgres
	scripts/check bench/rest.pl

SUITE ?= ../shared/data/JSON-Schema-Test-Suite
conformance:
	$(quiet)scripts/install-packages check
	$(quiet)+$(MAKE) --no-print-directory private-postgres
	$(quiet)test -d '$(SUITE)/tests' || { echo "no JSON-Schema-Test-Suite at $(SUITE): make conformance SUITE=…" >&2; exit 1; }
	$(quiet)CTMS_JSON_SCHEMA_SUITE='$(abspath $(SUITE))' CTMS_JSON_SCHEMA_TABLE=1 scripts/check test/t/220_json_schema_suite.pl

.PHONY: bench-import soak-stripe
bench-import:
	scripts/install-packages check
	$(MAKE) --no-print-directory -j2 all private-postgres
	BENCH_CONTACTS=$(or $(CONTACTS),1000000) scripts/check bench/import.pl

soak-stripe:
	scripts/install-packages check
	$(MAKE) --no-print-directory -j2 all private-postgres
	CTMS_STRESS_SECONDS=$(or $(SECONDS),600) CTMS_STRESS_SESSIONS=16 CTMS_STRESS_OBJECTS=1000 \
		nice scripts/check test/t/151_stripe_stress.pl

.PHONY: soak-rest
soak-rest:
	scripts/install-packages check
	$(MAKE) --no-print-directory -j2 all private-postgres
	CTMS_SOAK_SECONDS=$(or $(SECONDS),1800) nice scripts/check test/t/130_rest_soak.pl

.PHONY: fuzz-http
fuzz-http:
	scripts/install-packages check
	$(MAKE) --no-print-directory -j2 SANITIZE=address,undefined programs
	$(MAKE) --no-print-directory private-postgres
	CTMS_FUZZ_SECONDS=$(or $(FUZZ_SECONDS),1800) BUILD=build/sanitize nice scripts/check test/t/131_rest_fuzz.pl

clean:
	rm -rf build

.PHONY: all extension programs unit-tests install install-extension install-programs installcheck \
	private-postgres run check sql-reference check-asan check-valgrind lint conformance bench-agent soak-agent soak-schemas bench-rest bench-json-schema clean
.DEFAULT_GOAL := all
