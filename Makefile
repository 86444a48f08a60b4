# personalab: `make help` explains the targets. Everything is installed into .venv.

PROMPT ?= 10 League of Legends players from around the globe
COUNT  ?= 10
OUT    ?= out
export PROMPT COUNT OUT

# The newest Python of at least 3.11 that is on the path.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo lab test notebooks lint check clean

help: ## say what each target does
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: .venv/.demo ## one sentence in, personas out: make demo PROMPT="50 small-scale coffee farmers" COUNT=5
	@$(BIN)/personalab generate "$$PROMPT" --count "$$COUNT" --seed 7 --out "$$OUT"

lab: .venv/.lab ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

test: .venv/.test ## run the tests; those in a browser where Chromium is found
	$(BIN)/python -m pytest -n auto --dist=loadfile --ignore=tests/browser
	$(BIN)/python -m pytest tests/browser

notebooks: .venv/.test ## run the notebooks offline and compare every output with the stored one
	$(BIN)/python -m pytest --nbval --nbval-current-env --nbval-sanitize-with=tests/sanitize.cfg \
		--nbval-cell-timeout=60 -p tests.comparison -p no:cacheprovider notebooks

lint: .venv/.dev ## check style, types and docstrings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m numpydoc lint $$(git ls-files 'personalab/*.py')

check: lint test notebooks ## everything that has to pass before a change lands

clean: ## remove .venv, out and tool caches; kept replies and weights stay
	rm -rf .venv out .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "personalab needs Python 3.11 or newer on the PATH"; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

.venv/.demo: EXTRAS := [local]
.venv/.test: EXTRAS := [test]
.venv/.lab: EXTRAS := [lab,local]
.venv/.dev: EXTRAS := [dev]
.venv/.%: pyproject.toml | .venv/bin/python
	@echo "Installing personalab$(EXTRAS) into .venv; the first time takes a minute"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".$(EXTRAS)"
	@touch $@
