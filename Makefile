# What people and CI run: each target installs what it needs, once.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3))
WORKERS ?= $(shell nproc)
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST := $(BIN)/python -m pytest
MINUTES ?= 10

# compiled modules are kept: servers start in a fraction of the time
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help serve test check lint bench docs soak fuzz lock programs clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 10

serve: $(VENV)/.runtime ## run a server; options in ARGS="--listen 0.0.0.0:8080"
	$(BIN)/homeport serve $(ARGS)

test: $(VENV)/.test programs ## run every test; a choice of them in ARGS="tests/unit -k digest"
	$(PYTEST) -n $(WORKERS) --dist loadgroup $(ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test ## lint, format, types, layers, then every test

bench: $(VENV)/.test programs ## measure beside docker-registry and nginx
	$(BIN)/python bench/run.py $(ARGS)

docs: $(VENV)/.runtime ## write the tables in docs/ from the code
	$(BIN)/python scripts/write_reference.py $(ARGS)

soak: $(VENV)/.test programs ## the long runs: many clients, many kills; MINUTES=10 each
	HOMEPORT_SOAK_MINUTES=$(MINUTES) $(PYTEST) -m soak --timeout $$((60 * ($(MINUTES) + 5))) $(ARGS)

fuzz: $(VENV)/.test ## property tests with many more examples
	HYPOTHESIS_PROFILE=fuzz $(PYTEST) -n $(WORKERS) -m hypothesis --timeout 3600 $(ARGS)

programs: ## Debian packages that tests and bench call, through apt-get when root
	@scripts/install-programs

lock: $(VENV)/bin/python ## choose the newest versions and write their hashes
	$(PIP) install uv
	scripts/lock-requirements

clean: ## remove the virtual environment and all that was made
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	rm -rf .hypothesis .coverage .coverage.* htmlcov bench/results
	find src tests bench scripts -type d -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/bin/python:
	PYTHON="$(PYTHON)" scripts/make-venv $(VENV)

$(VENV)/.runtime: $(VENV)/bin/python requirements.txt pyproject.toml
	$(PIP) install --require-hashes -r requirements.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.runtime requirements-test.txt requirements-programs.txt
	$(PIP) install --require-hashes --use-pep517 --no-build-isolation -r requirements-test.txt
	$(PIP) install --require-hashes --no-deps -r requirements-programs.txt
	@touch $@
