# Assay's build. `make help` lists what it can do.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory --no-builtin-rules

# The pinned programs come first: our own tools with the Node.js that deploy/setup
# brings where the machine's own is too old, then the generators from npm.
export PATH := $(CURDIR)/bin/tools:$(CURDIR)/deploy/tools/node_modules/.bin:$(PATH)

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GOBUILD := CGO_ENABLED=0 go build -trimpath -ldflags '-X main.version=$(VERSION)'
# What the programs are asked to do, by demo, drill and bench.
ARGS ?=
# The drills that are inside of packages; docs/operators.md lists all.
DRILLS := RevocationWith|EveryStep|EveryByte|CutShort|FailedCommit|LostAnswer|KilledConnections|HostileClient|SlowClients|BackPressure|FlippedBit|ClocksJump|ClockIsSet|ClockBefore|RefusedBatches|IdleServer
# Further flags of go test, by test.
TESTFLAGS ?=
# The packages that test and bench-go are about.
PKG ?= ./...
# How long fuzz takes in all.
FUZZTIME ?= 10m

WEB_SOURCES := $(wildcard web/*.json web/*.html web/*.ts) $(shell find web/src web/public -type f 2>/dev/null)

.PHONY: help
help: ## Show this
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

##@ Build

.PHONY: build
build: web ## Build bin/assay-server, bin/assay-agent and bin/assayctl
	@mkdir -p bin
	@$(GOBUILD) -o bin/ ./server/cmd/assay-server ./server/cmd/assayctl ./agent/cmd/...

.PHONY: web
web: web/dist/index.html ## Build the console into web/dist

# Whatever npm says goes to stderr: make demo's stdout is the demonstration's.
web/dist/index.html: $(WEB_SOURCES)
	@deploy/setup build
	@cd web && npm run --silent build >&2
	@touch web/dist/.gitkeep $@

.PHONY: windows
windows: ## Build and vet the agent for Windows: bin/windows
	@mkdir -p bin/windows
	@GOOS=windows $(GOBUILD) -o bin/windows/ ./agent/cmd/...
	@GOOS=windows go vet ./agent/...

.PHONY: clean
clean: ## Remove what was built
	@find web/dist -mindepth 1 ! -name .gitkeep -delete
	@rm -rf bin

##@ Run

.PHONY: demo
demo: ## Show the whole product on this machine; ARGS='--once --json' for scripts
	@deploy/setup postgres
	@$(MAKE) build
	@exec bin/assay-server demo $(ARGS)

.PHONY: drill
drill: ## Break a running system in every way and count what was lost, in full; ARGS='-run Wires'
	@deploy/setup test
	@ASSAY_DRILL=full go test -count=1 -timeout 30m -v ./deploy/e2e $(ARGS)
	@go test -count=1 -timeout 10m -v -run '$(DRILLS)' ./agent/internal/{spool,uplink} ./server/internal/{agentapi,archive,ca,ledger,project,upkeep}

##@ Code

.PHONY: gen
gen: tools ## Generate Go and TypeScript from proto/
	@deploy/gen

.PHONY: check
check: tools ## Check format, lint, conventions and that generated code is fresh
	@unformatted=$$(find . \( -name node_modules -o -name .git \) -prune -o -name '*.go' -print0 | xargs -0 gofmt -l); \
	  [[ -z $$unformatted ]] || { echo "not formatted by gofmt:" $$unformatted >&2; exit 1; }
	@deploy/gen --check
	@buf lint
	@go vet ./...
	@go vet -vettool=$(CURDIR)/bin/tools/lint ./...
	@staticcheck ./...
	@go vet -tags wine ./agent/internal/kernel/winetest
	@go vet -tags wine -vettool=$(CURDIR)/bin/tools/lint ./agent/internal/kernel/winetest
	@staticcheck -tags wine ./agent/internal/kernel/winetest
	@cd deploy/tools && go vet ./...
	@go test -count=1 ./deploy/conventions

.PHONY: check-gen
check-gen: tools ## Check only that generated code is fresh
	@deploy/gen --check

.PHONY: tools
tools: bin/tools/.stamp
	@deploy/setup tools

bin/tools/.stamp: deploy/tools/go.mod deploy/tools/go.sum $(wildcard deploy/tools/lint/*.go)
	@mkdir -p bin/tools
	@cd deploy/tools && GOFLAGS= go build -trimpath -o ../../bin/tools/ tool >&2
	@touch $@

.PHONY: driver
driver: ## Build the kernel driver, signed for tests: bin/driver/assay.sys
	@deploy/setup driver
	@$(MAKE) -C driver OUT=$(CURDIR)/bin/driver all

##@ Test

.PHONY: test-driver
test-driver: driver ## Test the driver: gates, core, scenarios, planted faults and the agent under Wine
	@$(MAKE) -C driver OUT=$(CURDIR)/bin/driver test

.PHONY: test
test: ## Run all Go tests, drills in short, raced where that can show anything, on a Postgres of their own
	@deploy/setup test
	@mkdir -p bin/tools
	@go build -o bin/tools/ ./deploy/pg/cmd/with-postgres ./deploy/testreport
	@ASSAY_DRILL=$${ASSAY_DRILL:-short} with-postgres deploy/go-test $(PKG) -- -shuffle=on -timeout 40m $(TESTFLAGS) | testreport

.PHONY: test-web
test-web: ## Check and test the console, in Chromium too
	@deploy/setup web
	@cd web; npm run --silent check & check=$$!; npm run --silent test || { wait $$check; exit 1; }; wait $$check; npm run --silent test:browser

.PHONY: test-console
test-console: ## Test the console against a real server with the demonstration's data
	@deploy/setup postgres
	@deploy/setup web
	@$(MAKE) build
	@deploy/console-test

.PHONY: fuzz
fuzz: ## Fuzz everything that parses; FUZZTIME=10m is shared out over all targets
	@deploy/fuzz $(FUZZTIME)

.PHONY: bench
bench: bench-tools ## Measure event logs read and hosts evaluated; ARGS='--help'
	@exec bin/tools/assay-bench core $(ARGS)

.PHONY: bench-ingest
bench-ingest: bench-tools ## Measure the way in from agents to facts beside plain COPY; ARGS='--help'
	@exec bin/tools/assay-bench ingest $(ARGS)

.PHONY: bench-streams
bench-streams: bench-tools ## Measure 10,000 connected agents and a restart of their server; ARGS='--help'
	@exec bin/tools/assay-bench streams $(ARGS)

.PHONY: bench-driver
bench-driver: ## Measure what a record costs in the driver's core; ARGS=--quick
	@deploy/setup driver
	@$(MAKE) -C driver OUT=$(CURDIR)/bin/driver core-bench BENCH='$(ARGS)'

.PHONY: bench-tools
bench-tools:
	@deploy/setup postgres
	@mkdir -p bin/tools
	@go build -o bin/tools/ ./server/cmd/assay-bench ./agent/cmd/assay-agent

.PHONY: bench-go
bench-go: ## Run the Go benchmarks; PKG=./agent/evtx for one package
	@deploy/setup postgres
	@mkdir -p bin/tools
	@go build -o bin/tools/ ./deploy/pg/cmd/with-postgres
	@with-postgres go test -run '^$$' -bench . -benchmem $(PKG)

.PHONY: bench-rules
bench-rules: ## Measure the rule engine beside another; needs ASSAY_TESTDATA; ARGS='--help'
	@mkdir -p bin/tools
	@cd server/cmd/rule-bench && GOFLAGS= go build -o ../../../bin/tools/ .
	@exec bin/tools/rule-bench $(ARGS)

.PHONY: bench-verify
bench-verify: bench-tools ## Measure the verification of a ledger of 10 M events; ARGS='--events 1000000'
	@exec bin/tools/assay-bench verify $(ARGS)
