# Every entry point of the toolkit. `make` alone explains them.
#
# Write settings after the target: make test PROFILE=medium GATEWAY_URL=http://127.0.0.1:4444
# Write a password before make, so that the process list does not show it: GATEWAY_PASSWORD=… make test
# make turns every failure into its own exit code 2; the run's own code is in its last line and in run.json.

SHELL := /bin/bash
.SHELLFLAGS := -p -c
.DEFAULT_GOAL := help
.SUFFIXES:
.NOTPARALLEL:

# Settings of a single target are read from the command line only: a PORT, RUN or FILE in the environment belongs to
# another program.
ARGS :=
BASE :=
CASE := tools/list_limit_50
ENV_FILE := .env.example
FILE :=
FROM :=
HEAD :=
NAME :=
PORT := 8099
RATE :=
RELEASES :=
REQUESTS :=
RUN := results/latest
RUNS := 5
TO :=
TUNE :=

# Settings of the toolkit can come from the environment as well.
PROFILE ?= light
BASELINE := $(PROFILE)
export PROFILE

# Pass on values from the command line as they were typed, even with a $.
SETTINGS := $(filter GATEWAY GATEWAY_% PERF_% PROFILE SCENARIOS RESULTS_DIR BASELINES_DIR,$(.VARIABLES))
$(foreach name,$(SETTINGS),$(if $(filter command,$(firstword $(origin $(name)))),$(eval override export $(name) := $$(value $(name)))))

FLAGS := $(filter-out --%,$(firstword -$(MAKEFLAGS)))
ifneq (,$(findstring i,$(FLAGS))$(findstring e,$(FLAGS)))
$(error make -i would hide that a run failed, and make -e would take settings from any environment variable: remove the flag (MAKEFLAGS))
endif

PYTHON := .venv/bin/python -Es
SHELL_FILES := $(wildcard run-*.sh scenarios/*.sh utils/*.sh utils/lib/*.sh) .ci/run
SHELL_TESTS := $(wildcard tests/shell/*.bash tests/shell/*.bats)
PYTHON_FILES := utils servers benchmarks tests
PROFILES := $(basename $(notdir $(wildcard profiles/*.env)))
SCENARIOS_HERE := $(patsubst %-workload,%,$(patsubst %-benchmark,%,$(basename $(notdir $(wildcard scenarios/*.sh)))))
scenario-script = $(firstword $(wildcard scenarios/$(1)-benchmark.sh scenarios/$(1)-workload.sh))

##@ Measure

.PHONY: test
test: setup ## Measure a gateway under PROFILE (light) and compare with its baseline
	@./run-configurable.sh

.PHONY: test-all
test-all: setup ## Measure all scenarios under PROFILE
	@./run-configurable.sh --scenarios all

SCENARIO_TESTS := $(addprefix test-,$(SCENARIOS_HERE))
.PHONY: $(SCENARIO_TESTS)
$(SCENARIO_TESTS): test-%: setup ## test-tools, test-resources …: measure one scenario (each script of scenarios/)
	@$(call scenario-script,$*)

.PHONY: run-all
run-all: setup ## Measure light, medium and heavy, one after the other, with one report; ARGS=--resume continues
	@./run-all.sh $(ARGS)

PROFILE_TESTS := $(addprefix test-,$(PROFILES))
.PHONY: $(PROFILE_TESTS)
$(PROFILE_TESTS): test-%: setup ## test-light, test-medium, test-heavy: measure the scenarios of one profile
	@./run-configurable.sh --profile $*

.PHONY: compare-runs
compare-runs: setup ## Show runs next to each other on one page, without a verdict: RUNS="results/a results/b"
	@$(PYTHON) utils/report_generator.py --page compare $(RUNS)

.PHONY: scalability-report
scalability-report: setup ## Throughput and p95 by number of MCP servers or concurrency, for RUNS="results/a results/b ..."
	@$(PYTHON) utils/report_generator.py --page scalability $(RUNS)

.PHONY: database-report
database-report: setup ## Compare SQLite with PostgreSQL, for RUNS="results/a results/b"
	@$(PYTHON) utils/report_generator.py --page database $(RUNS)

.PHONY: report
report: setup ## Write the HTML report of RUN (results/latest) again
	@$(PYTHON) utils/report_generator.py "$(RUN)"

.PHONY: index
index: setup ## Write results/index.html, the list of all runs, again
	@$(PYTHON) utils/results_index.py

.PHONY: serve-reports
serve-reports: index ## Serve the reports on 127.0.0.1 until Ctrl-C: PORT=8099
	@$(PYTHON) utils/serve_reports.py --port "$(PORT)"

.PHONY: profile
profile: setup ## Show where the gateway spends its time in CASE (tools/list_limit_50); RATE=25 REQUESTS=500
	@./run-profile.sh --case "$(CASE)" $(if $(RATE),--rate "$(RATE)") $(if $(REQUESTS),--requests "$(REQUESTS)")

##@ Gateways side by side

.PHONY: compare-gateways
compare-gateways: setup ## Is HEAD slower than BASE? Releases, wheels, checkouts or URLs: BASE=1.0.6 HEAD=../gateway
	@./run-advanced.sh --base "$(BASE)" --head "$(HEAD)" $(ARGS)

.PHONY: history
history: setup ## Between which of RELEASES did the speed change? RELEASES="1.0.5 1.0.6 1.0.7"
	@./run-advanced.sh --releases "$(RELEASES)" $(ARGS)

.PHONY: tune
tune: setup ## Measure the effect of each setting of paired.tune, and write it to ENV_FILE (.env.example)
	@./run-advanced.sh --tune --env-file "$(ENV_FILE)" $(ARGS)

##@ Baselines

.PHONY: baseline
baseline: setup ## Measure RUNS (5) times under PROFILE for its baseline
	@utils/repeat-runs.sh baseline "$(RUNS)"

.PHONY: noise
noise: setup ## Measure RUNS (5) times and record how much runs of one gateway differ on this machine
	@utils/repeat-runs.sh noise "$(RUNS)"

.PHONY: baseline-save
baseline-save: setup ## Add RUN (results/latest) to its profile's baseline
	@$(PYTHON) utils/baseline_manager.py save "$(RUN)"

.PHONY: baseline-compare
baseline-compare: setup ## Compare RUN (results/latest) with its baseline again
	@$(PYTHON) utils/compare_results.py "$(RUN)"

.PHONY: baseline-list
baseline-list: setup ## List the baselines
	@$(PYTHON) utils/baseline_manager.py list

.PHONY: baseline-show
baseline-show: setup ## Show BASELINE (PROFILE)
	@$(PYTHON) utils/baseline_manager.py load "$(BASELINE)"

.PHONY: baseline-history
baseline-history: setup ## Show every version of BASELINE
	@$(PYTHON) utils/baseline_manager.py history "$(BASELINE)"

.PHONY: baseline-diff
baseline-diff: setup ## Show what changed in BASELINE's newest version, or between versions FROM and TO
	@$(PYTHON) utils/baseline_manager.py diff "$(BASELINE)" $(FROM) $(TO)

.PHONY: baseline-rollback
baseline-rollback: setup ## Make version TO of BASELINE the current one again
	@$(PYTHON) utils/baseline_manager.py rollback "$(BASELINE)" --to "$(TO)"

.PHONY: baseline-forget
baseline-forget: setup ## Remove CASE (tools/name), which config.yaml no longer has, from BASELINE
	@$(PYTHON) utils/baseline_manager.py forget "$(BASELINE)" "$(CASE)"

.PHONY: baseline-export
baseline-export: setup ## Write BASELINE and its history to one file: FILE=baseline.json
	@$(PYTHON) utils/baseline_manager.py export "$(BASELINE)" $(if $(FILE),--output "$(FILE)")

.PHONY: baseline-import
baseline-import: setup ## Import what baseline-export wrote: FILE=baseline.json
	@$(PYTHON) utils/baseline_manager.py import "$(FILE)"

.PHONY: trend
trend: setup ## Search the stored runs of PROFILE for changes and slow slides; writes results/trend.html
	@$(PYTHON) utils/trend.py --profile "$(PROFILE)" --html

.PHONY: ci-report
ci-report: setup ## Write JUnit, OpenMetrics, JSON and a summary of RUN for a CI server
	@$(PYTHON) utils/ci_report.py "$(RUN)"

.PHONY: baseline-delete
baseline-delete: setup ## Delete BASELINE (PROFILE)
	@$(PYTHON) utils/baseline_manager.py delete "$(BASELINE)"

##@ Local stack

.PHONY: up
up: setup ## Start the gateway, databases, cache and simulated MCP servers
	@$(PYTHON) utils/stack.py up

.PHONY: down
down: | .venv ## Stop what `make up` started
	@$(PYTHON) utils/stack.py down

.PHONY: restart
restart: down up ## down, then up

.PHONY: status
status: | .venv ## Show the state of the stack's programs
	@$(PYTHON) utils/stack.py status

.PHONY: logs
logs: | .venv ## Show the last lines of the stack's logs; NAME=gateway for one of them
	@$(PYTHON) utils/stack.py logs $(NAME)

##@ Gateway

.PHONY: auth
auth: setup ## Log in at the gateway and cache the token
	@utils/setup-auth.sh

.PHONY: check-services
check-services: setup ## Check whether gateway, database, cache and servers are ready for a run
	@utils/check-services.sh

.PHONY: conformance
conformance: setup ## Check that bugs which the gateway fixed stay fixed; with TUNE=DIR (of make tune) also the cost of logging
	@$(PYTHON) utils/conformance.py $(if $(TUNE),--tune "$(TUNE)")

.PHONY: env
env: | .venv ## For eval "$(make -s env)": GATEWAY_URL and GATEWAY_TOKEN of the running gateway
	@$(PYTHON) utils/gateway.py env

.PHONY: info
info: | .venv ## Show what the gateway reports about itself
	@$(PYTHON) utils/gateway.py info

.PHONY: register
register: setup ## Register the simulated MCP servers with the gateway
	@$(PYTHON) utils/gateway.py register --from-stack

.PHONY: unregister
unregister: setup ## Remove the simulated MCP servers from the gateway
	@$(PYTHON) utils/gateway.py unregister --from-stack

##@ Set-up

.PHONY: setup
setup: ## Install what is missing, in this directory only
	@LOG_LEVEL="$${LOG_LEVEL:-warn}" utils/setup.sh runtime gateway

.PHONY: setup-dev
setup-dev: ## The same, and what `make check` needs
	@utils/setup.sh all

.PHONY: doctor
doctor: ## Show what is installed, what is missing, and how to get it
	@utils/doctor.sh

.PHONY: settings
settings: setup ## Show every setting and where its value comes from
	@$(PYTHON) utils/show_settings.py

.PHONY: lock
lock: ## Resolve pyproject.toml into the lock files again
	@utils/lock.sh

# Targets that only read do not run the set-up, but they need one that was done before.
.venv:
	@echo "error: nothing is set up here yet: make setup" >&2; exit 2

##@ Quality

LAYERS := lint test-unit test-shell test-e2e

.PHONY: check
check: check-setup ## Run everything that CI checks: format, lint, tests
	@took=; for layer in $(LAYERS); do start=$$SECONDS; $(MAKE) --no-print-directory $$layer || exit 2; \
	took="$$took $$layer $$((SECONDS - start)) s;"; echo "$$layer: $$((SECONDS - start)) s"; done; echo "all green:$$took"

.PHONY: check-setup
check-setup:
	@LOG_LEVEL="$${LOG_LEVEL:-warn}" utils/setup.sh all
	@LOG_LEVEL="$${LOG_LEVEL:-warn}" GATEWAY_VERSION=1.0.7 utils/setup.sh gateway # the tests' release
	@utils/lock.sh --check

.PHONY: lint
lint: lint-shell lint-python ## Check format and lint; changes nothing

.PHONY: lint-shell
lint-shell: ## Run shellcheck and shfmt over every script
	@.venv/bin/shellcheck -x $(SHELL_FILES) $(SHELL_TESTS)
	@.venv/bin/shfmt -i 2 -ci -bn -d $(SHELL_FILES) $(SHELL_TESTS)

.PHONY: lint-python
lint-python: ## Run ruff, mypy --strict and pylint (10.00)
	@.venv/bin/ruff format --check --quiet $(PYTHON_FILES)
	@.venv/bin/ruff check --quiet $(PYTHON_FILES)
	@.venv/bin/mypy --no-error-summary utils servers benchmarks
	@.venv/bin/pylint --score=no utils servers benchmarks

.PHONY: format
format: ## Format all sources
	@.venv/bin/shfmt -i 2 -ci -bn -w $(SHELL_FILES) $(SHELL_TESTS)
	@.venv/bin/ruff format $(PYTHON_FILES)

.PHONY: test-unit
test-unit: ## Run the tests of the Python code
	@.venv/bin/pytest -q -n 2 tests/unit

.PHONY: test-shell
test-shell: ## Run the tests of the shell code
	@.venv/bin/bats tests/shell

.PHONY: test-e2e
test-e2e: ## Run the tests with the real gateway, real databases and a real browser
	@.venv/bin/pytest -q -n 2 --dist loadfile tests/e2e

##@ Clean

# FORCE counts on the command line only: in the environment it may belong to another program.
SAID_YES = $(if $(filter command,$(origin FORCE)),$(if $(filter 1 yes true,$(FORCE)),--yes))

.PHONY: clean
clean: ## Remove the tools' caches
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find utils servers benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: clean-results
clean-results: | .venv ## Remove all runs (asks first, except with FORCE=1)
	@$(PYTHON) utils/clean.py results $(SAID_YES)

.PHONY: clean-baselines
clean-baselines: | .venv ## Remove all baselines (asks first, except with FORCE=1)
	@$(PYTHON) utils/clean.py baselines $(SAID_YES)

.PHONY: clean-stack
clean-stack: | .venv ## Stop the stack and remove its databases and logs (asks first, except with FORCE=1)
	@$(PYTHON) utils/clean.py stack $(SAID_YES)

.PHONY: clean-all
clean-all: clean clean-results clean-stack ## Remove everything except the baselines and your changes
	@rm -rf .venv .tools

##@ Help

.PHONY: help
help: ## Show this list
	@awk -f utils/help.awk $(MAKEFILE_LIST)
