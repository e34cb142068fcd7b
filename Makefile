# Every target sets up what it needs first; see scripts/setup for what that is.
VENV := .venv
PYTHON := $(VENV)/bin/python
JOBS ?= 4

.PHONY: help demo test test-all lint bench setup clean

help:
	@echo "make demo      a real Debian image loses its agent, gets ours, boots in a local Azure, and is judged"
	@echo "make test      all fast tests, in parallel (minutes)"
	@echo "make test-all  and the slow ones: emulated whole-disk boots"
	@echo "make lint      ruff, mypy, shellcheck"
	@echo "make bench     speed, as ratios in one run"

setup: $(VENV)/.ready-test

$(VENV)/.ready-test: pyproject.toml scripts/setup
	scripts/setup test $(VENV)
	@touch $(VENV)/.ready-demo

$(VENV)/.ready-demo: pyproject.toml scripts/setup
	scripts/setup demo $(VENV)

demo: $(VENV)/.ready-demo
	$(VENV)/bin/azready demo

test: setup
	$(PYTHON) -m pytest -n $(JOBS) --dist worksteal -m "not slow" tests

test-all: setup
	$(PYTHON) -m pytest -n $(JOBS) --dist worksteal tests

lint: setup
	$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && $(PYTHON) -m pytest -q tests/style

bench: setup
	$(PYTHON) -m bench

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
