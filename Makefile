# Targets make their own environment: on a bare machine with Python 3.11-3.13 and make, each of these is the whole instruction.
PYTHON ?= python3
VENV ?= .venv
STAMP = $(VENV)/.installed-$(shell cat constraints.txt pyproject.toml | cksum | cut -d' ' -f1)
RUN ?= nano

.PHONY: reproduce test check bench clean
reproduce: $(STAMP)
	$(VENV)/bin/selene reproduce --run $(RUN)

test: $(STAMP)
	$(VENV)/bin/python -m pytest -n auto --dist loadfile

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

clean:
	rm -rf $(VENV) artefacts .pytest_cache .ruff_cache build *.egg-info
