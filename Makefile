# Targets make their own environment: on a bare machine with Python 3.11-3.13 and make, each of these is the whole instruction.
PYTHON ?= python3
VENV ?= .venv
STAMP = $(VENV)/.installed-$(shell cat constraints.txt pyproject.toml | cksum | cut -d' ' -f1)
UNSLOTH_VENV ?= .venv-unsloth
UNSLOTH_STAMP = $(UNSLOTH_VENV)/$(notdir $(STAMP))
SITE = -c "import sysconfig; print(sysconfig.get_path('purelib'))"
RUN ?= nano

.PHONY: reproduce test test-unsloth check bench clean
reproduce: $(STAMP)
	$(VENV)/bin/selene reproduce --run $(RUN)

test: $(STAMP)
	$(VENV)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

# Unsloth's own code against ours, without a GPU: some 200 MB to download where torch came without Triton, 0.9 GB on disk
test-unsloth: $(UNSLOTH_STAMP)
	$(UNSLOTH_VENV)/bin/python -m pytest tests/test_unsloth.py

check: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/python -m pytest tests/test_docs.py tests/test_notebooks.py

bench: $(STAMP)
	$(VENV)/bin/python bench/train_step.py
	$(VENV)/bin/python bench/judge.py
	$(VENV)/bin/python bench/corpus.py
	$(VENV)/bin/python bench/arena.py

$(STAMP):
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	rm -f $(VENV)/.installed-*
	touch $@

# laid over $(VENV) and without its other dependencies: torchvision would break transformers beside a CPU build of torch
$(UNSLOTH_STAMP): $(STAMP)
	$(VENV)/bin/python -m venv $(UNSLOTH_VENV)
	$(VENV)/bin/python $(SITE) > "$$($(UNSLOTH_VENV)/bin/python $(SITE))/beneath.pth"
	$(UNSLOTH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps unsloth unsloth_zoo triton
	rm -f $(UNSLOTH_VENV)/.installed-*
	touch $@

clean:
	rm -rf $(VENV) $(UNSLOTH_VENV) artefacts .pytest_cache .ruff_cache build *.egg-info
