# Every verb makes its own environment in $(VENV) when that is absent.
#   make map       the main job: a map of 436 bundled names on the embedded model, offline once its
#                  environment is installed
#   make test      the whole test suite (no accelerator, no web), JOBS=2 processes
#   make oldest    the fast tests on the oldest dependencies that pyproject.toml declares
#   make lint      style, types and spelling
#   make docs      the site, docs/_build/index.html: runs the examples, warnings are errors
#   make notebooks  runs the notebooks in examples/ in place
#   make figures  the tables and pictures of the docs that depend on the embedded model's weights, for
#                 two hours, or MINUTES=40; SCORES=folder of human scores, JOBS=2 commands at a time, ONLY=text of
#                 the commands to run, e.g. ONLY=pictures for those of docs/explained.md
#   make bench     the benchmarks; on a machine with a GPU also: python benchmarks/gpu.py
#   make faults    kills, races, flipped bits and full disks, for about half an hour
#   make install   the environment for developers, and nothing else
#
# TORCH=torch takes the newest PyTorch instead of the one that the tests run on. On Linux PyPI's
# wheels carry CUDA (several GB); for a CPU-only build add PyTorch's CPU index:
#   make test TORCH="torch==2.13.0 --index-url <PyTorch's CPU wheel index>"

VENV   ?= .venv
PYTHON ?= python3
TORCH  ?= torch==2.13.0
JOBS   ?= 2
BIN    := $(VENV)/bin
OLDEST := $(VENV)-oldest
BENCHES = $(filter-out benchmarks/_% benchmarks/gpu.py,$(wildcard benchmarks/*.py))

.PHONY: map install test oldest lint docs notebooks figures bench faults clean

map: $(VENV)/.core
	$(BIN)/conjure map -o map.png

install: $(VENV)/.dev

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# What old releases say of newer ones that they meet here is not ours to fix.
oldest: $(OLDEST)/.done
	$(OLDEST)/bin/python -m pytest -m "not slow and not gpu and not network" -W ignore::DeprecationWarning

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

docs: $(VENV)/.dev
	rm -rf docs/reference docs/_build
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build

notebooks: $(VENV)/.dev
	$(BIN)/python docs/run_notebooks.py

figures: $(VENV)/.dev
	$(BIN)/python docs/figures.py --jobs $(JOBS) $(if $(SCORES),--scores "$(SCORES)") $(if $(MINUTES),--minutes $(MINUTES)) $(if $(ONLY),--only "$(ONLY)")

bench: $(VENV)/.core
	@test -n "$(BENCHES)" || { echo "there are no benchmarks"; exit 1; }
	for script in $(BENCHES); do $(BIN)/python "$$script" || exit 1; done

faults: $(VENV)/.dev
	PYTHONPATH=tests/shared $(BIN)/python tests/faults/long.py

clean:
	rm -rf $(VENV) $(OLDEST) build dist docs/_build docs/gallery docs/reference map.png .pytest_cache .ruff_cache .mypy_cache

# What is ready is installed again only where pyproject.toml says something else than it did then,
# whatever its time stamp.
$(VENV)/.pyproject: FORCE
	@mkdir -p $(VENV)
	@cmp -s pyproject.toml $@ || cp pyproject.toml $@

FORCE:

$(VENV)/.core: $(VENV)/.pyproject
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(TORCH)
	$(BIN)/pip install -e .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/pip install -e ".[dev]"
	touch $@

# "name>=version" in pyproject.toml becomes name==version. torch is as in the other environment:
# wheels of its oldest release carry CUDA.
$(OLDEST)/.done: pyproject.toml
	$(PYTHON) -m venv $(OLDEST)
	grep -oE '"[a-z-]+>=[0-9.]+"' pyproject.toml | tr -d '"' | sed 's/>=/==/; /^torch==/d' > $(OLDEST)/oldest.txt
	$(OLDEST)/bin/pip install $(TORCH)
	$(OLDEST)/bin/pip install -c $(OLDEST)/oldest.txt -e ".[test]"
	touch $@
