# Targets make their own environment: on a bare machine with Python 3.11-3.13 and make, each of these is the whole instruction.
SUPPORTED = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
HASH := $(shell cat constraints.txt pyproject.toml | cksum | cut -d' ' -f1)
STAMP = $(VENV)/.installed-$(HASH)
DOCS_STAMP = $(VENV)/.docs-$(HASH)
UNSLOTH_VENV ?= .venv-unsloth
UNSLOTH_STAMP = $(UNSLOTH_VENV)/.installed-$(HASH)
# without --no-compile pip byte-compiles every module of every package, more than half of the time; Python compiles what it imports
INSTALL = -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
SITE = -c "import sysconfig; print(sysconfig.get_path('purelib'))"
PYTEST = $(VENV)/bin/python -m pytest
SIDE_BY_SIDE = -n auto --dist loadfile --no-loadscope-reorder
RUN ?= nano
DATA ?=

.PHONY: reproduce test test-fast test-faults test-unsloth check docs test-docs bench clean
reproduce: $(STAMP)
	$(VENV)/bin/selene reproduce --run $(RUN) $(if $(DATA),--data-dir $(DATA))

test: $(STAMP)
	$(PYTEST) $(SIDE_BY_SIDE) -m 'not faults'

# all but what is marked slow: under a minute on two cores
test-fast: $(STAMP)
	$(PYTEST) $(SIDE_BY_SIDE) -m 'not slow and not faults'

# kills at random points of the chain, of publication and of a training: an hour; a small part of it is in `test`
test-faults: $(STAMP)
	$(VENV)/bin/python tests/faults/kills.py
	$(PYTEST) -m faults tests/faults -s

# Unsloth's own code against ours, without a GPU: some 200 MB to download where torch came without Triton, 0.9 GB on disk
test-unsloth: $(UNSLOTH_STAMP)
	$(UNSLOTH_VENV)/bin/python -m pytest tests/test_unsloth.py

check: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PYTEST) tests/test_docs.py tests/test_house.py tests/test_notebooks.py

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
	$(VENV)/bin/python $(INSTALL) -e '.[dev]'
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

clean:
	rm -rf $(VENV) $(UNSLOTH_VENV) artefacts docs/_build docs/_api .mypy_cache .pytest_cache .ruff_cache build *.egg-info
