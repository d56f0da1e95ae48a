# Every target sets up its own isolated environment in .venv first; nothing is installed outside it.
PYTHON ?= python3
BIN := .venv/bin
SETUP := pyproject.toml constraints.txt
TESTED := fedgap tests bench examples server clients
COVERED := fedgap.secagg fedgap.rounds fedgap.settling
COVERING := tests/secagg tests/rounds tests/settling tests/conformance/test_secagg_vectors.py tests/conformance/test_settlement_vectors.py

.DEFAULT_GOAL := help
.PHONY: help demo test slow coverage check bench docs clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fedgap needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'

.venv/demo.stamp: .venv/bin/python $(SETUP)
	@echo "Installing fedgap into .venv (once) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

.venv/dev.stamp: .venv/bin/python $(SETUP)
	@echo "Installing fedgap with everything and the development tools into .venv (once; torch is large) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all]' --group dev
	@touch $@ .venv/demo.stamp

demo: .venv/demo.stamp ## eight clinics, real data: who gains by training together, who contributes what? (under a minute)
	$(BIN)/fedgap simulate examples/clinics/federation.toml --out out/clinics

test: .venv/dev.stamp ## the tests (under 12 minutes)
	$(BIN)/python -m pytest

slow: .venv/dev.stamp ## the slow tests too
	$(BIN)/python -m pytest -m 'slow or not slow'

coverage: .venv/dev.stamp ## secure aggregation, rounds and settling: every line and branch runs in their own tests
	$(BIN)/python -m pytest -q $(COVERING) $(COVERED:%=--cov=%) --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=100

check: .venv/dev.stamp ## format, lint, strict types, layers, tests
	$(BIN)/ruff format --check $(TESTED)
	$(BIN)/ruff check $(TESTED)
	$(BIN)/mypy $(TESTED)
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

bench: .venv/dev.stamp ## secure aggregation measured again (DATA=folder of the heart-disease files adds the published table)
	$(BIN)/fedgap bench secagg
	$(if $(DATA),$(BIN)/fedgap bench flamby_heart --data $(DATA))

docs: .venv/dev.stamp ## rebuild docs/configuration.md from the code
	$(BIN)/fedgap config explain --markdown > docs/configuration.md

clean: ## remove the environment and what the demo left
	rm -rf .venv out
