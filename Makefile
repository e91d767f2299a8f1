# Needs Python 3.11 or newer and make; everything else goes into .venv.

# python3 unless it is too old; or name one: make up PYTHON=/opt/python/bin/python3
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11, \
  $(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install
# Passed on: make up ARGS=--no-traffic, make test ARGS="-k refund"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help up test check assets bench prove browser lock clean

help:  ## Say what there is
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(VENV)/.runs assets  ## Start the whole product with demo data and traffic; Ctrl-C stops it
	@exec $(BIN)/molam up $(ARGS)

test: check assets browser  ## Everything CI runs
	$(BIN)/pytest -n 2 --dist loadgroup $(ARGS)

check: $(VENV)/.tests  ## Lint, formatting, types and the dependency arrow
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

assets: $(VENV)/.runs  ## Build what browsers get, if its sources changed
	@$(BIN)/python assets/build.py

bench: $(VENV)/.tests assets  ## Measure each figure of the README: ours, the limit, the ratio
	@failed=0; for script in benchmarks/bench_*.py; do echo "== $$script"; \
	  $(BIN)/python $$script $(ARGS) || failed=1; done; exit $$failed

prove: $(VENV)/.tests assets  ## The long proofs: kills and schedules by the thousand; prints seeds
	@failed=0; for script in benchmarks/prove_*.py; do echo "== $$script"; \
	  $(BIN)/python $$script $(ARGS) || failed=1; done; exit $$failed

# --- what the targets above need ---

$(VENV)/.made:
	@test -n "$(PYTHON)" \
	  || { echo "molam: Python 3.11 or newer is needed; name one with PYTHON=..." >&2; exit 2; }
	@"$(PYTHON)" -m venv $(VENV) \
	  || { echo "molam: $(PYTHON) cannot make a venv (on Debian: apt install python3-venv)" >&2; exit 2; }
	@touch $@

$(VENV)/.runs: $(VENV)/.made requirements.txt requirements-build.txt pyproject.toml
	@echo "Installing libraries into $(VENV) ..."
	@$(PIP) --require-hashes -r requirements.txt -r requirements-build.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.tests: $(VENV)/.runs requirements-dev.txt
	@echo "Installing test tools into $(VENV) ..."
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@

# Browser tests need a Chromium. Where we may, we install Debian's; elsewhere they
# are skipped and say so, unless MOLAM_REQUIRE_BROWSER=1.
browser:
	@if { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing chromium ..."; \
	  { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
	    --no-install-recommends chromium; } >/dev/null \
	  || echo "chromium could not be installed: browser tests are skipped"; \
	else echo "no chromium here: browser tests are skipped"; fi

# Maintainers, after changing a requirements*.in or pyproject.toml. No addresses: a
# lock file is the same whichever mirror it was made from.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-emit-index-url
lock: $(VENV)/.made
	@$(PIP) uv
	$(LOCK) pyproject.toml -o requirements.txt
	$(LOCK) requirements-dev.in -o requirements-dev.txt
	$(LOCK) requirements-build.in -o requirements-build.txt

clean:
	rm -rf $(VENV) build dist assets/node_modules src/molam/platform/web/static/built
