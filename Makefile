# Everything one does with a checkout. `make` alone lists it.
.DEFAULT_GOAL := help
.PHONY: help up down reset ps logs test fuzz faults check format lock lock-check verify replay-sample replay-amlsim schemas bootstrap bootstrap-dev
MAKEFLAGS += --no-print-directory

SHELL := /bin/sh
PYTHON := .venv/bin/python
REMIT := .venv/bin/remit
LOCAL := $(PYTHON) -m deploy.local

# Options of a target: S=transfer (logs), T=tests/unit (test), N=60 (fuzz), DIR=folder (replay-amlsim).
T ?=
N ?= 60
LOCK := pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-config --quiet --extra build

help: ## List the targets
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do \
		printf '  make %-15s %s\n' "$$name" "$$text"; done

up: bootstrap ## Start everything and prove it by a first transfer; REMIT_* settings are passed on
	@$(LOCAL) up

down: bootstrap ## Stop everything; the data stay
	@$(LOCAL) down

reset: bootstrap ## Stop everything and remove all data
	@$(LOCAL) reset

ps: bootstrap ## Show every part: process, state, ports
	@$(LOCAL) ps

logs: bootstrap ## Show the end of each log; S=transfer follows one
	@$(LOCAL) logs $(S)

test: bootstrap-dev ## Run the tests on servers of their own; T=tests/unit runs a part
	@$(PYTHON) -m pytest $(T)

faults: bootstrap-dev ## Take parts away from a working Remit: a bounded campaign on a stack of its own
	@$(PYTHON) -m pytest tests/faults

fuzz: bootstrap-dev ## Try the API with random requests, at least 5,000; N=200 tries more
	@REMIT_FUZZ_EXAMPLES=$(N) $(PYTHON) -m pytest tests/e2e/test_schema.py -o timeout=3600

check: bootstrap-dev ## Run every check but the tests: style, types, layers, dependencies
	@set -e; for check in \
		'ruff check .' \
		'ruff format --check .' \
		'mypy' \
		'lint-imports' \
		'deptry .'; \
	do echo "check: $$check"; .venv/bin/$$check; done

format: bootstrap-dev ## Format the code
	@.venv/bin/ruff check --fix --quiet .
	@.venv/bin/ruff format .

verify: bootstrap ## Check the invariants of the whole book
	@$(REMIT) verify

replay-sample: up ## Replay the sample in samples/ and compare with its expected figures
	@$(REMIT) replay --accounts samples/accounts.csv --transfers samples/transfers.csv --expect samples/expected.json

replay-amlsim: ## Replay a published bank simulation with user limits off; DIR=folder with nodes.csv, transactions.csv
	@test -f "$(DIR)/nodes.csv" && test -f "$(DIR)/transactions.csv" || \
		{ echo "usage: make replay-amlsim DIR=folder with nodes.csv and transactions.csv" >&2; exit 2; }
	@$(MAKE) up REMIT_FRAUD_MIN_AMOUNT=off REMIT_FRAUD_MAX_AMOUNT=off REMIT_FRAUD_MAX_DAILY_AMOUNT=off \
		REMIT_FRAUD_MAX_HOURLY_COUNT=off REMIT_FRAUD_MAX_DAILY_COUNT=off
	@$(REMIT) replay --accounts "$(DIR)/nodes.csv" --transfers "$(DIR)/transactions.csv" --map amlsim

schemas: bootstrap-dev ## Export the JSON Schemas of the messages; a test compares them with the code
	@$(PYTHON) -m shared.contracts.export

lock: bootstrap-dev ## Resolve the requirements anew, with hashes, for Python 3.11 and up
	@.venv/bin/uv $(LOCK) pyproject.toml -o requirements/run.txt >/dev/null
	@.venv/bin/uv $(LOCK) --extra dev pyproject.toml -o requirements/dev.txt >/dev/null
	@$(MAKE) lock-check

lock-check: bootstrap-dev ## See that wheels of all requirements exist for Python 3.11 and 3.13, and that no host is named
	@sh deploy/lock-check

bootstrap:
	@sh deploy/bootstrap run

bootstrap-dev:
	@sh deploy/bootstrap dev
