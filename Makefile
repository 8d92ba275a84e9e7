# make demo: install into .venv, run the paper's suite in two processes, write the report. make test: the tests.
# Set them on the command line, as in make STORE=elsewhere; the environment's variables of these names are not taken.
VENV := .venv
STORE := tmi-store
REPORT := report
PYTHON := python3
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet --constraint constraints.txt

.PHONY: demo test test-all lint format docs clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.installed
	@$(BIN)/tmi run paper --store $(STORE) --report $(REPORT) --keep networks --workers 2
	@echo "Open $(abspath $(REPORT))/index.html in a browser."

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n 2

test-all: $(VENV)/.installed-dev  ## the slow ones too
	$(BIN)/python -m pytest -q -n 2 -m "slow or not slow"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(BIN)/towncrier build --draft --version next > /dev/null

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-dev
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "Open $(abspath docs)/_build/html/index.html in a browser."

clean:  ## the store stays: it holds hours of work
	rm -rf .venv report docs/_build docs/_gallery build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("tmi needs Python 3.11 or newer; set PYTHON=") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV), which takes a minute or two."
	@$(PIP) --editable '.[dask]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/.installed
	@echo "Installing what tests, checks and docs need into $(VENV)."
	@$(PIP) --editable '.[dev]'
	@# Quantus asks for the OpenCV that needs a screen's libraries; the other one, which is there, serves it as well.
	@$(PIP) --no-deps quantus
	@touch $@
