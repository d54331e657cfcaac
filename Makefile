# make run      the demo federation, with nothing but Go
# make test     everything, with PostgreSQL, Redis and the embedded parts
# make help     the rest
.DEFAULT_GOAL := help

GO ?= go
LINT := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X kelian/internal/app.Version=$(VERSION)

.PHONY: help run test test-long check drift lint unit faults release

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: ## the demo federation
	$(GO) run ./cmd/kelian demo

test: check ## all tests on both databases and both queues; installs what it needs on Debian as root
	CI=true scripts/with-services.sh $(GO) test -p 2 -timeout 20m ./...
	$(MAKE) --no-print-directory faults

faults: ## the fault tests on real processes, with short limits (about five minutes)
	CI=true scripts/with-services.sh $(GO) test -tags fault -timeout 15m -v ./internal/faulttest/

test-long: ## 50,000 other random requests for each property, and the fault tests with the time limits of a shipped binary (about half an hour)
	$(GO) test -count=1 -timeout 60m ./workflow/flow -run 'RandomRequests|EveryRequestCan|RequestsEndTheSame|ForecastNamesWhoIsAsked|BeyondTheForecast' -rapid.checks 50000
	CI=true scripts/with-services.sh $(GO) test -tags fault -timeout 120m -v ./internal/faulttest/ -shipped

unit: ## the tests that need nothing installed
	$(GO) test ./...

check: drift lint ## generated files and lint

drift: ## generated files are what the sources say
	scripts/drift.sh

lint: ## golangci-lint
	$(GO) vet ./...
	$(LINT) run ./...

release: ## static binaries for Linux, macOS and Windows in dist/
	@mkdir -p dist
	@for t in linux/amd64 linux/arm64 darwin/arm64 windows/amd64; do \
		os=$${t%/*}; arch=$${t#*/}; ext=; [ $$os = windows ] && ext=.exe; \
		echo "dist/kelian-$$os-$$arch$$ext"; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o dist/kelian-$$os-$$arch$$ext ./cmd/kelian || exit 1; \
	done
