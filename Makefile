# Doorward for those who run it from its sources and those who work on it. `make` lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
PYTEST := $(BIN)/pytest -n 2

.PHONY: help serve demo setup test fast check fix messages bench faults evidence lock tools

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: setup ## Start Doorward on http://localhost:8000 (ARGS="--port 8001" and so on)
	@exec $(BIN)/doorward serve $(ARGS)

demo: ## Start the fitness example: Doorward, a Flask API and a front end, on three origins (ARGS="--port 8100")
	@scripts/setup runtime
	@scripts/setup demo
	@PYTHONPATH=examples/fitness exec $(BIN)/python -m fitness.demo $(ARGS)

setup: ## Build .venv from the hash-locked list
	@scripts/setup runtime

test: tools ## Run every test; YES=1 (as root) installs what they need from Debian
	@scripts/debian-packages test
	@scripts/test-tools
	@$(PYTEST) $(ARGS)

fast: tools ## Rules, rooms and the house's own rules, on SQLite: under a minute
	@$(PYTEST) tests/house tests/rules tests/rooms tests/spec -m "not slow and not browser" -k "not postgresql" $(ARGS)

check: tools ## Lint (all rules), types and the order of imports
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fix: tools ## Let the linter and the formatter mend what they can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

messages: tools ## Bring the translations up to date with the sources and say what is missing
	@$(BIN)/python scripts/messages.py extract
	@$(BIN)/python scripts/messages.py compile
	@$(BIN)/python scripts/messages.py check

bench: tools ## Speed, as ratios within one run
	@scripts/debian-packages bench
	@$(BIN)/python -m bench $(ARGS)

faults: tools ## Kill the server in the middle of its work, 200 times
	@scripts/debian-packages test
	@$(BIN)/pytest -m slow -k "kill" --rounds 200 -o faulthandler_timeout=3600 $(ARGS)

evidence: tools ## Which tests answer which requirement of OWASP ASVS 5.0
	@$(BIN)/python scripts/evidence.py

lock: tools ## Resolve the dependencies anew and write requirements/*.lock (ARGS=--upgrade for the newest)
	@scripts/lock $(ARGS)

tools: setup
	@scripts/setup dev
