# selfsight: everything a fresh machine needs, in two commands: `make demo` and `make test`.

VENV   := .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
SHELL  := /bin/bash

.PHONY: help setup system demo app test test-all lint format bench claims clean

help:
	@echo "make demo   set up, train on the sample pictures with live views, leave the results in demo/"
	@echo "make app    open the window"
	@echo "make test   set up and run the tests"
	@echo "make lint   check style, types and imports"
	@echo "make bench  measure speed side by side with peers     make claims  run every claim experiment"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.12"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=24" 2>/dev/null || true
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[app,dev]"
	@touch $(STAMP)

system:
	@bash .ci/system-packages

demo: setup system
	@if [ "$$(uname -s)" != Linux ] || [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ]; then $(BIN)/python -m app.demo --out demo; \
	else bash .ci/with-display $(BIN)/python -m app.demo --out demo --quit; fi

app: setup
	@$(BIN)/selfsight

test: setup system
	@bash .ci/with-display $(BIN)/python -m pytest -n 2 --dist loadfile

test-all: setup system
	@bash .ci/with-display $(BIN)/python -m pytest -m "slow or not slow"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/selfsight bench

claims: setup
	for method in $$($(BIN)/selfsight methods --json | $(BIN)/python -c 'import json,sys; print(*[m["id"] for m in json.load(sys.stdin) if m["claim"]])'); do $(BIN)/selfsight claim $$method --write || exit 1; done

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
