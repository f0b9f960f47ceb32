# The two commands are `make demo` and `make test`; both work in a fresh clone and set up what they need.
# `make help` lists the rest. PYTHON=/path/to/python chooses the interpreter of a new environment.

SHELL := /bin/sh
PY := .venv/bin/python
JOBS ?= 2
# One thread for each test process: the processes are what fills the cores, and sums stay reproducible.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
PYTEST := $(ONE_THREAD) MPLBACKEND=Agg $(PY) -m pytest
CODE := src tests scripts benchmarks

.DEFAULT_GOAL := help
# Two environments must not be made at once, and the order of the checks is the order of their cost.
.NOTPARALLEL:
.PHONY: help demo test check setup setup-demo setup-interop setup-rocq format format-check lint types \
	fast-test proofs planted-rules rocq-or-not bench bench-check bench-peers golden golden-check docs-check budget wheel clean distclean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

demo: setup-demo ## train on handwritten digits, check the gradients, leave a picture in out/
	mkdir -p out
	MPLBACKEND=Agg $(PY) -m prooftape demo --out out

test: setup format-check lint types rocq-or-not ## everything: format, lint, types, proofs, all tests that can run here
	@left_out=$$($(PY) scripts/left_out.py) && echo "pytest -m '$$left_out'" && \
		$(PYTEST) -n $(JOBS) -m "$$left_out"

proofs: setup setup-rocq ## compile the theory from its sources and run its gates: gold files, nothing admitted, coqchk
	$(PY) scripts/check_proofs.py

planted-rules: setup setup-rocq ## plant wrong rules one by one: each must turn a gate red
	$(PY) scripts/plant_rules.py

# Where Rocq is missing and may not be installed, the tests that need it are left out, and the run says so.
# ROCQ=required, as .ci/run has it, makes that a failure.
rocq-or-not:
	@if scripts/setup_rocq.sh; then $(PY) scripts/check_proofs.py; else test "$$ROCQ" != required; fi

check: setup format-check lint types fast-test ## what to run before every commit: under a minute of fast tests

setup: ## make or complete .venv for developing (all extras except torch)
	@scripts/setup_env.sh dev

setup-demo:
	@scripts/setup_env.sh demo
	@scripts/setup_rocq.sh || true

setup-rocq: ## install Rocq through apt where it is missing and we may
	@scripts/setup_rocq.sh

setup-interop: setup ## add torch, the oracle of the golden values; a large download
	$(PY) -m pip install -c constraints.txt -e ".[interop]"

format: setup ## rewrite the code in the one format
	$(PY) -m ruff check --fix-only --select I $(CODE)
	$(PY) -m ruff format $(CODE)

format-check:
	$(PY) -m ruff format --check $(CODE)

lint:
	$(PY) -m ruff check $(CODE)

types:
	$(PY) -m mypy

fast-test:
	PROOFTAPE_GRAPHS=200 $(PYTEST) -n $(JOBS) -m "not slow and not interop and not proofs and not timing"

bench: setup ## measure against the rivals that are installed
	$(ONE_THREAD) $(PY) benchmarks/chain.py
	$(ONE_THREAD) $(PY) benchmarks/mlp.py
	$(ONE_THREAD) $(PY) benchmarks/recording.py
	$(ONE_THREAD) $(PY) benchmarks/certificates.py

bench-peers: setup ## whole training steps of nine workloads against every peer; clang for tinygrad; an hour
	$(ONE_THREAD) $(PY) benchmarks/peers/run.py
	$(ONE_THREAD) $(PY) benchmarks/peers/memory.py

bench-check: setup ## the promised speeds, against the rivals, one test at a time on a quiet machine
	$(PYTEST) -m timing

golden: setup-interop ## make the golden values again from torch
	$(ONE_THREAD) $(PY) scripts/make_golden.py
	$(ONE_THREAD) $(PY) scripts/make_optimizer_golden.py

golden-check: setup-interop ## compare the committed golden values with torch's
	$(ONE_THREAD) $(PY) scripts/make_golden.py --check

docs-check: setup ## run the README's and the tutorial's code as shown
	$(PYTEST) tests/docs

budget: setup ## lines per folder, and the longest files
	$(PY) scripts/budget.py

wheel: setup ## build the distribution files into dist/
	$(PY) -m hatchling build

clean: ## remove what tools and the demo left, keep the environment
	rm -rf out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove the environment as well
	rm -rf .venv
