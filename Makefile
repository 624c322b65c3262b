# The commands of this project. "make" lists them.

GOLANGCI_LINT_VERSION := v2.15.0

SHELL := bash
CACHE := $(or $(CHOREO_CACHE),.cache)
LINT := $(CACHE)/bin/golangci-lint-$(GOLANGCI_LINT_VERSION)
KAFKA := integration/scripts/kafka.sh
POSTGRES := integration/scripts/postgres.sh
REGISTRY := integration/scripts/registry.sh
REDIS := integration/scripts/redis.sh

# What tests and benchmarks need to know of the local servers.
SERVERS = CHOREO_TEST_REQUIRE_SERVERS=1 \
	CHOREO_TEST_BROKERS=$$($(KAFKA) brokers) CHOREO_TEST_KAFKA_CONTROL=$(abspath $(KAFKA)) \
	CHOREO_TEST_POSTGRES="$$($(POSTGRES) dsn)" CHOREO_TEST_POSTGRES_CONTROL=$(abspath $(POSTGRES)) \
	CHOREO_TEST_REGISTRY=$$($(REGISTRY) url) CHOREO_TEST_REGISTRY_CONTROL=$(abspath $(REGISTRY)) \
	CHOREO_TEST_REDIS=$$($(REDIS) url) CHOREO_TEST_REDIS_CONTROL=$(abspath $(REDIS))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^##@/ { print substr($$0, 5) } /^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

##@ Build and test

.PHONY: build
build: ## compile everything
	go build ./...

.PHONY: test
test: ## run every test that needs no server
	go test ./...

.PHONY: race
race: ## the same under the race detector
	go test -race ./...

.PHONY: integration
integration: servers-up ## run the tests on real Kafka, PostgreSQL, Redis and a schema registry, which it starts
	$(SERVERS) go test -race -count=1 -p 1 -timeout 15m ./integration/...

.PHONY: chaos
chaos: servers-up ## 20,000 orders while processes and both servers are killed (CHAOS="-chaos.seed=7 -chaos.sagas=5000")
	$(SERVERS) go test -count=1 -timeout 4h -v -run '^TestChaos$$' ./integration/chaos \
		-chaos.sagas=20000 -chaos.under-way=500 -chaos.kills=200 -chaos.stops=20 -chaos.kafkas=10 -chaos.databases=20 \
		-chaos.within=3h -chaos.rest=5m $(CHAOS)

SEEDS := 1000
FIRST := 1
.PHONY: sim
sim: ## simulate sagas while all goes wrong (SEEDS=20000 FIRST=1; SIM="-sqlite" and other flags)
	go test ./participant/internal/sim -run 'TestSimulation$$' -count=1 -timeout 0 -v -seeds $(SEEDS) -first $(FIRST) $(SIM)

.PHONY: lint
lint: $(LINT) ## gofmt, go vet, golangci-lint, shellcheck where it is installed
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
		[[ -z $$unformatted ]] || { echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	$(LINT) run ./...
	@sleepers=$$(grep -lw 'time\.Sleep' $$(grep -Lw 'testing/synctest' $$(git ls-files '*_test.go'))); \
		[[ -z $$sleepers ]] || { echo "tests that sleep outside of testing/synctest:"; echo "$$sleepers"; exit 1; }
	@! command -v shellcheck >/dev/null || shellcheck -x integration/scripts/*.sh .ci/run

.PHONY: lint-install
lint-install: $(LINT)

$(LINT):
	GOBIN=$(abspath $(CACHE)/bin) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(CACHE)/bin/golangci-lint $@

.PHONY: bench
bench: servers-up ## measure every bar, with the machine's own limits beside (BENCH="--only real,limits")
	@mkdir -p $(CACHE)
	$(SERVERS) go run ./integration/bench --save $(CACHE)/bench.json $(BENCH)
	go run ./integration/bench --chart $(CACHE)/bench.json > $(CACHE)/bench.svg

.PHONY: ci
ci: ## all that CI checks
	.ci/run

##@ Run

.PHONY: demo
demo: ## 500 orders through four services, embedded broker and SQLite, in one process
	go run ./examples/order

.PHONY: compose-up
compose-up: ## the same as containers, with Apache Kafka and PostgreSQL
	docker compose up --build --detach
	docker compose logs --follow orders

.PHONY: compose-down
compose-down: ## stop those containers and remove their data
	docker compose down --volumes

##@ Local servers

.PHONY: servers-install
servers-install: ## install what the local servers need (Debian, as root)
	integration/scripts/install.sh

.PHONY: servers-up
servers-up: ## start a local Apache Kafka, PostgreSQL, Redis and schema registry; nothing if they run
	@$(KAFKA) start
	@$(POSTGRES) start
	@$(REGISTRY) start
	@$(REDIS) start

.PHONY: servers-down
servers-down: ## stop them; their data stay
	@$(KAFKA) stop
	@$(POSTGRES) stop
	@$(REGISTRY) stop
	@$(REDIS) stop

.PHONY: servers-status
servers-status: ## say whether and where they run
	@$(KAFKA) status || true
	@$(POSTGRES) status || true
	@$(REGISTRY) status || true
	@$(REDIS) status || true

.PHONY: servers-clean
servers-clean: ## stop them and delete their data
	@$(KAFKA) clean
	@$(POSTGRES) clean
	@$(REGISTRY) clean
	@$(REDIS) clean
