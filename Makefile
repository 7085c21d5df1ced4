# Everything runs in .venv, which holds the pinned versions of conda.yaml and the tools of pyproject.toml's dev group.
# Pass parameters on with P, as `mlflow run` takes them: make study P="-P seeds=0-1 -P epochs=1"

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
PYTEST := $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile
P ?=
PORT ?= 5000
export GIT_PYTHON_REFRESH = quiet
# `python` in MLproject commands is the environment's own.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup study quick test test-slow test-all lint ui report

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 11

setup: $(READY) ## Make .venv with the pinned versions

$(READY): conda.yaml pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(0 if v.startswith("3.11.") else f"Python {v} found at $(PYTHON): 3.11 is needed; name one with make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip==26.3
	sed -n '/- pip:/,$$ s/^ *- \([^ :]*==\)/\1/p' conda.yaml > .venv/requirements.txt
	$(BIN)/python -m pip install --quiet --requirement .venv/requirements.txt --group dev
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

study: $(READY) ## Run the study: 3 hidden sizes x 10 seeds, analysed and reported
	@$(BIN)/python -m study check
	$(BIN)/mlflow run . --env-manager local --experiment-name hidden-orbits $(P)

quick: ## Run a small study, for a first look within two minutes
	$(MAKE) study P="-P seeds=0-5 -P hidden_sizes=32 -P epochs=2 -P learning_rate=1e-3 $(P)"

# Several processes share the cores: threads that wait for others give theirs up, as t-SNE's do thousands of times.
test test-slow: export OMP_WAIT_POLICY = passive

test: $(READY) ## Run the quick tests: every oracle and invariant, and each path from end to end once
	$(PYTEST) -m "not slow"

test-slow: $(READY) ## Run the other tests: kills, servers, disks, a cluster, a browser, error rates
	$(PYTEST) -m slow

test-all: ## Run all tests, the quick ones first
	$(MAKE) test
	$(MAKE) test-slow

lint: $(READY) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# One process answers one person; MLflow's jobs (evaluations, scheduled ones) would be nine more, which nothing here uses.
ui: $(READY) ## Browse the runs at http://127.0.0.1:5000 (PORT)
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(BIN)/mlflow ui --host 127.0.0.1 --port $(PORT) --workers 1

report: $(READY) ## Build report.pdf for the latest study
	$(BIN)/python -m reports --study latest --out report.pdf
