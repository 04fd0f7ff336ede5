# Needs Python >= 3.11, make and a package index; everything else goes into .venv.

VENV := .venv
PREFECT := .venv-prefect
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
ARGS ?=
WORKERS ?= auto

.PHONY: run test prefect-client lint fmt bench soak requirements clean

run: $(VENV)/.server ## set up and run the whole stack on http://localhost:4200
	@exec $(VENV)/bin/python manage.py up $(ARGS)

test: $(VENV)/.dev ## set up and run all tests
	$(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

prefect-client: $(PREFECT)/.client ## Prefect's client in its own environment, for the tests and figures beside it

lint: $(VENV)/.dev ## what must be clean before a change is merged
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run

fmt: $(VENV)/.dev ## format, and repair what can be repaired safely
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench: $(VENV)/.dev ## print the figures; passes and fails nothing
	$(VENV)/bin/python -m tests.bench $(ARGS)

soak: $(VENV)/.dev ## break everything at random under load, for ARGS minutes (5)
	SOAK_MINUTES=$(ARGS) $(VENV)/bin/python -m pytest tests/faults/soak.py -s

requirements: $(VENV)/bin/python ## resolve pyproject.toml anew into the pinned lists
	$(PIP) install 'uv<1'
	$(call compile,requirements.txt,pyproject.toml --extra server)
	$(call compile,requirements-dev.txt,pyproject.toml --extra server --extra dev --extra dask --constraint requirements.txt)
	$(call compile,tests/prefect/requirements.txt,tests/prefect/requirements.in)

compile = $(VENV)/bin/uv pip compile $(2) --output-file $(1) --quiet --upgrade --generate-hashes \
	--universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-annotate \
	--custom-compile-command 'make requirements'

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo 'No Python >= 3.11 with venv found: install one, or set PYTHON=/path/to/python3'; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The marks are written last: an install that was cut off is done again.
$(VENV)/.server: requirements.txt | $(VENV)/bin/python
	@echo 'Installing Portal into $(VENV) ...'
	@$(PIP) install --require-hashes --requirement requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt | $(VENV)/bin/python
	@echo 'Installing Portal and its tools into $(VENV) ...'
	@$(PIP) install --require-hashes --requirement requirements-dev.txt
	@touch $@ $(VENV)/.server

$(PREFECT)/.client: tests/prefect/requirements.txt
	@test -n "$(PYTHON)" || { echo 'No Python >= 3.11 with venv found: install one, or set PYTHON=/path/to/python3'; exit 1; }
	@echo "Installing Prefect's client into $(PREFECT) ..."
	@$(PYTHON) -m venv $(PREFECT)
	@$(PREFECT)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --requirement $<
	@touch $@

clean: ## forget the environment and all caches, keep the data
	rm -rf $(VENV) $(PREFECT) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
