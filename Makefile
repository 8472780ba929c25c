# `make demo` shows everything on a small generated release; `make lint test` is what CI runs.
# Each target makes the environment first: .venv, with the exact versions of constraints-dev.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo
PYTEST_ARGS ?=

.PHONY: help env demo test lint format bench screenshots clean

help:
	@echo 'make demo     generate a release, ingest it, stream triples, draw $(DEMO)/contact-sheet.png'
	@echo 'make test     run the tests (PYTEST_ARGS="tests/archive -k tar" for some)'
	@echo 'make lint     ruff, pyright and the import walls'
	@echo 'make format   let ruff rewrite what it can'
	@echo 'make bench    list the benchmarks'
	@echo 'make screenshots   every page of the explorer, light and dark, wide and narrow, into build/screenshots'
	@echo 'make env      only make the environment ($(VENV)); PYTHON=python3.12 chooses the interpreter'
	@echo 'make clean    remove what these made, the environment included'

env: $(VENV)/.stamp

$(VENV)/.stamp: pyproject.toml constraints-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "opens2v-data needs Python 3.11 or later, and $(PYTHON) is $$($(PYTHON) --version 2>&1); try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints-dev.txt -e '.[dev]'
	@# pip compiles all on one core, 45 s; a third of it, tests and models of others, nobody imports. What is no Python stays.
	@$(BIN)/python -m compileall -qq -j 0 -x '/(tests|testing|transformers/models)/' $(VENV)/lib || true
	@touch $@

demo: env
	rm -rf $(DEMO)
	mkdir -p $(DEMO)
	cd $(DEMO) && ../$(BIN)/opens2v demo-release ./release
	cd $(DEMO) && ../$(BIN)/opens2v ingest ./release ./opens2v-5m
	cd $(DEMO) && ../$(BIN)/opens2v info ./opens2v-5m
	cd $(DEMO) && ../$(BIN)/python ../examples/demo.py
	cd $(DEMO) && ../$(BIN)/opens2v contact-sheet ./opens2v-5m --where 'aesthetic > 5' -o contact-sheet.png
	@echo 'look at $(DEMO)/contact-sheet.png'

test: env
ifeq ($(strip $(PYTEST_ARGS)),)
	$(BIN)/python tests/groups.py
else
	$(BIN)/python -m pytest $(PYTEST_ARGS)
endif

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The first line of a benchmark is its question.
bench:
	@for file in benchmarks/*.py; do \
	    head -n 1 "$$file" | grep -q '?' && printf '%s\n    %s\n' "$(BIN)/python $$file" "$$(head -n 1 "$$file" | tr -d '"')"; done; true

# Wants Chromium; docs/make_screenshots.py --readme writes the README's pictures anew.
screenshots: env
	$(BIN)/python docs/make_screenshots.py build/screenshots

clean:
	rm -rf $(VENV) $(DEMO) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
