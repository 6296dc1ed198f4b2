PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check slow clean

demo: $(VENV)/ready  ## Segment the embedded patient, score it, show where to look
	$(BIN)/tunet demo --out demo

test: $(VENV)/ready  ## The fast tests
	$(BIN)/python -m pytest -q

check: $(VENV)/ready  ## What CI runs beside the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

slow: $(VENV)/ready  ## The long checks
	$(BIN)/python -m pytest -q -m slow

# The environment is made once; a second call finds the stamp and goes straight on.
$(VENV)/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

clean:
	rm -rf $(VENV) demo build dist
