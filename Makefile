# make demo        one base model, plain GRPO and divrl from it, a table and a page of pictures (about 4 minutes)
# make test        lint, types, layers, and the whole test suite
# make demo-seeds  the same comparison over seeds, with controls and intervals (about an hour; resumable)
# make benchmark   step times side by side with TRL

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint demo-seeds benchmark

demo: .venv/.run
	$(BIN)/divrl train recipes/lab/plain.yaml --resume
	$(BIN)/divrl train recipes/lab/quickstart.yaml --resume
	$(BIN)/divrl report runs/plain runs/quickstart --output runs/demo

test: .venv/.test lint
	$(BIN)/python -m pytest

lint: .venv/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

demo-seeds: .venv/.run
	$(BIN)/python benchmarks/seeds.py

benchmark: .venv/.run
	$(BIN)/python benchmarks/step.py

.venv/.run: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) -e .
	touch $@

.venv/.test: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) -e ".[dev,gym,gemma]"
	touch $@ .venv/.run
