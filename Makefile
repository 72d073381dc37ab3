# Targets make their own environment: on a bare machine with Python 3.11-3.13 and make, each of these is the whole instruction.
SUPPORTED = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
HASH := $(shell cat constraints.txt constraints-inspect.txt pyproject.toml | cksum | cut -d' ' -f1)
STAMP = $(VENV)/.installed-$(HASH)
DOCS_STAMP = $(VENV)/.docs-$(HASH)
UNSLOTH_VENV ?= .venv-unsloth
UNSLOTH_STAMP = $(UNSLOTH_VENV)/.installed-$(HASH)
INSTALL = -m pip install --quiet --disable-pip-version-check -c constraints.txt
# pip byte-compiles one module after the other, which takes longer than all else; some packages hold files of another Python
COMPILE = -m compileall -q -j 0 $(VENV)/lib selene_lib >/dev/null 2>&1 || true
SITE = -c "import sysconfig; print(sysconfig.get_path('purelib'))"
PYTEST = $(VENV)/bin/python -m pytest
SIDE_BY_SIDE = -n auto --dist loadfile --no-loadscope-reorder
RUN ?= nano
DATA ?=

# extras whose tests have an environment of their own, with their packages and no others
OWN = core pytest serve inspect hub scale
VENVS ?= .venv-
INSTALLED = .installed-$(HASH)

.PHONY: reproduce test test-fast test-long test-faults test-unsloth test-tracking test-integrations check docs docs-environment test-docs bench clean $(OWN:%=test-%)
reproduce: $(STAMP)
	$(VENV)/bin/selene reproduce --run $(RUN) $(if $(DATA),--data-dir $(DATA))

test: $(STAMP)
	$(PYTEST) $(SIDE_BY_SIDE) -m 'not faults and not long'

# all but what is marked slow: under a minute on two cores
test-fast: $(STAMP)
	$(PYTEST) $(SIDE_BY_SIDE) -m 'not slow and not faults and not long'

# what takes most of the time and breaks least, and what a browser shows
test-long: $(STAMP)
	$(PYTEST) $(SIDE_BY_SIDE) -m long

# kills at random points of the chain, of publication and of a training: an hour; a small part of it is in `test`
test-faults: $(STAMP)
	$(VENV)/bin/python tests/faults/kills.py
	$(PYTEST) -m faults tests/faults tests/test_smoke_chain.py -s

# Unsloth's own code against ours, without a GPU: some 200 MB to download where torch came without Triton, 0.9 GB on disk
test-unsloth: $(UNSLOTH_STAMP)
	$(UNSLOTH_VENV)/bin/python -m pytest tests/test_unsloth.py

# each integration against the real package: make test-serve, test-inspect, test-pytest, test-hub, test-scale; test-core is the
# wheel alone, without torch
test-core: $(VENVS)core/$(INSTALLED)
	$(VENVS)core/bin/python -m pytest tests/test_core.py

test-pytest: $(VENVS)pytest/$(INSTALLED)
	$(VENVS)pytest/bin/python -m pytest tests/test_pytest.py

test-serve: $(VENVS)serve/$(INSTALLED)
	$(VENVS)serve/bin/python -m pytest tests/test_serve.py

test-inspect: $(VENVS)inspect/$(INSTALLED)
	$(VENVS)inspect/bin/python -m pytest tests/test_inspect.py

test-hub: $(VENVS)hub/$(INSTALLED)
	$(VENVS)hub/bin/python -m pytest tests/test_hub.py

test-scale: $(VENVS)scale/$(INSTALLED)
	$(VENVS)scale/bin/python -m pytest tests/test_scale.py

# TensorBoard laid over $(VENV), whose torch it needs
test-tracking: $(VENVS)tracking/$(INSTALLED)
	$(VENVS)tracking/bin/python -m pytest tests/test_tracking.py

test-integrations: $(OWN:%=test-%) test-tracking

check: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PYTEST) tests/test_docs.py tests/test_house.py tests/test_notebooks.py

docs-environment: $(DOCS_STAMP)

docs: $(DOCS_STAMP)
	$(VENV)/bin/python -m sphinx --quiet --fail-on-warning --keep-going docs docs/_build
	@echo "docs/_build/index.html"

# the pages as a reader sees them; needs Chromium
test-docs: docs
	$(PYTEST) tests/test_docs_browser.py

bench: $(STAMP)
	$(VENV)/bin/python bench/train_step.py
	$(VENV)/bin/python bench/judge.py
	$(VENV)/bin/python bench/corpus.py
	$(VENV)/bin/python bench/arena.py

$(STAMP):
	@test -n "$(PYTHON)" || { echo "no Python 3.11, 3.12 or 3.13 here; install one, or give it: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python $(INSTALL) --no-compile -e '.[dev]'
	$(VENV)/bin/python $(COMPILE)
	rm -f $(VENV)/.installed-*
	touch $@

$(DOCS_STAMP): $(STAMP)
	$(VENV)/bin/python $(INSTALL) -e '.[docs]'
	rm -f $(VENV)/.docs-*
	touch $@

# laid over $(VENV) and without its other dependencies: torchvision would break transformers beside a CPU build of torch
$(UNSLOTH_STAMP): $(STAMP)
	$(VENV)/bin/python -m venv $(UNSLOTH_VENV)
	$(VENV)/bin/python $(SITE) > "$$($(UNSLOTH_VENV)/bin/python $(SITE))/beneath.pth"
	$(UNSLOTH_VENV)/bin/python $(INSTALL) --no-deps unsloth unsloth_zoo triton
	rm -f $(UNSLOTH_VENV)/.installed-*
	touch $@

$(VENVS)core/$(INSTALLED):
	$(PYTHON) -m venv $(VENVS)core
	$(VENVS)core/bin/python $(INSTALL) . pytest
	rm -f $(VENVS)core/.installed-*
	touch $@

$(VENVS)tracking/$(INSTALLED): $(STAMP)
	$(PYTHON) -m venv $(VENVS)tracking
	$(VENV)/bin/python $(SITE) > "$$($(VENVS)tracking/bin/python $(SITE))/beneath.pth"
	$(VENVS)tracking/bin/python $(INSTALL) tensorboard
	rm -f $(VENVS)tracking/.installed-*
	touch $@

# Inspect needs an older python-dateutil than the others do
$(VENVS)inspect/$(INSTALLED):
	$(PYTHON) -m venv $(VENVS)inspect
	$(VENVS)inspect/bin/python $(subst constraints.txt,constraints-inspect.txt,$(INSTALL)) -e '.[inspect]' pytest
	rm -f $(VENVS)inspect/.installed-*
	touch $@

$(VENVS)%/$(INSTALLED):
	$(PYTHON) -m venv $(VENVS)$*
	$(VENVS)$*/bin/python $(INSTALL) -e '.[$*]' pytest
	rm -f $(VENVS)$*/.installed-*
	touch $@

clean:
	rm -rf $(VENV) $(UNSLOTH_VENV) $(OWN:%=$(VENVS)%) $(VENVS)tracking artefacts docs/_build docs/_api .mypy_cache .pytest_cache .ruff_cache build *.egg-info
