# `make demo` and `make test` need Python 3.11 or newer and nothing else; each sets itself up in .venv.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Its temporary files lie in the environment, so that an interrupted installation leaves nothing elsewhere.
TEMPORARY := $(abspath $(VENV))/tmp

.PHONY: help demo test interop check sbom messages bench soak lock clean

help:  ## What there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "fieldpack needs Python 3.11 or newer; none was found. Set PYTHON=/path/to/python3."; exit 1; }
	@echo "Making the environment $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "This Python can't make virtual environments: install its venv package (Debian: python3-venv)."; exit 1; }

$(VENV)/.demo: requirements/demo.lock pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) what the demo needs, about 150 MB:"
	@mkdir -p $(TEMPORARY)
	TMPDIR=$(TEMPORARY) $(PIP) install --require-hashes -r requirements/demo.lock
	TMPDIR=$(TEMPORARY) $(PIP) install --quiet --no-deps --no-build-isolation -e .
	@rm -rf $(TEMPORARY) && touch $@

$(VENV)/.dev: requirements/dev.lock pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) what the tests need, about 700 MB:"
	@mkdir -p $(TEMPORARY)
	TMPDIR=$(TEMPORARY) $(PIP) install --require-hashes -r requirements/dev.lock
	TMPDIR=$(TEMPORARY) $(PIP) install --quiet --no-deps --no-build-isolation -e .
	@rm -rf $(TEMPORARY) && touch $@

demo: $(VENV)/.demo  ## The main job on real parts: server, participants, export, pandas
	$(BIN)/fieldpack demo $(DEMO)

test: $(VENV)/.dev  ## The whole suite (TESTS=path narrows it)
	$(BIN)/python -m pytest $(TESTS)

interop: $(VENV)/.dev  ## Converted files in R (haven), PSPP and LibreOffice, installed if need be
	.ci/install r-cran-haven pspp libreoffice-calc-nogui
	$(BIN)/python -m pytest tests/interop

check: $(VENV)/.dev  ## Format, lint, types, layers, dead code, advisories
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python tools/layers.py
	$(BIN)/python tools/unused.py
	$(BIN)/python tools/advisories.py

sbom: $(VENV)/.dev  ## What a server runs on, as a CycloneDX list with hashes: sbom.cdx.json
	$(BIN)/python -m cyclonedx_py requirements requirements/demo.lock --pyproject pyproject.toml --output-reproducible -o sbom.cdx.json

messages: $(VENV)/.dev  ## The pages' catalogues brought up to what the pages use (LANGUAGE=fr begins a new one)
	$(BIN)/python tools/messages.py $(LANGUAGE)

bench: $(VENV)/.dev  ## Figures for this machine, beside peers (BENCH=name narrows it)
	$(BIN)/python -m benchmarks $(BENCH)

soak: $(VENV)/.dev  ## Mixed load while everything is restarted, then killed: MINUTES=20 of each; then long forms of tests
	$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),20)
	LONG_TESTS=1 $(BIN)/python -m pytest -o timeout=7200 $$(grep -rl --include='test_*.py' 'tests.lengths import' tests)

lock: $(VENV)/.dev  ## Compile the locked requirements anew
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--extra server --extra convert pyproject.toml requirements/build.in -o requirements/demo.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--extra dev pyproject.toml requirements/build.in -o requirements/dev.lock

clean:  ## Remove what was set up
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
