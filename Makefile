# Everything a person or CI does with Pawl. `make help` lists it.
# Two modules: the root, which agents import, and dev/, which carries the
# Temporal server.

export GOTOOLCHAIN := local
GO      ?= go
BIN     := $(CURDIR)/bin
TOOLS   := $(BIN)/tools
MODULES := . dev
# Without symbols and what debuggers need, which are a third of a binary and only the linker's. -trimpath would compile
# everything a second time, Temporal's server too, because tests run without it: only a release has it.
BUILD    = $(GO) build -ldflags "-s -w $(1)"

# The race detector watches Pawl and what it calls, but not the inside of SQLite, which is one machine-translated
# package: watching each access to its memory made the tests of a store take ten times as long.
RACE     = -race -gcflags=modernc.org/...=-race=false

STATICCHECK   := honnef.co/go/tools/cmd/staticcheck@v0.8.2
WORKFLOWCHECK := go.temporal.io/sdk/contrib/tools/workflowcheck@v0.6.0
GOVULNCHECK   := golang.org/x/vuln/cmd/govulncheck@v1.8.0
FUZZTIME      ?= 20s
COUNT         ?= 1
CRASHTIME     ?= 10m
SEED          ?= 0
BENCH         ?= .
LOAD          ?=
# The last commit before the audit log was sealed.
AGAINST       ?= 1ae80fb
DEMO          ?=
DEV           ?=
SHOTS         ?=
HOST           = $(shell node -p 'process.platform + "-" + process.arch')
CLAUDE         = @anthropic-ai/claude-code-$(HOST)@2.1.332
COMMIT         = $(shell git describe --always --dirty --exclude '*' --abbrev=12 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help demo dev build release test test-root test-dev hosts crash race lint vulncheck fmt web shots images fuzz bench bench-go bench-large bench-ratios bench-load bench-results record clean

help: ## list every target
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## the whole of Pawl, with an agent whose calls wait for you; DEMO="--ui-listen 127.0.0.1:0" for flags
	@$(BIN)/pawl-demo $(DEMO) || [ $$? -eq 130 ] # stopped by Ctrl-C

dev: build ## the dev stack alone: Temporal, its UI, worker and API; DEV="--no-ui" for flags
	@$(BIN)/pawl-dev $(DEV)

build: ## all binaries, into bin/ (the first build of Temporal's server takes minutes)
	@if [ ! -x $(BIN)/pawl-dev ]; then echo "Building Pawl and the Temporal server; the first time takes some minutes …" >&2; fi
	@mkdir -p $(BIN)
	@$(call BUILD) -o $(BIN)/pawl ./cmd/pawl
	@$(call BUILD) -o $(BIN)/demo-agent ./examples/agent
	@cd dev && $(call BUILD) -o $(BIN)/pawl-dev ./cmd/pawl-dev
	@cd dev && $(call BUILD) -o $(BIN)/pawl-demo ./cmd/pawl-demo

release: ## bin/release/pawl, stripped and without the paths of this machine
	@mkdir -p $(BIN)/release
	$(GO) build -trimpath -ldflags "-s -w" -o $(BIN)/release/pawl ./cmd/pawl

test: test-root test-dev ## every test of both modules
	@GO=$(GO) .ci/skipped .

test-root: ## tests of the root module, under the race detector
	$(GO) test $(RACE) -timeout 20m -count=$(COUNT) ./...
	$(GO) test -count=1 -run '^TestLongLog$$' ./audit/verify
	@GO=$(GO) .ci/skipped .

test-dev: ## tests against a real Temporal, end to end and under kill -9
	cd dev && $(GO) test -timeout 30m -parallel 4 -count=$(COUNT) ./...
	@GO=$(GO) .ci/skipped dev

hosts: build ## the real Claude Code (402 MB from npm, its own licence) against Pawl, with a model that the test plays
	npm install --prefix $(BIN)/hosts --no-save --no-audit --no-fund --ignore-scripts --force $(CLAUDE)
	cd dev && PAWL_PROGRAMS=$(BIN) PAWL_CLAUDE=$(BIN)/hosts/node_modules/@anthropic-ai/claude-code-$(HOST)/claude \
	  $(GO) test ./hosts -v -count=1 -timeout 20m

crash: ## kill -9, pauses and outages over every part for CRASHTIME (10m); SEED=n repeats a schedule
	cd dev && $(GO) test ./crash -run '^TestCrash$$' -v -count=1 -parallel 4 -timeout 0 -crash.long -crash.for $(CRASHTIME) -crash.seed $(SEED)

race: ## the end-to-end tests under the race detector, too (builds Temporal's server anew)
	cd dev && $(GO) test $(RACE) -timeout 60m -count=$(COUNT) ./...

lint: ## gofmt, vet, staticcheck, workflowcheck, types on macOS and Windows, ruff, mypy, tidy modules, known vulnerabilities
	@bad=$$(gofmt -l .); if [ -n "$$bad" ]; then echo "gofmt -w is needed for:"; echo "$$bad"; exit 1; fi
	@mkdir -p $(TOOLS)
	@GOBIN=$(TOOLS) $(GO) install $(STATICCHECK)
	@GOBIN=$(TOOLS) $(GO) install $(WORKFLOWCHECK)
	@for m in $(MODULES); do (cd $$m && echo "lint $$m" && $(GO) mod tidy -diff && $(GO) vet ./... && $(TOOLS)/staticcheck ./...) || exit 1; done
	@cd dev && $(GO) run ./cmd/typecheck .. darwin/arm64 windows/amd64
	@cd dev && $(GO) test -count=1 -run '^TestLint$$' ./pythonclient
	@$(TOOLS)/workflowcheck -config .ci/workflowcheck.yaml ./workflows/...
	@GOBIN=$(TOOLS) $(GO) install $(GOVULNCHECK)
	@.ci/vulncheck $(TOOLS)/govulncheck $(MODULES)

vulncheck: ## known vulnerabilities, as in lint; fails if their database can't be reached
	@mkdir -p $(TOOLS)
	@GOBIN=$(TOOLS) $(GO) install $(GOVULNCHECK)
	@.ci/vulncheck --strict $(TOOLS)/govulncheck $(MODULES)

fmt: ## format the code
	@gofmt -w .

web: ## the page for people: checks web/ and builds it into api/web/dist, which is committed (needs Node and npm)
	cd web && npm ci --ignore-scripts --prefer-offline --no-audit --no-fund && npm run check && npm run build

shots: ## pictures of every state of the page, in both themes, into web/shots (needs Chromium); SHOTS="mail diff" takes some
	@$(MAKE) --no-print-directory build
	cd web && PAWL_DEV=$(BIN)/pawl-dev npm run shots -- $(SHOTS)

images: ## the pictures of the README, into docs/images
	@$(MAKE) --no-print-directory shots SHOTS=images

fuzz: ## each fuzz test for FUZZTIME (20s)
	@grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r f; do \
	  grep -oE '^func Fuzz[A-Za-z0-9]*' "$$f" | sed 's/func //' | while read -r t; do \
	    echo "fuzz $$t in $$(dirname $$f)"; (cd $$(dirname $$f) && $(GO) test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) .) || exit 1; \
	  done || exit 1; done

bench: bench-go bench-large bench-load ## what everything costs: docs/performance.md (some 35 minutes)

bench-go: ## Go benchmarks of both modules, those that match BENCH (all)
	@echo "commit $(COMMIT)"
	$(GO) test -run "^$$" -bench "$(BENCH)" -benchmem ./...
	cd dev && $(GO) test -run "^$$" -bench "$(BENCH)" -benchtime 10x ./e2e

bench-large: ## lists, searches and calls on Postgres with a million calls and ten million entries (minutes, 10 GB)
	PAWL_BENCH_CALLS=1000000 $(GO) test -run "^$$" -bench "^BenchmarkLarge$$" -timeout 60m ./store/postgres

bench-ratios: ## the log's ratios: appends beside bare rows, sealing, verified entries, calls beside commit AGAINST (some 10 minutes)
	$(GO) test -run "^$$" -bench "^BenchmarkLog$$" -benchtime 15x ./store/sqlite ./store/postgres
	$(GO) test -run "^$$" -bench "^BenchmarkVerify$$" ./audit/verify
	@GO=$(GO) .ci/against $(AGAINST) "^Benchmark(Admit|Guard|AdmitParallel)$$"

bench-load: build ## guarded calls beside unguarded ones, with LOAD as flags of pawl-load
	@cd dev && $(call BUILD,-X main.builtFrom=$(COMMIT)) -o $(BIN)/pawl-load ./cmd/pawl-load
	@$(BIN)/pawl-load $(LOAD)

bench-results: ## the results of docs/performance.md, as markdown on standard output (some 25 minutes)
	@$(MAKE) --no-print-directory bench-load LOAD="--duration 24s -o markdown $(LOAD)"

record: ## add workflow histories that are not there yet for the replay test
	cd dev && $(GO) test ./e2e -run '^TestRecordHistories$$' -record -count=1

clean: ## remove binaries and the data of demo and dev stack
	rm -rf $(BIN) .pawl .pawl-demo
