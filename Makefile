# Every target sets itself up in .venv; nothing outside this folder is touched.
SHELL := /bin/bash
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
PYTHON ?= python3

.PHONY: repro test lint format bench compare clean

repro: $(VENV)/installed  ## run the pipeline: the error table and where the report is come last
	dvc repro && python -m stages.report --summary-only

test: $(VENV)/installed  ## all tests, on the CPU, without any data
	python -m pytest

lint: $(VENV)/installed  ## style, form and types
	ruff check . && ruff format --check . && mypy

format: $(VENV)/installed  ## bring the code into form
	ruff check --fix . && ruff format .

bench: $(VENV)/installed  ## ours against peers in one run, as ratios
	python -m benchmarks.train_step
	python -m benchmarks.devices
	python -m benchmarks.preprocess
	python -m benchmarks.search
	python -m benchmarks.report
	python -m benchmarks.load
	python -m benchmarks.scale

compare: $(VENV)/installed  ## the experiments, cut to the columns that differ
	dvc exp show --only-changed --no-pager --md --drop 'Created|State|Executor|data/.*|reports/.*|alexnet.*|stages.*|models.*|params.yaml'

# A folder that is no Git repository (a source archive) needs DVC told so.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is `$(PYTHON) -V`; Python 3.11 or newer is needed. Name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "error: $(PYTHON) has no venv module. On Debian or Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	@command -v g++ >/dev/null || echo "note: no C++ compiler (g++); all works, but torch.compile is off and training slower"
	$(PYTHON) -m venv $(VENV)
	python -m pip install --quiet --upgrade pip
	python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@git rev-parse --git-dir >/dev/null 2>&1 || dvc config --local core.no_scm true
	touch $@

clean:  ## remove what was installed and the resumable state, not the results
	rm -rf $(VENV) .state
