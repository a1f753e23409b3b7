# Every tool is a target, and every target sets up what it needs: nothing but Python, git and make has to be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# uv from the PATH; where there is none, one of our own in .uv/.
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)

.DEFAULT_GOAL := help
.PHONY: help setup run bench bench-cuda test test-all test-cuda test-faults test-hard coverage mutate reproduce soak fuzz audit docs lint format clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## install everything into .venv, from uv.lock

run: $(READY)  ## meta-train on the embedded dialogues, adapt to those of a shop, and ask it (about a minute)
	$(BIN)/python examples/first_run/first_run.py

bench: $(READY)  ## measure the engines beside other libraries: small and medium, under 20 minutes on 2 cores
	$(BIN)/metadialog bench

bench-cuda: $(READY)  ## measure all that asks for a GPU, in under 8 minutes (it says so where there is none)
	$(BIN)/python experiments/cost_of_maml/on_cuda.py

test: $(READY)  ## run the tests, but for the slow ones
	$(BIN)/pytest -n auto --dist worksteal -m "not slow and not faults and not hard"

test-all: $(READY)  ## run all tests, the slow ones too (builds the wheel, installs it elsewhere)
	$(BIN)/pytest -n auto --dist worksteal

test-cuda: $(READY)  ## run the tests that compute on a GPU (the other targets skip them where there is none)
	$(BIN)/pytest -n auto --dist worksteal -m cuda

test-faults: $(READY)  ## kill real runs at random moments, and compare what comes of them (METADIALOG_FAULTS_SEED repeats)
	$(BIN)/pytest -m faults -s

test-hard: $(READY)  ## try every bad input of the corpus in tests/bad_inputs (`test` tries a sample)
	$(BIN)/pytest -n auto --dist worksteal -m hard

docs: $(READY)  ## build the site into site/, with every link checked; it needs no network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

fuzz: export FUZZ_SECONDS ?= 3600
fuzz: $(READY)  ## damage the inputs of all readers at random for an hour, or for FUZZ_SECONDS (`test` tries ten of each)
	$(BIN)/pytest tests/fuzz

mutate: export PACKAGE ?= statistics
mutate: export SAMPLE ?= 60
mutate: $(READY)  ## change the code of PACKAGE in SAMPLE places, and see which of the changes its tests notice
	$(UV) run --no-sync --with cosmic-ray python tests/mutation/mutate_program.py $(PACKAGE) --sample $(SAMPLE)

coverage: $(READY)  ## run the tests as `test` does, and show which lines and branches of src/ none of them goes through
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n auto --dist worksteal -m "not slow and not faults and not hard"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

reproduce: $(READY)  ## make the tables of studies that keep their records once more, and compare them byte by byte
	$(BIN)/python experiments/reproduce.py

soak: export SECONDS ?= 1800
soak: $(READY)  ## train, validate, log and evaluate in one process for half an hour, and see that its memory stays flat
	$(BIN)/python tests/soak/soak_program.py --seconds $(SECONDS)

audit: $(READY)  ## look for known holes (all that cannot be looked up is told), and write licences and a bill of materials (CycloneDX) to dist/
	mkdir -p dist
	$(UV) export --locked --no-emit-project --format requirements-txt --quiet --output-file dist/requirements.txt
	$(UV) tool run pip-licenses --python=$(BIN)/python --format=markdown --output-file=dist/licences.md
	$(UV) tool run --from cyclonedx-bom cyclonedx-py environment $(BIN)/python --output-file dist/sbom.json
	$(UV) tool run pip-audit --strict --requirement dist/requirements.txt --disable-pip --no-deps

lint: $(READY)  ## check style, types and imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## format the code, and mend what can be mended by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:  ## remove the environment and the caches; runs are kept
	rm -rf $(VENV) .uv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist site src/*.egg-info

# Compiled once, at set-up: otherwise the first start of everything takes a minute of its own.
# The stamp is newer than the lock once everything is installed, so that a second `make` starts at once.
$(READY): pyproject.toml uv.lock | $(UV)
	$(UV) sync --locked --compile-bytecode
	@touch $@

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet uv
