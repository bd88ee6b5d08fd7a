# ctms: PostgreSQL extension, REST server, sync agent and command line.
#
#   make run             set up, build and run everything here, until Ctrl-C
#   make cluster         the same as people run it: three databases with failover, until Ctrl-C
#   make check           set up, build and pass all tests         (PG_CONFIG=… with another PostgreSQL)
#   make                 build extension and programs
#   make install         install both          (PG_CONFIG=… chooses the PostgreSQL, PREFIX=…)
#   make deb             Debian packages, in build/deb
#   make images          container images, with podman or docker
#   make check-containers  the images and packaging/containers/compose.yaml at work
#   make dist            the tarball of a release, build/ctms-VERSION.tar.gz
#   make sbom            what it is made of, as build/ctms-VERSION.spdx.json
#   make pgxn            the archive for pgxn.org
#   make installcheck    regression and isolation tests on a running server (PGHOST, PGPORT, …)
#   make lint            formatting and static analysis
#   make check-clients   clients for TypeScript and Python, made from /openapi.json
#   make check-debian    make run and make check in bare Debians  (SUITES="bookworm trixie forky")
#   make check-packages  life of an installation in Debians that boot    (SUITES=…)
#   make check-asan      the programs' tests under AddressSanitizer and UBSan
#   make check-valgrind  the regression tests with the server under valgrind
#   make fuzz            looks for crashes and contradictions    (FUZZ_SECONDS=60 FUZZ_TARGETS=…)
#   make sql-reference   writes docs/sql-reference.md and docs/fields.md anew
#
# How fast it is, as ratios measured side by side:
#
#   make bench              all of these; two hours           (DISKS=native,2,5,replica)
#   make bench-rest         the REST server, next to pgbench
#   make bench-rest-beside  short requests while others make the server busy
#   make bench-rest-size    very many contacts, next to few
#   make bench-cores        what calls take of the processors, on one core and on more
#   make bench-sizes        what contacts take on disk, and which pages calls touch  (CONTACTS=1000000)
#   make bench-replica      reads from one replica and two, next to reads from the primary
#   make bench-direct       each path below the executor, next to the same by SQL
#   make bench-stripe       Stripe objects by one session, next to sixteen
#   make bench-queue        what the queue to Acoustic costs
#   make bench-writes       what writes cost in WAL and processor time
#   make bench-reporting    the views for reports, next to the function for one contact
#   make bench-token-flood  tokens while others attack /token
#   make bench-agent        the agent: throughput, how soon it begins, and changes beside a wave
#   make bench-bulk         a wave by file, next to the agent               (CONTACTS=1000000)
#   make bench-json-schema  the JSON Schema engine, next to Blaze and ajv    (CORPORA=…)
#   make bench-json-schema-cancel  how soon hostile schemas and values are cancelled
#   make bench-import       adopting an older database                       (CONTACTS=1000000)
#
# What it stands for long:
#
#   make conformance   the JSON-Schema-Test-Suite, as a table, and real schemas (SUITE=… CORPORA=…)
#   make soak-rest     a mixed load, restarts and crashes          (SECONDS=1800)
#   make soak-cluster  machines and programs of a cluster fail     (SECONDS=1800 SEED=… FAULTS=…)
#   make soak-ddl      all that a DBA may run, on tables in use    (SECONDS=1800 SEED=…)
#   make soak-agent    agents and database killed at every step    (ROUNDS=200)
#   make soak-bulk     waves by file: all that takes part dies, or fails (ROUNDS=200)
#   make soak-schemas  schemas change under sessions that validate (CHANGES=10000)
#   make soak-stripe   16 sessions store shuffled Stripe objects   (SECONDS=600)
#   make fuzz-http     bent requests to a server with sanitizers   (SECONDS=1800)
#
# Tests by name: make check TESTS="test/t/100_rest_service.pl build/test/unit/pace"
#                or without folders, TESTS="100_rest_service pace"; so those of test/sql and
#                test/specs too, TESTS="contact_put queue_claim"
# Compilers' command lines are shown with V=1.

DEFAULT_PG_CONFIG := $(shell scripts/default-pg-config)
PG_CONFIG ?= $(DEFAULT_PG_CONFIG)
# The extension is made in a folder of its own.
ifneq ($(findstring /,$(PG_CONFIG)),)
override PG_CONFIG := $(abspath $(PG_CONFIG))
endif
PREFIX ?= /usr/local
WERROR ?=
SANITIZE ?=

BUILD = build$(if $(SANITIZE),/sanitize)
# Nothing while PostgreSQL is still to be installed; "extension" says so.
PG_MAJOR = $(shell $(PG_CONFIG) --version 2>/dev/null | sed 's/[^0-9]*\([0-9]*\).*/\1/')
# Objects of two PostgreSQLs never meet, not even of the same version: one may have assertions.
OTHER_PG = $(if $(filter-out $(DEFAULT_PG_CONFIG),$(PG_CONFIG)),-$(shell $(PG_CONFIG) 2>/dev/null | cksum | cut -d ' ' -f 1))
EXTENSION_BUILD = build/extension-$(PG_MAJOR)$(OTHER_PG)
PRIVATE_PG = build/postgresql-$(PG_MAJOR)
# quiet is "@" unless V=1; $(call say,CC,file) tells what a quiet recipe does.
quiet = $(if $(V),,@)
say = $(if $(V),,@echo "  $(1) $(2)")
EXTENSION_MAKE = $(quiet)+$(MAKE) $(if $(V),,-s) --no-print-directory -C $(EXTENSION_BUILD) -f $(CURDIR)/extension/extension.mk WERROR=$(WERROR)

all: extension programs

# ---- extension -------------------------------------------------------------

SQL_PARTS = $(sort $(wildcard extension/sql/*.sql))

ctms--1.0.sql: $(SQL_PARTS)
	$(quiet)cat $(SQL_PARTS) >$@

extension: ctms--1.0.sql
	@command -v $(PG_CONFIG) >/dev/null || { \
		echo "ctms: there is no $(PG_CONFIG): scripts/install-packages build" >&2; exit 1; }
	$(quiet)mkdir -p $(EXTENSION_BUILD)
	$(call say,EXTENSION,ctms.so)
	$(EXTENSION_MAKE) PG_CONFIG=$(PG_CONFIG) all
	$(quiet)ln -sfn $(notdir $(EXTENSION_BUILD)) build/extension

install-extension: extension
	$(EXTENSION_MAKE) PG_CONFIG=$(PG_CONFIG) install

installcheck:
	mkdir -p $(EXTENSION_BUILD)
	$(EXTENSION_MAKE) PG_CONFIG=$(PG_CONFIG) installcheck

# A copy of PostgreSQL inside build/ with the extension in it, for run and check.
private-postgres: extension
	$(quiet)path=$$(scripts/private-postgres $(PG_CONFIG) $(PRIVATE_PG)) && echo "$$path" >build/private-pg_config
	$(EXTENSION_MAKE) PG_CONFIG="$(CURDIR)/$$(cat build/private-pg_config)" install >/dev/null

# ---- programs ----------------------------------------------------------------

include common/programs.mk
include test/fuzz/fuzz.mk
include bench/bench.mk

install: install-extension install-programs install-data

.SECONDEXPANSION:
include packaging/packaging.mk

# ---- run and check -------------------------------------------------------------

run:
	$(quiet)scripts/install-packages run
	$(quiet)+$(MAKE) --no-print-directory all private-postgres
	$(quiet)scripts/run

cluster:
	$(quiet)scripts/install-packages cluster
	$(quiet)+$(MAKE) --no-print-directory all private-postgres
	$(quiet)scripts/cluster up

check:
	$(quiet)scripts/install-packages check
	$(quiet)scripts/get-promtool || true
	$(quiet)scripts/get-client-tools || true
	$(quiet)+$(MAKE) --no-print-directory -j2 WERROR=-Werror all unit-tests fuzz-replay private-postgres
	$(quiet)scripts/check $(TESTS)

check-clients:
	$(quiet)scripts/install-packages check
	$(quiet)scripts/get-client-tools
	$(quiet)+$(MAKE) --no-print-directory -j2 all private-postgres
	$(quiet)scripts/check 115_client_typescript 116_client_python

SUITES ?= bookworm trixie forky
check-debian:
	$(quiet)scripts/check-debian $(SUITES)

check-asan:
	$(quiet)scripts/install-packages check
	$(quiet)+$(MAKE) --no-print-directory -j2 SANITIZE=address,undefined programs unit-tests fuzz-replay
	$(quiet)+$(MAKE) --no-print-directory private-postgres
	$(quiet)BUILD=build/sanitize scripts/check $(or $(TESTS),--programs)

check-valgrind:
	$(quiet)scripts/install-packages lint
	$(quiet)+$(MAKE) --no-print-directory private-postgres
	$(quiet)scripts/check-valgrind

# The descriptions of functions, tables and fields, from the comments in the catalog.
sql-reference: private-postgres
	$(quiet)scripts/generate-sql-reference

lint:
	$(quiet)scripts/install-packages lint
	$(quiet)scripts/lint

clean:
	rm -rf build

.PHONY: all extension programs unit-tests install install-extension install-programs installcheck \
	private-postgres run cluster check sql-reference check-clients check-debian check-asan check-valgrind lint clean
.DEFAULT_GOAL := all
