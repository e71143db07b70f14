# make run     set up and show the gateway at work: a SOAP Charge Point and a JSON Central System through it;
#              ARGS='--fleet 50' adds a fleet of simulated Charge Points to the console
# make test    set up and run all tests, in two processes (JOBS=2)
# make test-quick   those that are not marked slow, ARGS='-k boot' some of them
# make check   lint and types
# make fuzz    fuzz each parser for a minute (SECONDS=60), TARGETS="soap json configuration preamble forwarded url link" or some of them
# make soak    a hundred minutes' worth of honest and hostile traffic (MINUTES=100): memory and files stay what they were;
#              then ten minutes (SIEGE=10) in which everything breaks: nothing is lost or doubled, and nobody misled
# make deb     build a Debian package in dist/, for Debian 13 (PYTHON_OF_DEBIAN=3.13) and this machine (ARCH=amd64)
# make sbom    write dist/ocpp-bridge.cdx.json, the dependencies with their versions and licences, in CycloneDX
# make audit   ask pip-audit whether the dependencies have known vulnerabilities
# make bench   measure, beside a reference measured in the same run
# make docs    build the site from docs/ into build/site, strictly: a broken link or a page that the navigation lacks fails

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2

.PHONY: run test test-quick check bench docs fuzz soak deb sbom audit clean

# Ctrl-C ends the demo, and then the last line still has to be printed.
run: $(VENV)/.runs
	@trap : INT; $(BIN)/ocpp-bridge demo $(ARGS); code=$$?; echo "ocpp-bridge is here: $(CURDIR)/$(BIN)/ocpp-bridge"; exit $$code

# The files are run in the order of their names. By default those with the fewest tests are the last; the longest has one.
test: $(VENV)/.ready
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-quick: $(VENV)/.ready
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m 'not slow' $(ARGS)

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.ready
	$(BIN)/python -m tests.bench $(ARGS)

docs: $(VENV)/.docs
	$(BIN)/python -m mkdocs build --strict $(ARGS)

# All three are made again when what the project needs has changed. To run it takes less than to test and to check it.
$(VENV)/.docs: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@

$(VENV)/.runs: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,check]'
	touch $@ $(VENV)/.runs

fuzz: $(VENV)/.ready
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) $(TARGETS)

soak: $(VENV)/.ready
	$(BIN)/python -m tests.attacks.soak --minutes $(or $(MINUTES),100) $(ARGS)
	$(BIN)/python -m tests.attacks.siege --minutes $(or $(SIEGE),10)

sbom: $(VENV)/.ready
	$(BIN)/python -m tests.dependencies sbom dist/ocpp-bridge.cdx.json

audit: $(VENV)/.ready
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[audit]'
	$(BIN)/python -m tests.dependencies audit

deb: $(VENV)/.runs
	$(BIN)/python deploy/debian/build.py $(if $(PYTHON_OF_DEBIAN),--python $(PYTHON_OF_DEBIAN)) $(if $(ARCH),--arch $(ARCH))

clean:
	rm -rf $(VENV) .venv-3.* .cache build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .fuzz
