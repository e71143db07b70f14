# make run     set up and show the gateway at work: a SOAP Charge Point and a JSON Central System through it
# make test    set up and run all tests
# make check   lint and types
# make fuzz    fuzz each parser for a minute (SECONDS=60), TARGETS="soap json configuration url" or some of them
# make soak    a hundred minutes' worth of honest and hostile traffic (MINUTES=100): memory and files stay what they were
# make bench   measure, beside a reference measured in the same run

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check bench fuzz soak clean

run: $(VENV)/.ready
	$(BIN)/ocpp-bridge demo $(ARGS)

test: $(VENV)/.ready
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.ready
	$(BIN)/python -m tests.bench $(ARGS)

# Made again when what the project needs has changed.
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,check]'
	touch $@

fuzz: $(VENV)/.ready
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) $(TARGETS)

soak: $(VENV)/.ready
	$(BIN)/python -m tests.attacks.soak --minutes $(or $(MINUTES),100) $(ARGS)

clean:
	rm -rf $(VENV) .venv-3.* build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .fuzz
