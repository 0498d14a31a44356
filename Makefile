# What can be done here; `make` alone lists it. Wanted beforehand: Python 3.11 or newer, make, a C++ compiler.

PYTHON ?= python3
JOBS ?= 2
VENV = .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
PIP = $(BIN)/python -m pip --disable-pip-version-check

# torch's build on PyPI brings several GB of GPU libraries on Linux. Where there is no NVIDIA GPU, and no other place for
# packages is set, its CPU build is taken from PyTorch's own page. `make ... TORCH_WHEELS=` takes what PyPI has.
TORCH_WHEELS = $(shell test "$$(uname -s)" = Linux && test -z "$$PIP_FIND_LINKS$$PIP_INDEX_URL$$PIP_NO_INDEX" \
	&& ! command -v nvidia-smi >/dev/null && echo https://download.pytorch.org/whl/cpu/torch/)

# A thread for each of the JOBS test processes: more would only get in each other's way.
TESTS = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -rfEs

.PHONY: help venv demo test test-all check format bench docs lock clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F '|' '{ printf "%-17s %s\n", $$1, $$2 }'

demo: $(READY) ## train, score and stream a forecast of the weekly CO2 series
	$(BIN)/latchwork demo

test: $(READY) ## the tests, without the slow ones
	$(TESTS) -m "not slow"

test-all: $(READY) ## every test
	$(TESTS)

check: $(READY) ## lint, formatting, types, import rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(READY) ## put the formatting right, and what else ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## every benchmark, one JSON file each in runs/bench; some want LATCHWORK_DATA
	@mkdir -p runs/bench; failed=; \
	for script in $(filter-out %/common.py,$(wildcard benchmarks/*/*.py)); do \
		result=runs/bench/$$(basename "$$script" .py).json; \
		echo "$$script > $$result"; \
		$(BIN)/python "$$script" --json > "$$result" || { failed="$$failed $$script"; rm -f "$$result"; }; \
	done; \
	test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

docs: $(READY) ## the documentation as a site, in site/
	$(BIN)/mkdocs build --strict

lock: $(READY) ## make requirements/lock.txt anew; UPGRADE=1 takes newer versions
	$(PIP) install --quiet uv
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python requirements/lock.py $(if $(UPGRADE),--upgrade)

venv: $(READY) ## .venv with everything that the commands above use

$(READY): requirements/lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "latchwork needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1);" \
		"name another: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(if $(strip $(TORCH_WHEELS)),$(PIP) install --find-links $(TORCH_WHEELS) $$(grep -o '^torch==[^ ]*' requirements/lock.txt))
	$(PIP) install -r requirements/lock.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

clean: ## remove what these commands made, .venv too; runs/ stays
	rm -rf $(VENV) site build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
