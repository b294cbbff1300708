# Every command of the README; each installs what it needs from requirements.lock.
PYTHON ?= $(shell command -v python3.12 >/dev/null 2>&1 && python3.12 -c '' 2>/dev/null && echo python3.12 || echo python3.11)
VENV   ?= .venv
BIN    := $(VENV)/bin
ENGINES := .venv-bench
READY  := $(VENV)/.ready

.PHONY: demo test shots bench instructions fuzz simulate chaos soak docker-test services images lint schemas lock clean

$(READY): requirements.lock pyproject.toml $(wildcard */*.pyx */*.pxd)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)  ## 69,659 real purchases become living segments; KEEP=1 leaves it running; STACK=local or docker: a real Kafka
	@$(BIN)/everscore demo $(if $(KEEP),--keep) $(if $(STACK),--stack $(STACK))

$(VENV)/.posterior: requirements-posterior.lock $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

test: $(READY) $(VENV)/.posterior  ## unit, property, parity, contract and integration tests
	$(BIN)/python -m pytest $(ARGS)

shots: $(READY)  ## pictures of every view of the console, and of what it says where something is missing: ops/reports/console
	CONSOLE_SHOTS=ops/reports/console REQUIRE_BROWSER=1 $(BIN)/python -m pytest -q tests/browser $(ARGS)

$(ENGINES)/.ready: requirements-bench.lock
	@test -x $(ENGINES)/bin/python || $(PYTHON) -m venv $(ENGINES)
	@$(ENGINES)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

bench: $(READY) $(ENGINES)/.ready  ## the worker beside what one would use instead; ARGS="--stack embedded --runs 3" for less
	$(BIN)/everscore bench --engines $(ENGINES)/bin/python $(ARGS)

instructions: $(READY)  ## instructions a purchase costs beside what it did, by valgrind; ARGS=--accept keeps them
	$(BIN)/python -m ops.bench.instructions $(ARGS)

fuzz: $(READY)  ## 1,000,000 malformed payloads through the decoder, 100,000 (and 100, for the broker may refuse a few) through Kafka, a worker and Redis; SEED=5 for others
	FUZZ_SEED=$(or $(SEED),4) FUZZ_PAYLOADS=1000000 FUZZ_RECORDS=100100 \
		$(BIN)/python -m pytest -s tests/fuzz $(ARGS)

simulate: $(READY)  ## SEEDS=10000 simulated installations with faults at random; ARGS="--seed 5" for one, with its trace
	$(BIN)/python -m tests.simulation $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)

chaos: $(READY)  ## every fault on real processes, 100,000 purchases a row; ARGS="worker-kill link" for some, SEED=5 for others
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(ARGS)

soak: $(READY)  ## MINUTES=60 at RATE=5000 purchases a second with a fault every two minutes: memory, and verify
	$(BIN)/python -m tests.chaos.soak --minutes $(or $(MINUTES),60) --rate $(or $(RATE),5000) $(if $(SEED),--seed $(SEED)) $(ARGS)

docker-test: $(READY)  ## docker-compose.yml and the Docker stack, in containers; REQUIRE_DOCKER=1 skips nothing
	$(BIN)/python -m pytest -m docker tests/docker $(ARGS)

services:  ## on Debian, as root: install Java, Maven, Redis and Docker where they are missing
	@sh ops/stack/debian.sh

images: $(READY)  ## stand-ins for the container images that no registry gives
	@$(BIN)/python -m ops.stack.images

lint: $(READY)  ## formatting, lint, types and the layering contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

schemas: $(READY)  ## regenerate schemas/json from the models, and the API's description from its routes
	$(BIN)/python -m schemas.export
	$(BIN)/python -m ops.api.openapi

LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
lock:  ## resolve the exact versions again (needs uv)
	uv pip compile $(LOCK) $(addprefix --extra ,build dev docker embedded files report security serve) -o requirements.lock pyproject.toml
	uv pip compile $(LOCK) -c requirements.lock --extra posterior -o requirements-posterior.lock pyproject.toml
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["bench"], sep="\n")' \
		| uv pip compile $(LOCK) -o requirements-bench.lock -

clean:
	rm -rf $(VENV) $(ENGINES) .everscore build *.egg-info
