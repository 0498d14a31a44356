# What can be done here; `make` alone lists it. Wanted beforehand: Python 3.11 or newer, make, a C++ compiler.

PYTHON ?= python3
JOBS ?= 2
VENV = .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
BENCH = .venv-bench
PIP = $(BIN)/python -m pip --disable-pip-version-check
BUILD = build/editable
CMAKE = $(BIN)/cmake

# torch's build on PyPI brings several GB of GPU libraries on Linux. Where there is no NVIDIA GPU, and no other place for
# packages is set, its CPU build is taken from PyTorch's own page. `make ... TORCH_WHEELS=` takes what PyPI has.
TORCH_WHEELS = $(shell test "$$(uname -s)" = Linux && test -z "$$PIP_FIND_LINKS$$PIP_INDEX_URL$$PIP_NO_INDEX" \
	&& ! command -v nvidia-smi >/dev/null && echo https://download.pytorch.org/whl/cpu/torch/)

EDITABLE = $(PIP) install --no-deps --no-build-isolation -e .

# A thread for each of the JOBS test processes: more would only get in each other's way.
TESTS = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -rfEs

.PHONY: help venv demo test test-all check format bench docs lock clean native test-native

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F '|' '{ printf "%-20s %s\n", $$1, $$2 }'

demo: native ## train, score and stream a forecast of the weekly CO2 series
	$(BIN)/latchwork demo

test: native ## the tests, without the slow ones
	$(TESTS) -m "not slow"

test-all: native ## every test
	$(TESTS)

check: native ## lint, formatting, types, import rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(READY) ## put the formatting right, and what else ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: native $(BENCH)/.ready ## every benchmark, one JSON file each in runs/bench; some want LATCHWORK_DATA
	@mkdir -p runs/bench; failed=; \
	for script in $(filter-out %/common.py,$(wildcard benchmarks/*/*.py)); do \
		result=runs/bench/$$(basename "$$script" .py).json; \
		echo "$$script > $$result"; \
		$(BENCH)/bin/python "$$script" --json > "$$result" || { failed="$$failed $$script"; rm -f "$$result"; }; \
	done; \
	test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

# An environment on top of .venv, with the peers of the speed benchmarks. A peer that can't be had is measured as absent.
$(BENCH)/.ready: requirements/bench.txt $(READY)
	$(PYTHON) -m venv $(BENCH)
	@$(BENCH)/bin/python -c 'import sys, sysconfig as s; \
		open(s.get_path("purelib") + "/latchwork.pth", "w").write(f"import site; site.addsitedir({sys.argv[1]!r})\n")' \
		"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	$(BENCH)/bin/python -m pip install --disable-pip-version-check -r requirements/bench.txt \
		|| echo "not all peers could be installed: the benchmarks say which are missing" >&2
	@touch $@

native: $(READY) ## compile what changed in csrc
	@test -f $(BUILD)/CMakeCache.txt || $(EDITABLE)
	@$(CMAKE) --build $(BUILD)
	@$(CMAKE) --install $(BUILD) --component engine --prefix \
		"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')"

test-native: native ## the unit tests of csrc, under address and undefined-behaviour sanitizers
	@$(CMAKE) -S . -B build/native-tests -G Ninja -DCMAKE_MAKE_PROGRAM="$(CURDIR)/$(BIN)/ninja" \
		-DCMAKE_BUILD_TYPE=Debug -DLATCHWORK_PYTHON=OFF -DLATCHWORK_TESTS=ON -DLATCHWORK_SANITIZE=ON
	$(CMAKE) --build build/native-tests
	$(BIN)/ctest --test-dir build/native-tests --output-on-failure
	$(CMAKE) --build $(BUILD) --target isa_symbols

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
	$(EDITABLE)
	@touch $@

clean: ## remove what these commands made, .venv too; runs/ stays
	rm -rf $(VENV) $(BENCH) site build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
