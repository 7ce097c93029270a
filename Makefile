# Bare `make` lists the targets. Each sets up what it needs by itself: Python 3.11+ and make are enough.
#
#   make test ARGS="-k landing"      arguments for the program behind a target
#   make demo PYTHON=/opt/python3.12/bin/python3
#   make setup EXTRAS=gpu            an extra of pyproject.toml, kept from then on

.DEFAULT_GOAL := help
SHELL := /bin/sh
# Two cores and one broker: the steps of a target follow one another.
.NOTPARALLEL:

BIN := .venv/bin
PY := $(BIN)/python
ARGS ?=
# Of the test runner; 0 for one test after the other in one process.
PROCESSES ?= 2
EXTRAS ?=
export PYTHON ?=

SETUP = @python=$$(sh tools/find-python) && "$$python" tools/bootstrap.py

##@ Start here

.PHONY: help
help: ## this list
	@while IFS= read -r line; do case "$$line" in \
	  '##@ '*) printf '\n%s\n' "$${line#*@ }" ;; \
	  [a-z]*': '*'## '*) printf '  %-14s %s\n' "$${line%%:*}" "$${line##*## }" ;; \
	esac; done < $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: run-ready ## a broker, traffic with known attackers, a worker, and what was found
	$(BIN)/distillwatch demo $(ARGS)

.PHONY: setup
setup: test-ready ## environment, Java, Kafka's jars: all that the other targets need

##@ Checks

.PHONY: test
test: test-ready ## all checks: lint, format, types, import contracts, tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n $(PROCESSES) --dist loadgroup --durations 25 $(ARGS)
	$(PY) tools/test_sql.py --other-only --quick -n $(PROCESSES) --dist load

.PHONY: test-sql
test-sql: test-ready ## the SQL on both majors of DuckDB: files, golden cases, planted attacks
	$(PY) tools/test_sql.py $(ARGS)

.PHONY: lint
lint: test-ready ## the linter, and whether the format is right
	$(BIN)/ruff check
	$(BIN)/ruff format --check

.PHONY: format
format: test-ready ## put imports and format in order
	$(BIN)/ruff check --select I --fix
	$(BIN)/ruff format

.PHONY: types
types: test-ready ## strict types
	$(BIN)/mypy

.PHONY: contracts
contracts: test-ready ## who may import whom
	$(BIN)/lint-imports

.PHONY: unit
unit: test-ready ## the tests that need no Kafka
	$(BIN)/pytest -m "not integration and not slow" $(ARGS)

.PHONY: integration
integration: test-ready ## the tests that start a real Kafka
	$(BIN)/pytest -m "integration and not slow" $(ARGS)

.PHONY: slow
slow: test-ready ## the long forms of suites that `make test` runs in a short form
	$(BIN)/pytest -m slow $(ARGS)

##@ Proofs, on a real Kafka

.PHONY: real
real: test-ready ## every real embedding through Kafka, landed and verified
	$(PY) tests/shows/real.py $(ARGS)

.PHONY: one-hash
one-hash: test-ready ## the same records by six paths give one digest
	$(PY) tests/shows/one_hash.py $(ARGS)

.PHONY: same-alerts
same-alerts: test-ready ## the worker's lake, its replay and an ingested copy raise the same alerts
	$(PY) tests/shows/same_alerts.py $(ARGS)

.PHONY: kill
kill: test-ready ## twenty kill -9 over two workers; nothing lost, nothing twice
	$(PY) tests/shows/kill.py $(ARGS)

.PHONY: bad-input
bad-input: test-ready ## every kind of bad record becomes a dead letter, every good one lands
	$(PY) tests/shows/bad_input.py $(ARGS)

.PHONY: hostile
hostile: test-ready ## 200 statements that mean harm, against each layer that holds a query
	$(PY) tests/shows/hostile.py $(ARGS)

##@ Measurements

.PHONY: bench
bench: test-ready ## kernels, landing and queries on this machine
	@for each in tests/benchmarks/bench_*.py; do echo "$$each"; $(PY) "$$each" $(ARGS) || exit 1; done

.PHONY: bench-stream
bench-stream: test-ready ## our worker against plain aiokafka and a take() agent
	$(PY) tests/shows/bench_stream.py $(ARGS)

##@ Housekeeping

.PHONY: screenshots
screenshots: test-ready ## pictures of the console for docs/images, by a Chromium that is there
	$(PY) -m pipeline.console.screenshots $(ARGS)

.PHONY: lock
lock: test-ready ## resolve Kafka's jars anew (pipeline/kafka/jars.lock)
	$(PY) -m pipeline.kafka.jars --lock

.PHONY: clean
clean: ## remove environment and caches of this folder (not the user's cache, no lake)
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: run-ready
run-ready:
	$(SETUP) run $(addprefix --extra ,$(EXTRAS))

.PHONY: test-ready
test-ready:
	$(SETUP) test $(addprefix --extra ,$(EXTRAS))
