# CaPC: make run N_PARTIES=3 | make test | make bench | make models N_PARTIES=3 | make clean

N_PARTIES ?= 3
N_QUERIES ?= 1
ENCRYPTION_PARAMS ?= config/fast.json
LAUNCHER ?= tmux
ARGS ?=
AREA ?=
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?=
AUDIT_QUERIES ?= 500
QUERIES ?= 5
EXPERIMENT ?= config/learning/mnist.json
COUNT ?= 100
SIZE ?=
SEED ?= 0
VENV := .venv
PYTHON_RUN := $(VENV)/bin/python
# A process more than cores, as tests wait for what they start, and up to five. Each file of tests runs
# in one of them, in the usual order: the longest have few tests, and would come last by their number.
TEST_PROCESSES ?= $(shell expr $$(nproc) + 1)
SIDE_BY_SIDE := -n $(TEST_PROCESSES) --maxprocesses=5 --dist=loadfile --no-loadscope-reorder

.DELETE_ON_ERROR:
.PHONY: help system setup models run check test test-cpp test-sanitizers test-quick test-python lint lint-python lint-cpp format-cpp types \
	hooks fuzz audit faults federation-check random-models network container-check bench table1 figures scaling \
	artefact pictures docs lock wheel sdist check-wheel notebooks clean

help:
	@echo "make setup                     everything that the rest needs (once; idempotent)"
	@echo "  make system                  its system packages: named where missing, installed for root"
	@echo "make run N_PARTIES=3           the whole protocol on MNIST, in tmux"
	@echo "make models N_PARTIES=3        train one model per answering party"
	@echo "make check                     the Python half's linters and quick tests, in under a minute"
	@echo "make test                      every test, the quick linters, the documents; its parts:"
	@echo "  make lint-python             ruff"
	@echo "  make types                   mypy"
	@echo "  make format-cpp              clang-format, looked at only"
	@echo "  make docs                    the site of the documents, in build/site; a dead link fails"
	@echo "  make test-cpp                the C++ tests"
	@echo "  make test-sanitizers         the C++ tests under sanitizers"
	@echo "  make test-python [ARGS=...]  the Python tests"
	@echo "    make test-quick            those that are not marked slow"
	@echo "make lint                      every linter, clang-tidy too (make lint-cpp: minutes the first time)"
	@echo "make hooks                     check each commit and each push in this clone"
	@echo "make fuzz [FUZZ_SECONDS=60]    fuzz the C++ half's inputs (FUZZ_TARGETS: some of them)"
	@echo "make audit [AUDIT_QUERIES=500] record what each party sees of so many queries, and test it"
	@echo "make faults                    kill, freeze and cut off each party of a federation at each step; minutes"
	@echo "make federation-check          five parties between hosts with a delay; two are killed, the run goes on (root)"
	@echo "make random-models             COUNT=100 models at random from SEED=0, read and compared with TensorFlow"
	@echo "make network [QUERIES=5]        a federation of five between hosts with a delay: seconds, bytes, rounds (root)"
	@echo "make container-check           the image's recipe, step by step in clean root file systems (root, ten minutes)"
	@echo "make bench [AREA=gc]           benchmarks, to results/bench/"
	@echo "make table1                    the paper's Table 1 beside ours, to results/table1.csv"
	@echo "make figures                   the learning experiments' tables and figures"
	@echo "make scaling [SIZE=small]      seconds and bytes against parties, classes, model size and batch"
	@echo "make artefact [SIZE=full]      all that a reviewer needs, into results/artefact: 4 to 12 minutes"
	@echo "make pictures                  the pictures of the parties' cards, and how auto chooses, in docs/figures"
	@echo "make notebooks                 run each of notebooks/, to build/notebooks: minutes"
	@echo "make lock                      requirements.lock anew, from pyproject.toml"
	@echo "make wheel                     a wheel for this Python, to dist/"
	@echo "make sdist                     the sources as pip takes them, to dist/"
	@echo "make check-wheel               build both, install the wheel in an empty place, ask a query there"
	@echo "make clean                     remove what was built (results and models stay)"

system:
	@scripts/setup.sh --system

setup: system
	@scripts/setup.sh

models: setup
	$(PYTHON_RUN) -m capc.cli models --n_parties=$(N_PARTIES) $(ARGS)

run: setup
	$(PYTHON_RUN) run_experiment.py --n_parties=$(N_PARTIES) --n_queries=$(N_QUERIES) \
		--encryption_params=$(ENCRYPTION_PARAMS) --launcher=$(LAUNCHER) $(ARGS)

# Two at a time: the linters beside the tests. Set-up is done by then (--old-file).
check: setup
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target --old-file=setup test-quick lint-python types

# Two at a time: the sanitizers' build beside set-up, which downloads with one core. The Python tests
# come last, alone, as they use every core.
# clang-tidy takes minutes in a new clone: make lint runs it, and the hosted workflow does.
BEFORE_PYTHON := test-sanitizers types docs lint-python format-cpp test-cpp
test:
	@echo "two parts at a time, each of which says all when it ends: setup $(BEFORE_PYTHON)"
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target $(BEFORE_PYTHON)
	@$(MAKE) --no-print-directory --old-file=setup test-python

lint: lint-python types lint-cpp

lint-python: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: setup
	$(VENV)/bin/mypy

lint-cpp: setup
	scripts/lint_cpp.sh

format-cpp: setup
	scripts/lint_cpp.sh --format

test-quick: setup
	$(PYTHON_RUN) -m pytest $(SIDE_BY_SIDE) -q -m "not slow" $(ARGS)

test-cpp: setup
	ctest --test-dir build/gc --output-on-failure --parallel 2

# The engine and the programs' parts under AddressSanitizer and UndefinedBehaviorSanitizer.
# They need no Python. Level 1 of -g, the lines of files, compiles in three fifths of the time.
test-sanitizers: system
	@mkdir -p build
	@cmake -S gc-emp-test -B build/sanitizers -DCMAKE_BUILD_TYPE=None -DGC_BACKEND=builtin \
		-DCMAKE_CXX_FLAGS="-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all" \
		-DCMAKE_RUNTIME_OUTPUT_DIRECTORY="$(CURDIR)/build/sanitizers/bin" >build/sanitizers.log
	@cmake --build build/sanitizers --target gc_tests --parallel 2 >>build/sanitizers.log || { tail -n 30 build/sanitizers.log; exit 1; }
	ctest --test-dir build/sanitizers --output-on-failure --parallel 2

fuzz:
	@FUZZ_SECONDS="$(FUZZ_SECONDS)" FUZZ_TARGETS="$(FUZZ_TARGETS)" scripts/fuzz.sh

# The known-bad builds, each of which it must find, are among the tests.
audit: setup
	ctest --test-dir build/gc --output-on-failure -R "deviating|unchecked"
	PYTHONPATH=tests/audit $(PYTHON_RUN) tests/audit/audit.py --queries $(AUDIT_QUERIES) $(ARGS)

# Longer than a test may take: what docs/parties.md says of failures, cell by cell.
faults: setup
	$(PYTHON_RUN) -m pytest -q tests/parties/five_parties.py
	PYTHONPATH=tests:tests/parties $(PYTHON_RUN) tests/parties/fault_matrix.py

random-models: setup
	$(PYTHON_RUN) tests/graph/random_models.py --count=$(COUNT) --seed=$(SEED)

# Hosts are network namespaces of this machine. Says why, where it cannot make them.
federation-check: setup
	PYTHONPATH=.:tests:tests/parties $(PYTHON_RUN) tests/network/federation_check.py $(ARGS)
	$(PYTHON_RUN) -m pytest -q tests/network/silence_check.py
	$(PYTHON_RUN) -m pytest -q -s tests/harness/hosts_check.py

network: setup
	PYTHONPATH=.:tests/network $(PYTHON_RUN) tests/network/network.py --queries=$(QUERIES) $(ARGS)

container-check: setup
	$(PYTHON_RUN) scripts/container_check.py $(ARGS)

test-python: setup
	$(PYTHON_RUN) -m pytest $(SIDE_BY_SIDE) $(ARGS)

hooks: setup
	$(VENV)/bin/pre-commit install --hook-type pre-commit --hook-type pre-push

bench: setup
	$(PYTHON_RUN) -m capc.cli bench $(AREA) $(ARGS)

table1: setup
	$(PYTHON_RUN) -m capc.cli table1 $(ARGS)

figures: setup
	$(PYTHON_RUN) -m capc.cli learn all --config=$(EXPERIMENT) $(ARGS)

scaling: setup
	$(PYTHON_RUN) -m capc.cli scaling $(if $(SIZE),--size=$(SIZE)) $(ARGS)

artefact: setup
	$(PYTHON_RUN) -m capc.cli artefact $(if $(SIZE),--size=$(SIZE)) $(ARGS)

# A run with a budget that refuses, and its cards: the whole terminal, and single ones. The second
# of the first picture suits two idle cores: on others look whether a query is at work in it.
PICTURED := build/pictures/latest
REPLAY := $(PYTHON_RUN) -m capc.cli replay $(PICTURED)
pictures: setup
	$(PYTHON_RUN) run_experiment.py --n_parties=3 --ignore_parties --n_queries=12 --sigma=2 --epsilon=8 \
		--encryption_params=config/fast.json --launcher=subprocess --results_dir=build/pictures
	$(REPLAY) --size=120x40 --at=0.75 --svg=docs/figures/cards-at-work.svg
	$(REPLAY) --size=80x24 --svg=docs/figures/cards-at-the-end.svg
	$(REPLAY) --size=100x26 --party=guardian --svg=docs/figures/card-guardian.svg
	$(REPLAY) --size=100x26 --party=querying --svg=docs/figures/card-querying.svg
	$(PYTHON_RUN) scripts/draw_choice.py

# Without a network. A warning is an error: dead links, missing references, pages that no list names.
docs: setup
	@rm -rf build/site
	$(PYTHON_RUN) -m sphinx --quiet --fail-on-warning --keep-going -b html -c docs/site . build/site
	@echo "the documents: build/site/index.html"

notebooks: setup
	$(PYTHON_RUN) tests/notebooks/execute.py build/notebooks notebooks/*.ipynb

# Needs uv (PyPI): one lock for Python 3.10 to 3.13.
lock:
	uv pip compile --universal --python-version 3.10 --extra dev --extra docs --generate-hashes --no-header \
		--no-annotate --quiet pyproject.toml --output-file requirements.lock

wheel: setup
	$(PYTHON_RUN) -m build --no-isolation --wheel

sdist: setup
	$(PYTHON_RUN) -m build --no-isolation --sdist

check-wheel: setup
	scripts/check_wheel.sh $(PYTHON_RUN)

clean:
	rm -rf $(VENV) build dist gc-emp-test/bin *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
