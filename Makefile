# `make help` lists what there is. Every target uses .venv, which `make venv` makes.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(VENV)/.installed ## make .venv with the package, its tools and its locked dependencies
$(VENV)/.installed: pyproject.toml requirements/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements/dev.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@

.PHONY: lock
lock: venv ## pin the dependencies anew (requirements/*.txt)
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --allow-unsafe --output-file requirements/operator.txt pyproject.toml
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --allow-unsafe --extra dev --extra examples --output-file requirements/dev.txt pyproject.toml

.PHONY: format
format: venv ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: lint
lint: venv ## format check, lint, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

.PHONY: types
types: venv ## mypy --strict
	$(BIN)/mypy

.PHONY: unit
unit: venv ## the tests that take seconds
	$(BIN)/pytest tests/unit

.PHONY: simulation
simulation: venv ## twenty traces of every simulated kind against the promises of the judge: some minutes
	$(BIN)/pytest tests/simulation

.PHONY: crds
crds: venv ## generate crds/ from operator/modelslo/api
	$(BIN)/python -m modelslo.api.crd crds/modelslo.dev_modelslos.yaml

.PHONY: docs
docs: venv ## generate docs/api.md from operator/modelslo/api
	$(BIN)/python -m modelslo.api.docs docs/api.md

.PHONY: demo
demo: venv ## the main job end to end: four acts on a kind cluster (uses or makes the cluster)
	$(BIN)/python -m examples.flights.demo

.PHONY: integration
integration: venv ## tests on a bare control plane and a real Prometheus (CLUSTER=bare|kind|existing to choose)
	$(MAKE) --jobs=$(if $(CLUSTER),1,2) --output-sync=target integration-waiting integration-others

# They wait more than they work.
WAITING := $(addprefix tests/integration/,scenarios test_controller.py test_controller_lease.py)

.PHONY: integration-waiting
integration-waiting: venv
	$(BIN)/pytest $(WAITING) $(if $(CLUSTER),--cluster=$(CLUSTER))

.PHONY: integration-others
integration-others: venv
	$(BIN)/pytest tests/integration $(addprefix --ignore=,$(WAITING)) $(if $(CLUSTER),--cluster=$(CLUSTER))

.PHONY: e2e
e2e: venv ## tests with pods on the kind cluster, which is brought up and left up
	$(BIN)/pytest tests/e2e $(if $(CLUSTER),--cluster=$(CLUSTER))

.PHONY: bench
bench: venv ## 100 and 500 ModelSLOs, and 500 of which nothing changes, on a bare control plane and a real Prometheus: one table (about 25 minutes)
	$(BIN)/python -m tests.bench

.PHONY: test
test: venv ## everything: lint, types, unit, simulation, integration, e2e; what waits beside what works
	$(BIN)/python -m tests.cluster warm
	$(MAKE) --jobs=2 --output-sync=target test-working test-waiting

.PHONY: test-working
test-working: venv
	$(MAKE) lint
	$(MAKE) types
	$(MAKE) unit
	$(MAKE) simulation
	$(MAKE) integration-others

.PHONY: test-waiting
test-waiting: venv
	$(MAKE) integration-waiting
	$(MAKE) e2e

.PHONY: cluster-up
cluster-up: venv ## bring the kind cluster up (installs and builds what is missing), print its kubeconfig
	$(BIN)/python -m tests.cluster up

.PHONY: cluster-down
cluster-down: venv ## delete the kind cluster; the cache stays
	$(BIN)/python -m tests.cluster down

.PHONY: cluster-load
cluster-load: venv ## build the images and load them into the kind cluster (IMAGES="operator flights" to choose)
	$(BIN)/python -m tests.cluster load $(IMAGES)

.PHONY: cluster-shell
cluster-shell: venv ## a shell with kubectl for the kind cluster
	$(BIN)/python -m tests.cluster shell
