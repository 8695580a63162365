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
GOBUILD := go build -trimpath -ldflags '-X main.version=$(VERSION)'
ARGS ?=
TESTFLAGS ?=
FUZZTIME ?= 10m
PKG ?= ./...

##@ Code

.PHONY: gen
gen: tools ## Regenerate Go and TypeScript from proto/
	@deploy/gen

.PHONY: tools
tools: bin/tools/.stamp
	@deploy/setup tools

bin/tools/.stamp: deploy/tools/go.mod deploy/tools/go.sum
	@mkdir -p bin/tools
	@cd deploy/tools && GOFLAGS= go build -trimpath -o ../../bin/tools/ tool >&2
	@touch $@

.PHONY: help
help: ## Show this
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
