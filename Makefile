# The project's entry points; `make help` lists them.
#
# VENV=DIR     the virtual environment to use. One that is there already is kept: only what it
#              lacks is installed, within the ranges of setup.py. Default .venv
# PYTHON=EXE   the Python that creates the environment, 3.11 or newer. Default python3
# DETECTRON2=  wheel: keep an installed Detectron2, else build v0.6 without C++ (default)
#              git: build upstream's main branch (needs git and a C++ compiler)
# UPSTREAM=URL the repository that DETECTRON2=git builds, as pip names it
#              Both choices are remembered in the environment.
# VIDEO=file   what `make try` searches, or PHOTOS=folder. Default: the video of Debian's opencv-doc

PYTHON ?= python3
VENV ?= .venv
STAMPS = $(VENV)/.fully-decoupled-ps
# What the environment's Detectron2 was chosen to be, as "wheel" or "git URL"; empty before the first
# setup.
CHOSEN := $(shell cat $(STAMPS)/detectron2 2>/dev/null)
DETECTRON2 ?= $(or $(firstword $(CHOSEN)),wheel)
UPSTREAM ?= $(or $(word 2,$(CHOSEN)),git+https://github.com/facebookresearch/detectron2.git)
CHOICE = $(DETECTRON2) $(if $(filter git,$(DETECTRON2)),$(UPSTREAM))

ifeq ($(filter $(DETECTRON2),wheel git),)
$(error DETECTRON2=$(DETECTRON2) is not known; use DETECTRON2=wheel or DETECTRON2=git)
endif

PROJECT := projects/FullyDecoupledPS
RUN = $(VENV)/bin/python
PIP = $(RUN) -m pip --disable-pip-version-check
REQUIREMENTS = $(RUN) $(PROJECT)/tools/list_requirements.py

# fvcore compiles its losses with torch.jit when it is imported; current PyTorch warns of that.
export PYTHONWARNINGS := ignore::FutureWarning:torch.jit._script

.DELETE_ON_ERROR:
.PHONY: help setup try demo test ablation bench lint clean env-main env-oldest FORCE
.DEFAULT_GOAL := help

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile
	@sed -n 's/^# *\([A-Z0-9]*=.*\)/  \1/p; s/^#  \{8,\}\(.*\)/               \1/p' Makefile

setup: $(STAMPS)/detectron2 $(STAMPS)/project  ## Make the environment ready

# A stranger's first look: what is asked for is there, or it is told before anything is installed.
VTEST ?= /usr/share/doc/opencv-doc/examples/data/vtest.avi
TRY = $(or $(VIDEO),$(PHOTOS),$(VTEST))
SEARCH = $(RUN) -m person_search.cli.main

try:  ## Find people in VIDEO=file or PHOTOS=folder, with a ready network, on a page
	@test -e "$(TRY)" || { echo "[try] There is no $(TRY). Name one: make try VIDEO=file, or" \
	  "PHOTOS=folder; or get Debian's: apt install opencv-doc"; exit 1; }
	@$(MAKE) --no-print-directory setup
	@echo "[try] Detecting people in $(TRY); the index is output/try"
	@$(SEARCH) index "$(TRY)" --index output/try || [ $$? -eq 1 ]
	@$(SEARCH) serve --index output/try --open

demo: setup  ## Train, search and score on a synthetic benchmark, and draw the report
	@$(RUN) $(PROJECT)/tools/demo.py

ablation: setup  ## Compare the training modes on the synthetic benchmark: many hours
	@$(RUN) $(PROJECT)/tools/ablation.py

bench: setup  ## Time inference, training, evaluation and start: about an hour on a CPU
	@$(RUN) $(PROJECT)/tools/benchmark.py inference --autocast auto --output output/benchmark_inference.json
	@$(RUN) $(PROJECT)/tools/benchmark.py training --output output/benchmark_training.json --opts SOLVER.AMP.ENABLED False
	@$(RUN) $(PROJECT)/tools/benchmark_evaluation.py --output output/benchmark_evaluation.json
	@$(RUN) $(PROJECT)/tools/benchmark_dataset.py --output output/benchmark_dataset.json

# A file's tests share what they start, such as a trained network or a browser.
test: setup  ## Run the tests, two files at a time
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q --durations=10 -n 2 --dist loadfile

lint: $(STAMPS)/packages  ## Check style and formatting with ruff
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

clean:  ## Remove the demo's output and all caches; the environment and other output stay
	rm -rf output/demo build dist .pytest_cache .ruff_cache .hypothesis $(PROJECT)/*.egg-info
	find . -path './.venv*' -prune -o -name __pycache__ -type d -exec rm -rf {} +

env-main:  ## Make .venv-main, with Detectron2's main branch: make test VENV=.venv-main
	@$(MAKE) setup VENV=.venv-main DETECTRON2=git

# Not "created-here", so that `make test` keeps what setup.py's ranges allow. Detectron2's own
# requirements are resolved together with ours: the newest of them don't fit our oldest. Without the
# extra "label", which needs NumPy 2: its tests are skipped.
env-oldest: VENV = .venv-oldest
env-oldest: UV = $(VENV)/bin/uv pip install --quiet --python $(RUN) --resolution lowest-direct
env-oldest:  ## Make .venv-oldest, with the oldest releases allowed: make test VENV=.venv-oldest
	@rm -rf $(VENV) && $(PYTHON) -m venv $(VENV) && mkdir -p $(STAMPS)
	@echo "[setup] Installing the oldest releases that setup.py allows: several minutes, 6 GB"
	@$(PIP) install --quiet uv
	@$(UV) --editable ".[dev]"
	@$(RUN) $(PROJECT)/tools/build_detectron2.py --wheel-dir $(STAMPS)
	@$(UV) --editable ".[dev]" $(STAMPS)/detectron2-*.whl
	@touch $(STAMPS)/packages $(STAMPS)/project && echo wheel > $(STAMPS)/detectron2

$(RUN):
	@echo "[setup] Creating the virtual environment $(VENV)"
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
	  { echo "[setup] $(PYTHON) is older than 3.11 or missing; use PYTHON=/path/to/python3.11"; exit 1; }
	@mkdir -p $(STAMPS) && touch $(STAMPS)/created-here
	@$(PYTHON) -m venv $(VENV) || { rm -f $@; exit 1; }

$(STAMPS)/packages: requirements.txt requirements-no-deps.txt setup.py | $(RUN)
	@mkdir -p $(STAMPS)
	@if [ -e $(STAMPS)/created-here ]; then \
	  echo "[setup] Installing torch and torchvision: several minutes, 5 GB on disk" && \
	  $(PIP) install --quiet --constraint requirements.txt torch torchvision && \
	  echo "[setup] Installing the rest of requirements.txt" && \
	  $(PIP) install --quiet --requirement requirements.txt && \
	  $(PIP) install --quiet --no-deps --requirement requirements-no-deps.txt; \
	else \
	  echo "[setup] Installing what $(VENV) lacks of setup.py's requirements" && \
	  $(PIP) install --quiet packaging && $(PIP) install --quiet --no-deps --editable . && \
	  $(REQUIREMENTS) --extra dev --extra label > $(STAMPS)/requirements.txt && \
	  $(PIP) install --quiet --requirement $(STAMPS)/requirements.txt && \
	  $(REQUIREMENTS) --extra label --no-deps > $(STAMPS)/no-deps.txt && \
	  $(PIP) install --quiet --no-deps --requirement $(STAMPS)/no-deps.txt; \
	fi
	@$(REQUIREMENTS) --say-opencv
	@touch $@

# The stamp holds what is installed. Another choice replaces it once it is built; what fails leaves
# the old one and its stamp. Pins are for environments that were made here alone.
BUILD = $(RUN) $(PROJECT)/tools/build_detectron2.py \
  $(if $(wildcard $(STAMPS)/created-here),--constraint requirements.txt)
$(STAMPS)/detectron2: $(PROJECT)/tools/build_detectron2.py $(if $(filter-out $(CHOSEN),$(CHOICE)),FORCE) | $(STAMPS)/packages
ifeq ($(DETECTRON2),git)
	@echo "[setup] Building Detectron2's main branch from $(UPSTREAM): minutes"
	@$(BUILD) --from-git "$(UPSTREAM)"
else
	@echo "[setup] Looking for Detectron2; if there is none, building v0.6 as a pure-Python wheel"
	@$(BUILD) $(if $(filter git,$(CHOSEN)),,--keep-installed)
endif
	@echo $(CHOICE) > $@

$(STAMPS)/project: setup.py | $(STAMPS)/packages
	@echo "[setup] Installing this project, editable"
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
