# Every verb makes its own environment in $(VENV) when that is absent.
#   make map       the main job: a map of the bundled prompts, offline, on the embedded model
#   make test      the whole test suite (no accelerator, no web)
#   make lint      style and types
#   make docs      the site, docs/_build/index.html: runs the examples, warnings are errors
#   make notebooks  runs the notebooks in examples/ in place
#   make pictures  draws those of docs/explained.md anew
#   make bench     the benchmarks; on a machine with a GPU also: python benchmarks/gpu.py
#   make install   the environment for developers, and nothing else
#
# TORCH=torch takes the newest PyTorch instead of the one that the tests run on. On Linux PyPI's
# wheels carry CUDA (several GB); for a CPU-only build add PyTorch's CPU index:
#   make test TORCH="torch==2.13.0 --index-url <PyTorch's CPU wheel index>"

VENV   ?= .venv
PYTHON ?= python3
TORCH  ?= torch==2.13.0
BIN    := $(VENV)/bin
BENCHES = $(filter-out benchmarks/_% benchmarks/gpu.py,$(wildcard benchmarks/*.py))

.PHONY: map install test lint docs notebooks pictures bench clean

map: $(VENV)/.core
	$(BIN)/conjure map -o map.png

install: $(VENV)/.dev

test: $(VENV)/.dev
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.dev
	rm -rf docs/reference docs/_build
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build

notebooks: $(VENV)/.dev
	$(BIN)/python docs/run_notebooks.py

pictures: $(VENV)/.core
	$(BIN)/python docs/pictures.py

bench: $(VENV)/.core
	@test -n "$(BENCHES)" || { echo "there are no benchmarks"; exit 1; }
	for script in $(BENCHES); do $(BIN)/python "$$script" || exit 1; done

clean:
	rm -rf .venv build dist docs/_build docs/gallery docs/reference map.png .pytest_cache .ruff_cache .mypy_cache

$(VENV)/.core: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(TORCH)
	$(BIN)/pip install -e .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/pip install -e ".[dev]"
	touch $@
