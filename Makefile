# The lab's commands. Each works as the first one in a fresh clone and quickly as a repeat.
#
#   make PYTHON=python3.12 lab       another Python
#   make test ARGS="-k pipeline"     some tests only
#   make chaos ARGS="50 7"           50 attacks with seed 7

PYTHON ?= python3
VENV := .venv
ARGS :=
BIN := $(VENV)/bin

# Without compiled files each of hundreds of processes would compile the lab anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help lab demo test check lint types tested chaos browser postgres clean
.NOTPARALLEL:

help: ## show this
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

lab: $(VENV)/.installed-core ## set up and open JupyterLab on the first notebook
	$(BIN)/labkit open

demo: $(VENV)/.installed-core ## set up and run the main job without a browser
	$(BIN)/labkit demo

# Four processes share the test files, since many tests wait: on two cores, three of them leave a
# seventh of the time unused. Files stay whole: what a module shares is made once. A process that
# crashes ends the run. ARGS="-n 0" runs all in one process.
SHARED := -n 4 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

# A suite that passed leaves a mark with the hash of all files, so that `make check` right after
# `make test` does not run it again. The hash is taken first: a file that is edited while the tests
# run does not count as tested.
test: $(VENV)/.installed-test browser postgres ## set up, browser included, and run every test
	@[ -n "$(ARGS)" ] || rm -f $(VENV)/.tested-*
	@tree=$$($(TREE)); $(BIN)/pytest $(SHARED) --durations 30 $(ARGS) && \
	if [ -n "$$tree" ] && [ -z "$(ARGS)" ]; then touch "$(VENV)/.tested-$$tree"; fi

check: lint types tested ## lint, types and tests

lint: $(VENV)/.installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.installed-test
	$(BIN)/mypy

tested: $(VENV)/.installed-test
	@tree=$$($(TREE)); \
	if [ -n "$$tree" ] && [ -e "$(VENV)/.tested-$$tree" ]; then \
	  echo "tests: passed on exactly these files before"; \
	else \
	  $(MAKE) test; \
	fi

# Long campaigns, no part of `make test`: kills and stops, elections, many runs one after another.
chaos: $(VENV)/.installed-test ## kill and stop parts of the lab at random for half an hour
	$(BIN)/python tests/benchmarks/chaos.py $(ARGS)
	@[ -n "$(ARGS)" ] || $(BIN)/python tests/benchmarks/chaos.py elections
	@[ -n "$(ARGS)" ] || $(BIN)/python tests/benchmarks/chaos.py long

# The hash of every file that git knows or would add, as it is now; empty outside a clone.
TREE = files=$$(git ls-files --cached --others --exclude-standard -z 2>/dev/null \
    | sort -z | xargs -0 --no-run-if-empty sha256sum 2>/dev/null); \
  [ -z "$$files" ] || echo "$$files" | sha256sum | cut -c 1-16

$(VENV)/.installed-core: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the lab into $(VENV); the first time takes some minutes."
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the lab and its tests into $(VENV); the first time takes some minutes."
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	@rm -f $(VENV)/.tested-*
	@touch $(VENV)/.installed-core $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) \
	else f"the lab needs Python 3.11 to 3.13, not {v[0]}.{v[1]}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

# The browser tests drive the system's Chromium.
browser:
	@for name in chromium chromium-browser google-chrome; do \
	  if command -v $$name >/dev/null; then exit 0; fi; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update --quiet=2 && DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes \
	    --no-install-recommends chromium fonts-dejavu-core; \
	else \
	  echo "The browser tests need Chromium: sudo apt-get install chromium" >&2; exit 1; \
	fi

# The tests of databases start a PostgreSQL server of their own.
postgres:
	@if command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then \
	  exit 0; \
	fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update --quiet=2 && DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes \
	    --no-install-recommends postgresql; \
	else \
	  echo "The tests of databases need PostgreSQL: sudo apt-get install postgresql" >&2; exit 1; \
	fi

clean: ## remove the environment and all caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
