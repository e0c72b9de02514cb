# Platetrail: `make` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
ONCE ?=
ARGS ?=
# More than half of what tests do is waiting for processes. Each process of pytest has servers of its own that
# take about a gigabyte: use WORKERS=2 where there are 8 GB.
WORKERS ?= 4

# Everything that is downloaded goes into this one folder; everything else stays in the clone.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/platetrail
export PIP_CACHE_DIR := $(CACHE)/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONDONTWRITEBYTECODE :=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCK := deploy/requirements-dev.txt
COMPILE := ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-annotate --no-header --no-emit-index-url --no-emit-find-links

.PHONY: help venv demo test check contracts format faults bench-gateway bench-ingest lock clean

help:  ## list these targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP)  ## install Platetrail and its tools into .venv

$(STAMP): $(LOCK) pyproject.toml
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
	  echo "Platetrail needs Python 3.11 or newer, and '$(PYTHON)' was not found."; \
	  echo "Install it, or name one: make PYTHON=/path/to/python3.12"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Platetrail needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1)."; \
	  echo "Name another: make PYTHON=/path/to/python3.12"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' has no venv module. On Debian and Ubuntu: apt install python3-venv"; exit 2; }
	@echo "Installing into $(VENV); downloads are kept in $(CACHE)"
	@test -x $(BIN)/python && $(BIN)/python -c '' 2>/dev/null || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python -m pip install --quiet --require-hashes -r $(LOCK)
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: venv  ## start everything, simulate, ask, show the audit (ONCE=1: exit after the answer)
	@$(BIN)/platetrail demo $(if $(filter-out 0,$(ONCE)),--once) $(ARGS)

test: venv  ## run all tests, on Apache Kafka and PostgreSQL, WORKERS=4 at once (ARGS=… goes to pytest, in one process)
	@$(BIN)/python -m pytest $(or $(ARGS),--numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder)

check: venv  ## lint, formatting, types, import contracts, documents of interfaces
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/platetrail contracts check

contracts: venv  ## write docs/contracts/ anew: OpenAPI and AsyncAPI, unless that would break callers
	@$(BIN)/platetrail contracts write $(ARGS)

format: venv  ## put the code into the one format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

faults: venv  ## kill every process of the stream 20 times, both servers 10 times, and more; count, into docs/faults.md (ARGS=--help)
	@$(BIN)/python -m tests.faults.table $(ARGS)

bench-gateway: venv  ## detections a second, against producer and web server alone (ARGS=--help)
	@$(BIN)/python -m tests.bench.gateway $(ARGS)

bench-ingest: venv  ## reads a second from Kafka into the index, against bare loops (ARGS=--help)
	@$(BIN)/python -m tests.bench.ingest $(ARGS)

lock: venv  ## resolve the dependencies into hash-checked requirements (needs the package index)
	@cd deploy && $(COMPILE) ../pyproject.toml -o requirements.txt
	@cd deploy && $(COMPILE) ../pyproject.toml --group ../pyproject.toml:dev -c requirements.txt -o requirements-dev.txt

clean:  ## remove what the demo and the tests left inside the clone
	@test ! -e .platetrail/lock || \
	  $(PYTHON) -c 'import fcntl; fcntl.flock(open(".platetrail/lock"), fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null || { \
	  echo "A demo is running in .platetrail: stop it first (Ctrl-C there)."; exit 1; }
	@rm -rf .platetrail .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
