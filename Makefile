# The two commands are `make test` and `make demo`; `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# stages of dvc.yaml call `cortex`, so the environment has to be first on the PATH
export PATH := $(abspath $(BIN)):$(PATH)
export DAGSTER_HOME := $(CURDIR)/.dagster
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM := false
export DVC_NO_ANALYTICS := 1
# compiled modules are kept even where the environment says otherwise (images of containers often do): hundreds of
# processes would each compile 3,000 modules, six seconds of a core
export PYTHONDONTWRITEBYTECODE :=
# more options of pytest for `make attack`: `-k kills`, `--stepwise` to go on after one that broke through
ATTACK ?=
# where `make sbom` writes to, and more options of cyclonedx-py
SBOM ?= .cortex/sbom.json
SBOM_OPTIONS ?=
# how many steps the property test of the spine takes
STEPS ?= 50
# the project whose adapter `make demo` trains: this repository, which no base model has seen and whose
# answers its reader can judge; then what is made of all projects
PROJECT ?= cortex
DATA := repository_files repository_commits line_times compliance code_units refactoring_pairs architecture_facts \
	code_graph annotated_units search_documents code_embeddings augmented_units unit_splits \
	completion_dataset refactoring_dataset naming_dataset architecture_dataset \
	documentation_dataset tests_dataset general_code

.PHONY: help install install-locked lock test lint unit coverage attack audit sbom demo demo-full summary docs ui serve bench bench-compare clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(BIN)/.installed ## the environment, pinned, in .venv

# `make demo` installs what it runs, the rest of the targets the tools of development as well
$(BIN)/.installed: pyproject.toml constraints.txt requirements.lock | $(BIN)/pip
	$(BIN)/python .ci/install.py dev docs
	touch $(BIN)/.runs $@

$(BIN)/.runs: pyproject.toml constraints.txt requirements.lock | $(BIN)/pip
	$(BIN)/python .ci/install.py demo
	touch $@

# asked before there is an environment: the next `make` would keep that of the wrong version
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else \
		"$(PYTHON) is Python %d.%d; choose 3.11, 3.12 or 3.13, as in: make demo PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)

install-locked: | $(BIN)/pip ## the same environment, each file checked against its hash
	$(BIN)/python .ci/install.py --locked
	touch $(BIN)/.runs $(BIN)/.installed

lock: install ## the hashes anew, after pyproject.toml or constraints.txt changed
	$(BIN)/python .ci/lock.py

lint: install ## style, types, security, secrets, and the borders between rooms
	ruff check .
	ruff format --check .
	mypy
	bandit -q -r cortex_pipelines -c pyproject.toml
	lint-imports
	cortex dvc-yaml --check
	cortex dictionary --check
	python .ci/leaks.py
	# in seconds what `make demo` would end with
	python .ci/promise.py --inputs
	# offline: both carry what they check against
	zizmor --offline --persona pedantic --quiet --no-progress .github action.yml
	check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	check-jsonschema --quiet --builtin-schema vendor.github-actions action.yml
	check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	check-jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml
	pre-commit validate-manifest .pre-commit-hooks.yaml
	hadolint Containerfile

# One thread a worker: two workers, and the processes that they start, have two cores to share, and
# threads that wait for each other would spin. Other libraries' warnings go nowhere: the last lines
# name what failed.
unit: install ## all tests
	OMP_NUM_THREADS=1 CORTEX_PROPERTY_STEPS=$(STEPS) pytest -n 2 --dist worksteal --disable-warnings $(COVERAGE)

# to be traced makes the tests about twice as slow, so it is no part of `make test`
coverage: COVERAGE := -m "not attack" --cov=cortex_pipelines --cov-report=html:.cortex/coverage --cov-fail-under=95
coverage: unit ## all tests, the long ones too, and which lines none of them runs (.cortex/coverage/index.html)

test: install ## everything that has to hold before a commit
	$(MAKE) --no-print-directory -j 2 lint docs
	$(MAKE) --no-print-directory unit

attack: install ## the long attacks, two hours (ATTACK='-k kills', ATTACK=--stepwise)
	pytest -m attack --durations=0 $(ATTACK) cortex_pipelines_tests/attacks

audit: install ## known vulnerabilities; AUDIT_DB=FILE takes them from a file (OSV), offline
	$(BIN)/python .ci/audit.py

sbom: install ## what the environment consists of, in CycloneDX, to .cortex/sbom.json
	mkdir -p $(dir $(SBOM))
	cyclonedx-py environment --pyproject pyproject.toml --output-reproducible $(SBOM_OPTIONS) \
		--output-file $(SBOM) $(BIN)/python

demo: $(BIN)/.runs ## the whole path on real code: all data sets, the router, one project's adapter
	cortex doctor
	cortex run $(DATA)
	cortex run --project $(PROJECT)
	cortex promote --why "make demo"
	cortex run --project $(PROJECT)
	$(MAKE) --no-print-directory summary

demo-full: $(BIN)/.runs ## the same with an adapter for every project
	cortex doctor
	cortex run
	cortex promote --why "make demo-full"
	cortex run
	$(MAKE) --no-print-directory summary

summary:
	@echo "Look around: make ui, then http://127.0.0.1:3000 (Dagster) and http://127.0.0.1:5000/#/?workflowType=machine_learning (MLflow)"
	cortex summary

# MLflow's own command starts three more processes, and eight for jobs of language models: 2.6 GB
ui: $(BIN)/.runs ## Dagster on port 3000 and MLflow on port 5000
	cortex sync
	MLFLOW_TRACKING_URI="$${MLFLOW_TRACKING_URI:-sqlite:///$(CURDIR)/.mlflow/mlflow.db}" \
		MLFLOW_DISABLE_TELEMETRY=true uvicorn mlflow.server.fastapi_app:app --log-level warning --port 5000 & \
	trap "kill $$!" EXIT INT TERM; dagster dev --port 3000

serve: $(BIN)/.runs ## what was promoted, on port 8008: OpenAI's form, editors, the task router
	cortex serve

docs: install ## the documentation site, in docs/_build; a broken link fails
	rm -rf .site && cp -pr docs .site && rm -rf .site/_build
	sphinx-build -q -W --keep-going -n -b html -c docs .site docs/_build

bench: install ## five quick measurements of what it costs; the slow ones with `python -m benchmarks --slow`
	$(BIN)/python -m benchmarks

bench-compare: install ## what got worse since the run stored in benchmarks/baseline; fails if anything did
	$(BIN)/python -m benchmarks --compared
	$(BIN)/python -m benchmarks.compare --tolerance 0.5

clean: ## forget all outputs, runs and caches; the sources stay
	rm -rf .cortex .mlflow .dvc/cache .dvc/tmp .dagster/storage .dagster/history .dagster/schedules
	find data -mindepth 1 -maxdepth 1 ! -name samples ! -name README.md ! -name .gitignore -exec rm -rf {} +
