# The two commands of the README, `make demo` and `make test`, make the environment themselves.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# That run the tests between them. Tests mostly wait, for workers that start and sessions that end: twice as many as cores.
TESTERS ?= 4

.PHONY: help setup demo console test faults simulate mutants bench docs lint format lock schemas clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY) ## make the locked environment in .venv

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "statelog needs Python 3.11 or newer; set PYTHON=")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

demo: $(READY) ## the whole story in one terminal: kill a worker, wipe its disk, see the same state come back
	@$(BIN)/statelog demo

console: $(READY) ## the same to click at: a page that shows it live, with buttons that kill and wipe; until Ctrl-C
	@$(BIN)/statelog demo --console

test: $(READY) ## all tests, on a real Kafka and a real RocksDB
	@$(BIN)/pytest -n $(TESTERS) --dist loadscope --no-loadscope-reorder

faults: $(READY) ## the fault tests at their full length; the figures of docs/reliability.md
	@$(BIN)/pytest tests/faults --full-faults

simulate: $(READY) ## ten thousand seeded schedules of crashes, pauses, rebalances; SIMULATE="--seed N" tells one
	@nice -n 10 $(BIN)/python -m tests.simulation $(SIMULATE)

mutants: $(READY) ## plant each bug of the catalogue in a copy of the source: its test has to notice; MUTANTS="NAME…"
	@nice -n 10 $(BIN)/python -m tests.mutants $(MUTANTS)

bench: $(READY) ## all peers side by side, three quarters of an hour; BENCH="--records N --peers NAME …" asks for less
	@$(BIN)/python -m benchmarks.suite $(BENCH)

docs: $(READY) ## the documentation as a site, in build/docs; a link that leads nowhere fails it
	@$(BIN)/sphinx-build -E -W --keep-going -q -c docs/site . build/docs
	@echo "build/docs/index.html"

lint: $(READY) ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(READY) ## rewrite the code in the house style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: ## compile the locked requirements anew
	@$(BIN)/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --all-extras --group dev --group bench \
		--group docs pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 \
		benchmarks/peers/requirements.in -o benchmarks/peers/requirements.lock
	@$(BIN)/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --extra otel \
		--constraint requirements.lock pyproject.toml -o deploy/locks/image.lock
	@echo hatchling | $(BIN)/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 - -o deploy/locks/build.lock

schemas: $(READY) ## publish the JSON Schemas of the models, and the OpenAPI document
	@$(BIN)/python -m schemas.publish
	@$(BIN)/python -m pipeline.query.openapi

clean: ## remove the environment, the caches and the built site
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
