# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile
INSTALLED := .venv/installed

.PHONY: demo test test-slow check docs format torture billion clean

demo: $(INSTALLED)
	$(BIN)/ssah-index demo demo

test: $(INSTALLED)
	$(PYTEST) -m "not slow"

test-slow: $(INSTALLED)
	$(PYTEST) -m slow

torture: $(INSTALLED)
	$(BIN)/python -m benchmarks.torture

billion: $(INSTALLED)
	$(BIN)/python -m benchmarks.billion

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

docs: $(INSTALLED)
	$(BIN)/mkdocs build --quiet --strict --site-dir site

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(INSTALLED): setup.py constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --upgrade --quiet pip
	$(BIN)/pip install --quiet -c constraints.txt -e '.[demo,dev]'
	$(BIN)/python -c 'import ssah_index.index.mih, ssah_index; ssah_index.warm_up(64)' # compiles
	touch $@

clean:
	rm -rf .venv demo site
