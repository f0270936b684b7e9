# Every target installs first what it needs, which is nothing when nothing changed: `demo` what runs, all others that and
# what tests.
# The virtual environment lives beside this file; paths with spaces are fine because all names here are relative.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
DEMO_STAMP := .venv/.installed-demo
STAMP := .venv/.installed
BENCH_STAMP := .venv/.installed-bench
ARGS ?=
MINUTES ?= 10
SEED ?=
COUNT ?= 200
# These have no wheel; all are pure Python. Patroni needs them, and only the tests need Patroni.
SOURCE_ONLY := pysyncobj,python-etcd,ydiff
PIP_INSTALL := $(BIN)/python -m pip install -q --disable-pip-version-check --no-input --no-deps
LOCKED := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes
FROM_WHEELS := --require-hashes --only-binary :all:
FAULTS := tests/cluster/test_cluster_faults.py tests/cluster/test_cluster_network.py tests/cluster/test_cluster_server_faults.py

.PHONY: help install demo test fuzz faults chaos bench soak check format lint types layers golden openapi openapi-examples vendor lock pictures clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(STAMP) ## make the virtual environment with the demo and development extras

$(DEMO_STAMP): pyproject.toml requirements/demo.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "make: Python 3.11 or newer is needed: apt-get install python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "make: Python's venv module is missing: apt-get install python3-venv" >&2; exit 1; }
	@"$(PYTHON)" -m venv .venv
	@echo "installing into .venv ..."
	@$(PIP_INSTALL) $(FROM_WHEELS) -r requirements/demo.txt
	@$(PIP_INSTALL) --no-build-isolation -e .
	@touch $(DEMO_STAMP)

$(STAMP): $(DEMO_STAMP) requirements/dev.txt
	@echo "installing what tests and checks need ..."
	@$(PIP_INSTALL) $(FROM_WHEELS) --no-binary $(SOURCE_ONLY) --use-pep517 -r requirements/dev.txt
	@touch $(STAMP)

demo: $(DEMO_STAMP) ## run a 3-node cluster with load until Ctrl-C (ARGS='--nodes 5' passes flags)
	@exec $(BIN)/rangeland demo $(ARGS)

test: install ## run the tests on real PostgreSQL servers
	@$(BIN)/python -m pytest $(ARGS)

fuzz: install ## send a cluster what nobody should, for MINUTES=10; SEED=… as printed by an earlier run
	@$(BIN)/python -m pytest tests/fuzz -n 0 --timeout 0 --fuzz-minutes $(MINUTES) $(if $(SEED),--fuzz-seed $(SEED)) $(ARGS)

faults: install ## break a cluster in every way and write docs/explanation/faults.md anew; as root, for the network
	@results=$$(mktemp -d) && trap 'rm -rf "$$results"' EXIT && \
		$(BIN)/python -m pytest $(FAULTS) --fault-results "$$results" $(ARGS) && \
		PYTHONPATH=tests $(BIN)/python -m cluster.faults_page "$$results"

chaos: install ## break a cluster at random under load, COUNT=200 times; SEED=… as printed by an earlier run
	@$(BIN)/python -m pytest tests/chaos -n 0 --timeout 0 --chaos-faults $(COUNT) $(if $(SEED),--chaos-seed $(SEED)) $(ARGS)

bench: $(BENCH_STAMP) ## measure and write docs/benchmarks.md; ARGS='cost latency' prints some questions only
	@PYTHONPATH=tests:. $(BIN)/python -m bench $(ARGS)

soak: install ## an hour of mixed load at full rate, MINUTES=60: nothing may grow
	@PYTHONPATH=tests:. $(BIN)/python -m bench --soak $(if $(filter command line environment,$(origin MINUTES)),$(MINUTES),60)

$(BENCH_STAMP): $(STAMP) requirements/bench.txt
	@$(PIP_INSTALL) $(FROM_WHEELS) -r requirements/bench.txt
	@touch $(BENCH_STAMP)

check: format lint types layers test ## everything that a change must pass

format: install
	@$(BIN)/ruff format --check src tests bench vendoring

lint: install
	@$(BIN)/ruff check src tests bench vendoring

types: install
	@$(BIN)/mypy

layers: install
	@$(BIN)/lint-imports

openapi: install ## write the API's document, its page and the tables of the reference anew
	@$(BIN)/python -m rangeland.openapi

openapi-examples: install ## record the document's examples on a cluster, then as openapi
	@PYTHONPATH=tests $(BIN)/python -m contract.record_examples
	@$(BIN)/python -m rangeland.openapi

vendor: install ## write the console's vendored modules anew, as vendoring/packages.py names them; needs npm
	@command -v npm >/dev/null || { echo "make: npm is needed, for this target only: apt-get install npm" >&2; exit 1; }
	@$(BIN)/python -m vendoring.refresh

lock: install ## pin every dependency anew, with hashes and without naming an index
	@$(LOCKED) --extra demo --extra dev pyproject.toml -o requirements/dev.txt
	@$(LOCKED) --extra demo --group build -c requirements/dev.txt pyproject.toml -o requirements/demo.txt
	@$(LOCKED) --extra bench -c requirements/dev.txt pyproject.toml -o requirements/bench.txt

pictures: install ## take docs/pictures/ of the console anew, on a cluster that has lived MINUTES=10; needs chromium
	@PYTHONPATH=tests $(BIN)/python -m console.pictures --minutes $(MINUTES)

golden: install ## write the golden answers of tests/contract/golden anew; git diff shows what changed
	@$(BIN)/python -m pytest -n 0 --write-golden tests/contract/test_contract_golden.py

clean: ## remove what the targets made
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .schemathesis
