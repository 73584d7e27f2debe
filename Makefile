# Everything a newcomer needs: `make demo` and `make test` set themselves up in .venv.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# The interpreter may be given: make demo PYTHON=/usr/bin/python3.12
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $$p && break; done)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# rclpy turns SIGTERM into an orderly shutdown, so a hung test run ends by SIGKILL only.
TIMEOUT := timeout -s KILL

.PHONY: demo test test-slow test-gpu bench-gpu lint bench-check clean experiment experiment-smoke

demo: $(VENV)/.run
	$(BIN)/fsmde demo $(ARGS)

test: lint
	$(TIMEOUT) 3000 $(BIN)/python -m pytest test

test-slow: $(VENV)/.dev
	$(TIMEOUT) 5000 $(BIN)/python -m pytest test -m slow

# On a machine with an NVIDIA GPU, where pip's PyTorch is a CUDA build. See docs/gpu.md.
test-gpu: $(VENV)/.dev
	$(TIMEOUT) 1200 $(BIN)/python -m pytest test -m gpu -rs

bench-gpu: $(VENV)/.dev
	$(BIN)/python -m fsmde_ros.cli.benchmarks.gpu $(ARGS)

# Style, sentences, types, and the rules of the house: sizes of folders, names, the direction of imports.
lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python test/lint/house_rules.py
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

# Fails when a stage or the student has become slower than the committed ratios allow; a minute on an idle machine.
bench-check: $(VENV)/.dev
	$(BIN)/python -m fsmde_ros.cli.benchmarks.regression docs/benchmarks/ratios.json

# Trains and compares all students; goes on where it was stopped. See docs/experiments.md.
experiment: $(VENV)/.dev
	$(BIN)/python -m fsmde_training.experiment --config training/configs/experiment/full.yaml $(ARGS)

experiment-smoke: $(VENV)/.dev
	$(BIN)/python -m fsmde_training.experiment --config training/configs/experiment/smoke.yaml $(ARGS)

clean:
	rm -rf $(VENV) build install log out *.egg-info

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 was not found; install it or give one: make demo PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "No virtual environment could be made; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

# Run time: node, engines, command line. No torch.
$(VENV)/.run: setup.py constraints.txt | $(BIN)/python
	@echo "Setting up the run time in $(VENV) (once)"
	$(PIP_INSTALL) -e ".[ros]"
	@touch $@

# Tests, training and the Rerun viewer as well. torch is named in the same command as everything that needs it: PyPI's default is a CUDA build.
$(VENV)/.dev: $(VENV)/.run test/support/tensorrt_bindings.txt
	@echo "Adding training and test tools to $(VENV) (once)"
	$(PIP_INSTALL) -e ".[ros,train,view,dev]"
	@for wheel in $$(cat test/support/tensorrt_bindings.txt); do $(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps \
		--dest $(VENV)/tensorrt-bindings $$wheel || echo "$$wheel was not found; the tests of TensorRT will be skipped"; done
	@touch $@
