PYTHON ?= python3
VENV := .venv
SMALL := .venv-segment
SBOM := .venv-sbom
DOCS := .venv-docs
BIN := $(VENV)/bin

# By its version alone: the CPU build that PyTorch offers and that of the package index have different hashes.
TORCH := torch==2.13.0

TEXTS := $(wildcard *.md) benchmarks docs src tests tools

.PHONY: demo test check slow oracles docs sbom clean

demo: $(SMALL)/ready  ## Segment the embedded patient without PyTorch, score it, show where to look
	$(SMALL)/bin/tunet demo --out demo

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

sbom: $(SBOM)/ready  ## Bills of materials (CycloneDX) of both installations, sbom-segment.json and sbom-train.json
	$(SBOM)/bin/cyclonedx-py requirements requirements-segment.lock -o sbom-segment.json
	{ grep -v '^#' requirements.lock; echo '$(TORCH)'; } | $(SBOM)/bin/cyclonedx-py requirements - -o sbom-train.json

# Each environment is made once; a second call finds the stamp and goes straight on.
$(VENV)/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/pip install -q --disable-pip-version-check '$(TORCH)'
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(SMALL)/ready: requirements-segment.lock pyproject.toml
	$(PYTHON) -m venv $(SMALL)
	$(SMALL)/bin/pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements-segment.lock
	$(SMALL)/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(SBOM)/ready:
	$(PYTHON) -m venv $(SBOM)
	$(SBOM)/bin/pip install -q --disable-pip-version-check cyclonedx-bom==7.5.0
	touch $@

$(DOCS)/ready: docs/requirements.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install -q --disable-pip-version-check -r docs/requirements.txt
	touch $@

clean:
	rm -rf $(VENV) $(SMALL) $(SBOM) $(DOCS) demo site build dist sbom-*.json
