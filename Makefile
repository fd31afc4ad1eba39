# Two commands: `make run` shows a real run, `make test` proves the tree. Both need python3, python3-venv, make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
USERS ?= 1000
DURATION ?= 90s

.PHONY: help run test test-long lint bench bench-enterprise bench-hundred-thousand bench-master bench-metrics bench-report keys lock clean
.DEFAULT_GOAL := help

help:  ## Show these lines.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 32

run: $(VENV)/.run  ## Run the enterprise plan, shortened, against the embedded target (about 2 minutes, 1 more at first).
	@echo "make run: the enterprise plan with $(USERS) users for $(DURATION) against the embedded target"
	@start=$$(date +%s); $(BIN)/loadproof run enterprise --users $(USERS) --duration $(DURATION); status=$$?; \
	 echo "make run: took $$(($$(date +%s) - start)) s, exit status $$status"; exit $$status

test: $(VENV)/.test  ## Run every check and test (about 35 minutes on 2 cores, 2 more at first).
	@.ci/packages
	@start=$$(date +%s); $(MAKE) --no-print-directory lint && \
	 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not long and not alone and not performance" && \
	 $(BIN)/python -m pytest -m "alone and not long and not performance"; status=$$?; \
	 echo "make test: took $$(($$(date +%s) - start)) s, exit status $$status"; exit $$status

test-long: $(VENV)/.test  ## Run the full counts that `make test` samples (about two hours).
	@.ci/packages $$(command -v npm >/dev/null || echo npm)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m long --timeout 3600

lint: $(VENV)/.test  ## ruff and mypy.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.run  ## Measure beside stock Locust and other tools, into bench/RESULTS.md (about 20 minutes, idle machine).
	@bench/packages
	$(BIN)/python bench/throughput.py
	$(BIN)/python bench/memory.py
	$(BIN)/python bench/truth.py
	$(BIN)/python bench/arrivals.py

bench-enterprise: $(VENV)/.run  ## Measure what the enterprise plan holds, target included (about 6 minutes).
	$(BIN)/python bench/enterprise.py

bench-hundred-thousand: $(VENV)/.run  ## Hold 100,000 users with a connection each (about 7 minutes, 8 GB).
	@bench/packages
	$(BIN)/python bench/hundred_thousand.py

bench-master: $(VENV)/.run  ## Measure what a master costs with 200 workers, beside stock Locust's (about 20 minutes).
	$(BIN)/python bench/master.py

bench-metrics: $(VENV)/.run  ## Measure what a scrape a second costs a run (about 8 minutes, idle machine).
	@bench/packages
	$(BIN)/python bench/metrics.py

bench-report: $(VENV)/.run  ## Report an hour of 100 million requests, and 30 s (about 5 minutes).
	$(BIN)/python bench/report.py

keys: $(VENV)/.run  ## Make the keys and tokens that docker-compose.yml mounts.
	@LOADPROOF=$(BIN)/loadproof deploy/make-keys

lock: $(VENV)/.test  ## Resolve the dependencies anew.
	.ci/lock $(BIN)

clean:  ## Remove the environment and every cache.
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	 { echo "loadproof needs Python 3.11 or newer; this is $$($(PYTHON) --version)."; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	 { echo "The venv module is missing. Type: sudo apt-get install -y python3-venv"; exit 2; }
	@echo "making the environment in $(VENV) (about a minute)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements-run.lock pyproject.toml | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-run.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/.test: requirements.lock pyproject.toml | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@ $(VENV)/.run
