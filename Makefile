# Every target sets itself up in .venv; nothing outside this folder is touched.
# ALEXNET_VENV names another environment, as in the Dockerfile: one that is made once and then taken as it is.
SHELL := /bin/bash
VENV := $(or $(ALEXNET_VENV),.venv)
export PATH := $(abspath $(VENV))/bin:$(PATH)
PYTHON ?= python3

PAGES := python -m sphinx -E -W --keep-going -q docs docs/_build

.PHONY: help install repro test lint format docs bench gpu compare clean

repro: $(VENV)/installed  ## run the pipeline; it ends with the error rates and the path of the report
	@$(NO_GIT)
	@echo dvc repro; started=$$(date +%s); dvc repro && \
	  { [ $$(stat -c %Y reports/report.html) -ge $$started ] || python -m stages.report --summary-only; }

install: $(VENV)/installed  ## install everything into .venv; the other targets do this too

test: $(VENV)/installed  ## run all tests, on the CPU; they need no data
	@python -c 'import triton' 2>/dev/null || \
	  python -m pip install --quiet --constraint constraints.txt --editable '.[dev,kernels]'
	CUDA_VISIBLE_DEVICES= python -m pytest

lint: $(VENV)/installed  ## check style, format, types and the HTML pages of docs/
	ruff check . && ruff format --check . && mypy && $(PAGES)

format: $(VENV)/installed  ## format the code
	ruff check --fix . && ruff format .

docs: $(VENV)/installed  ## make HTML pages of docs/ and of the Python API: docs/_build/index.html
	$(PAGES)

bench: $(VENV)/installed  ## measure our speed beside that of others, as ratios
	python -m benchmarks.train_step
	python -m benchmarks.busy
	python -m benchmarks.devices
	python -m benchmarks.preprocess
	python -m benchmarks.search
	python -m benchmarks.report
	python -m benchmarks.load
	python -m benchmarks.lock
	python -m benchmarks.scale

gpu: $(VENV)/installed  ## measure on this machine's GPU what has not been measured there
	python -m benchmarks.gpu

# The experiments of all commits, not of the last alone.
compare: $(VENV)/installed  ## show DVC's experiments with their state, cut to the columns that differ
	@dvc exp show --only-changed --no-pager --md \
	  $$(dvc exp list --all-commits | sed -n 's/^\([^[:space:]]*\):$$/--rev \1/p') --rev HEAD \
	  --drop '^(Created|Executor|params.yaml)$$|^(data|reports|alexnet|stages|experiments|models|profiles)(/.*)?$$'

# A folder that is no Git repository (a source archive) needs DVC told so, until it becomes one.
define NO_GIT
if [ -e .git ]; then ! grep -qs no_scm .dvc/config.local || dvc config --local --unset core.no_scm; \
elif [ -d .dvc ] && ! git rev-parse --git-dir >/dev/null 2>&1; then dvc config --local core.no_scm true; fi
endef

$(VENV)/installed: $(if $(ALEXNET_VENV),,pyproject.toml constraints.txt)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is `$(PYTHON) -V`; Python 3.11 or newer is needed. Name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "error: $(PYTHON) has no venv module. On Debian or Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	@command -v g++ >/dev/null || echo "note: no C++ compiler (g++); all works, but torch.compile is off and training slower"
	$(PYTHON) -m venv $(VENV)
	python -m pip install --quiet --upgrade pip
	python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@$(NO_GIT)
	touch $@

clean:  ## remove the environment and the resumable state, but no results
	rm -rf .venv .state

help:  ## list these targets
	@sed -n 's/^\([a-z]*\):.*  ## \(.*\)/make \1	\2/p' Makefile | expand -t 16
