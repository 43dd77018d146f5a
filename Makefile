# The project's entry points; `make help` lists them.
#
# VENV=DIR     the virtual environment to use. One that is there already is kept: only what it
#              lacks is installed, within the ranges of setup.py. Default .venv
# PYTHON=EXE   the Python that creates the environment, 3.11 or newer. Default python3
# DETECTRON2=  wheel: keep an installed Detectron2, else build v0.6 without C++ (default)
#              git: install upstream's main branch (needs git and a C++ compiler)

PYTHON ?= python3
VENV ?= .venv
DETECTRON2 ?= wheel

ifeq ($(filter $(DETECTRON2),wheel git),)
$(error DETECTRON2=$(DETECTRON2) is not known; use DETECTRON2=wheel or DETECTRON2=git)
endif

PROJECT := projects/FullyDecoupledPS
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check
UPSTREAM := git+https://github.com/facebookresearch/detectron2.git
STAMPS := $(VENV)/.fully-decoupled-ps

# fvcore compiles its losses with torch.jit when it is imported; current PyTorch warns of that.
export PYTHONWARNINGS := ignore::FutureWarning:torch.jit._script

.DELETE_ON_ERROR:
.PHONY: help setup demo test ablation bench lint clean
.DEFAULT_GOAL := help

help:  ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile
	@sed -n 's/^# *\([A-Z0-9]*=.*\)/  \1/p; s/^#  \{8,\}\(.*\)/               \1/p' Makefile

setup: $(STAMPS)/detectron2-$(DETECTRON2) $(STAMPS)/project  ## Make the environment ready

demo: setup  ## Train, search and score on a synthetic benchmark, and draw the report
	@$(RUN) $(PROJECT)/tools/demo.py

ablation: setup  ## Compare the training modes on the synthetic benchmark: over two hours
	@$(RUN) $(PROJECT)/tools/ablation.py

bench: setup  ## Time inference, training, evaluation and start: about an hour on a CPU
	@$(RUN) $(PROJECT)/tools/benchmark.py inference --autocast auto --output output/benchmark_inference.json
	@$(RUN) $(PROJECT)/tools/benchmark.py training --output output/benchmark_training.json
	@$(RUN) $(PROJECT)/tools/benchmark_evaluation.py --output output/benchmark_evaluation.json
	@$(RUN) $(PROJECT)/tools/benchmark_dataset.py --output output/benchmark_dataset.json

test: setup  ## Run the tests
	OMP_NUM_THREADS=2 $(RUN) -m pytest -q --durations=10

lint: $(STAMPS)/packages  ## Check style and formatting with ruff
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

clean:  ## Remove the demo's output and all caches; the environment and other output stay
	rm -rf output/demo build dist .pytest_cache .ruff_cache .hypothesis $(PROJECT)/*.egg-info
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

$(RUN):
	@echo "[setup] Creating the virtual environment $(VENV)"
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
	  { echo "[setup] $(PYTHON) is older than 3.11 or missing; use PYTHON=/path/to/python3.11"; exit 1; }
	@mkdir -p $(STAMPS) && touch $(STAMPS)/created-here
	@$(PYTHON) -m venv $(VENV) || { rm -f $@; exit 1; }

$(STAMPS)/packages: requirements.txt setup.py | $(RUN)
	@mkdir -p $(STAMPS)
	@if [ -e $(STAMPS)/created-here ]; then \
	  echo "[setup] Installing torch and torchvision: several minutes, 5 GB on disk" && \
	  $(PIP) install --quiet --constraint requirements.txt torch torchvision && \
	  echo "[setup] Installing the rest of requirements.txt" && \
	  $(PIP) install --quiet --requirement requirements.txt; \
	else \
	  echo "[setup] Installing what $(VENV) lacks of setup.py's requirements"; \
	  $(PIP) install --quiet --editable ".[dev]"; \
	fi
	@touch $@

$(STAMPS)/detectron2-wheel: $(PROJECT)/tools/build_detectron2.py | $(STAMPS)/packages
	@echo "[setup] Looking for Detectron2; if there is none, building v0.6 as a pure-Python wheel"
	@$(RUN) $(PROJECT)/tools/build_detectron2.py --keep-installed
	@touch $@

$(STAMPS)/detectron2-git: | $(STAMPS)/packages
	@echo "[setup] Installing Detectron2's main branch from $(UPSTREAM)"
	@$(PIP) uninstall --quiet --yes detectron2
	@$(PIP) install --quiet --no-build-isolation "detectron2 @ $(UPSTREAM)"
	@touch $@

$(STAMPS)/project: setup.py | $(STAMPS)/packages
	@echo "[setup] Installing this project, editable"
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
