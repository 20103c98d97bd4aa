# Everything one does with a checkout. `make` alone lists it.
.DEFAULT_GOAL := help
.PHONY: help up down reset ps logs test test-console mutate fuzz faults restore upgrade cluster crash-sweep planted overload prove bench check format lock lock-check \
	verify smoke replay-sample replay-amlsim rules dashboards \
	schemas contracts breaking asyncapi sbom compose-up compose-down compose-reset compose-ps scale chart bootstrap bootstrap-dev
MAKEFLAGS += --no-print-directory

SHELL := /bin/sh
PYTHON := .venv/bin/python
REMIT := .venv/bin/remit
LOCAL := $(PYTHON) -m deploy.local

# Options of a target: S=transfer (logs), T=tests/unit (test), A='--only money' (mutate), N=60 (fuzz),
# DIR=folder (replay-amlsim), URL=http://… (smoke), SCALE="transfer=3 fraud=2" (compose-up).
T ?=
A ?=
N ?= 60
URL ?=
SCALE ?=
MINUTES ?= 5
SEED ?= 1
WORKS ?=
SECONDS ?= 20
INTO ?= bench-report
BASE ?= HEAD
SBOM ?= remit.cdx.json
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
	@$(PYTHON) -m tests.lanes $(T)

test-console: bootstrap-dev ## Try the console in Chromium, on a stack of its own; screenshots in console-screenshots/
	@$(PYTHON) -m pytest tests/console

mutate: bootstrap-dev ## Change the code in small ways and see which the tests notice; A='--only money' tries a part
	@$(PYTHON) -m tests.mutation $(A)

faults: bootstrap-dev ## Take parts away from a working Remit: a bounded campaign on a stack of its own
	@$(PYTHON) -m pytest tests/faults --ignore=tests/faults/test_overload.py --ignore=tests/faults/test_planted.py \
		--ignore=tests/faults/test_restore.py

restore: bootstrap-dev ## Lose PostgreSQL under load, restore it to a moment, and judge what clients see; takes minutes
	@$(PYTHON) -m pytest tests/faults/test_restore.py

upgrade: bootstrap-dev ## Run the previous release and this one side by side under load, there and back; takes some minutes
	@$(PYTHON) -m pytest tests/upgrade

cluster: bootstrap-dev ## Replay the sample on three brokers, a standby and two of each service, and on two databases
	@$(PYTHON) -m pytest tests/cluster

crash-sweep: bootstrap-dev ## Let every service die at every seam of its code; takes a quarter of an hour
	@REMIT_TEST_CRASHES=all $(PYTHON) -m pytest tests/faults/test_crashes.py

planted: bootstrap-dev ## Check the checker: campaigns over planted bugs, each of which must be found; takes a quarter of an hour
	@$(PYTHON) -m pytest tests/faults/test_planted.py -rP

overload: bootstrap-dev ## Ask more than can be done, 2, 5 and 10 times the capacity, on loopback; takes some minutes
	@$(PYTHON) -m pytest tests/faults/test_overload.py -rP

prove: bootstrap ## Break a private Remit by a seed while clients use it; MINUTES=10 SEED=7
	@$(REMIT) prove --minutes $(MINUTES) --seed $(SEED) --json prove.json

bench: bootstrap ## Measure a private Remit beside pgbench, then check its books; WORKS=single,batch SECONDS=20 INTO=folder
	@$(REMIT) bench $(if $(WORKS),--works "$(WORKS)") --seconds $(SECONDS) --into "$(INTO)"

fuzz: bootstrap-dev ## Try the API with random requests, at least 5,000; N=200 tries more
	@REMIT_FUZZ_EXAMPLES=$(N) $(PYTHON) -m pytest tests/e2e/test_schema.py -o timeout=3600 -rP

check: bootstrap-dev ## Run every check but the tests: style, types, layers, dependencies
	@set -e; for check in \
		'ruff check .' \
		'ruff format --check .' \
		'mypy' \
		'lint-imports' \
		'deptry .' \
		'hadolint deploy/Dockerfile' \
		'check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml'; \
	do echo "check: $$check"; .venv/bin/$$check; done

format: bootstrap-dev ## Format the code
	@.venv/bin/ruff check --fix --quiet .
	@.venv/bin/ruff format .

verify: bootstrap ## Check the invariants of the whole book
	@$(REMIT) verify

smoke: bootstrap ## Send a first transfer through any Remit and verify it in the ledger; URL=http://…
	@$(REMIT) smoke $(if $(URL),--url "$(URL)")

compose-up: ## Start everything in containers and wait until it is ready; SCALE="transfer=3 fraud=2"
	@sh deploy/compose up $(foreach scaled,$(SCALE),--scale $(scaled))

compose-down: ## Stop the containers; the data stay
	@sh deploy/compose down

compose-reset: ## Stop the containers and remove all their data
	@sh deploy/compose reset

compose-ps: ## Show the containers
	@sh deploy/compose ps

scale: bootstrap-dev ## Scale, restart and kill services of the containers that run, under load, then check the book
	@$(PYTHON) -m pytest tests/containers

chart: bootstrap-dev ## Render, lint and validate the chart for Kubernetes, and test what must hold of it; wants no cluster
	@$(PYTHON) -m tests.chart
	@$(PYTHON) -m pytest tests/chart

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

rules: bootstrap-dev ## Parse and test the alert rules, and parse every query of the dashboards; wants promtool or Docker
	@sh deploy/prometheus/check

dashboards: bootstrap-dev ## Write the dashboards in deploy/grafana/dashboards; a test compares them with the code
	@$(PYTHON) -m deploy.grafana

contracts: schemas ## Write docs/openapi.json and docs/asyncapi.yaml; tests compare them with what is served and what stands
	@$(PYTHON) -m services.gateway.export
	@$(PYTHON) -m shared.contracts.paper

breaking: bootstrap-dev ## Say what differs in the API since a commit, and fail if it breaks clients; BASE=HEAD~1
	@$(PYTHON) -m tests.contracts "$(BASE)"

asyncapi: bootstrap-dev ## Validate docs/asyncapi.yaml against the JSON Schema of AsyncAPI 3, which npm has
	@schema=$$(mktemp -d) && trap 'rm -rf "$$schema"' EXIT && \
		npm pack --silent --pack-destination "$$schema" @asyncapi/specs@6.11.1 >/dev/null && \
		tar -xzf "$$schema"/*.tgz -C "$$schema" && .venv/bin/check-jsonschema \
		--schemafile "$$schema/package/schemas/3.0.0-without-\$$id.json" docs/asyncapi.yaml

sbom: bootstrap-dev ## Write what the image is made of, from the locked requirements (CycloneDX); SBOM=file
	@sh deploy/sbom "$(SBOM)"

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
