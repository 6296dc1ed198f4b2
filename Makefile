PYTHON ?= python3
VENV := .venv
DOCS := .venv-docs
BIN := $(VENV)/bin

TEXTS := $(wildcard *.md) benchmarks docs src tests tools

.PHONY: demo test check slow oracles docs clean

demo: $(VENV)/ready  ## Segment the embedded patient, score it, show where to look
	$(BIN)/tunet demo --out demo

test: $(VENV)/ready  ## The fast tests; with FLAGS=--cov also which lines none of them runs, failing below 90 %
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 4 $(FLAGS)

check: $(VENV)/ready  ## What CI runs besides the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell $(TEXTS)
	$(BIN)/mypy

slow: $(VENV)/ready  ## The long checks
	$(BIN)/python -m pytest -q -m slow

oracles: $(VENV)/ready  ## Install the organisers' evaluator of 2026, which tests and benchmarks then run too
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -r requirements-oracles.lock

docs: $(DOCS)/ready  ## The documentation site, in site/; nothing in it needs torch
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet
	@echo "Open site/index.html, or run: $(DOCS)/bin/python -m http.server --directory site"

# The environment is made once; a second call finds the stamp and goes straight on.
$(VENV)/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(DOCS)/ready: docs/requirements.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install -q --disable-pip-version-check -r docs/requirements.txt
	touch $@

clean:
	rm -rf $(VENV) $(DOCS) demo site build dist
