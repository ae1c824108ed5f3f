# Everything one does with Belfry. `make` alone prints the list.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
REPOSITORY ?= ghcr.io/belfry-lb/belfry
FUZZTIME ?= 30s
BENCH    ?= .

# Files of a release bear the date of the commit.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)

# The sources may belong to another user than root, who runs the tests: Go need not ask git about them.
export GOFLAGS ?= -buildvcs=false

TOOLS          := $(CURDIR)/bin/tools
CONTROLLER_GEN := $(TOOLS)/controller-gen
GOLANGCI_LINT  := $(TOOLS)/golangci-lint
HELM           := $(TOOLS)/helm
KUSTOMIZE      := $(TOOLS)/kustomize
BENCHSTAT      := $(TOOLS)/benchstat
GOTESTSUM      := $(TOOLS)/gotestsum

# Tests, the demo and the lab take helm and kustomize from here.
export BELFRY_HELM := $(HELM)
export BELFRY_KUSTOMIZE := $(KUSTOMIZE)

# An API server of tests starts in four seconds, on a machine that has much else to do in more.
export KUBEBUILDER_CONTROLPLANE_START_TIMEOUT ?= 3m
export KUBEBUILDER_CONTROLPLANE_STOP_TIMEOUT ?= 3m

# Packages by the kind of test that they hold.
E2E         = go list ./e2e/...
INTEGRATION = go list ./... | grep -v /e2e | grep -E '/integration(/|$$)'
UNIT        = go list ./... | grep -vE '/(e2e|integration)(/|$$)'
SOAK        = $(sort $(dir $(shell grep -rl --include='*_test.go' --exclude-dir=tools '^//go:build soak' . || true)))

say = @printf '== %(%T)T %s\n' -1 "$(1)"

##@ See

.PHONY: help
help: ## print this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(HELM) ## bring up a real cluster, install Belfry in it and walk through what it does
	@tools/preflight.sh --demo
	@go run ./e2e/demo

.PHONY: demo-down
demo-down: ## take the demo's cluster down
	@go run ./e2e/cluster/cmd/lab down --name demo

##@ Build

.PHONY: build
build: ## build bin/belfry, one static program
	$(call say,building bin/belfry $(VERSION))
	@CGO_ENABLED=0 go build -tags grpcnotrace -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/belfry ./cmd/belfry

.PHONY: plugin
plugin: ## build bin/kubectl-belfry, the kubectl plugin: put it into a folder of your PATH
	$(call say,building bin/kubectl-belfry $(VERSION))
	@CGO_ENABLED=0 go build -tags grpcnotrace -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/kubectl-belfry ./cmd/kubectl-belfry
	@cp internal/cli/kubectl_complete-belfry bin/

.PHONY: image
image: ## write the image and its SBOMs to dist/ for amd64 and arm64, without a container engine
	$(call say,building image $(REPOSITORY):$(VERSION))
	@go run ./internal/release image --version $(VERSION) --repository $(REPOSITORY) --out dist

.PHONY: release
release: $(HELM) ## write all files of release VERSION to dist/: image, SBOMs, plugin, krew manifest, chart, manifests, checksums
	$(call say,building release $(VERSION))
	@rm -rf dist
	@go run ./internal/release all --version $(VERSION) --repository $(REPOSITORY) --helm $(HELM) --out dist

.PHONY: generate
generate: $(CONTROLLER_GEN) $(HELM) $(KUSTOMIZE) ## generate deepcopy, CRDs and docs/reference from api/, the chart's README and config/ from the chart
	$(call say,generating from api/)
	@$(CONTROLLER_GEN) object paths=./api/...
	@$(CONTROLLER_GEN) crd paths=./api/... output:crd:dir=config/crd/bases
	@tools/chart-crds.sh config/crd/bases charts/belfry/templates/crds
	@mkdir -p docs/reference; go run -C tools ./crdref $(CURDIR)/config/crd/bases $(CURDIR)/docs/reference
	@go run -C tools ./chartdocs $(CURDIR)/charts/belfry $(CURDIR)/config/crd/bases
	@tools/manifests.sh $(HELM) $(KUSTOMIZE) $(CURDIR)/config
	@go test ./docs -run Reference -update >/dev/null

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## format the Go sources
	@$(GOLANGCI_LINT) fmt

.PHONY: clean
clean: ## remove bin/ and dist/ (caches and labs stay)
	@rm -rf bin dist

##@ Check

.PHONY: lint
lint: $(GOLANGCI_LINT) ## lint the Go sources
	$(call say,linting)
	@$(GOLANGCI_LINT) run --allow-parallel-runners --build-tags soak ./...

.PHONY: lint-chart
lint-chart: $(HELM) $(KUSTOMIZE) ## lint the chart and build config/
	$(call say,linting charts/belfry and building config/)
	@$(HELM) lint --strict --quiet --kube-version 1.31.0 charts/belfry
	@for dir in config/crd config/rbac config/default config/monitoring config/samples; do $(KUSTOMIZE) build $$dir >/dev/null; done

.PHONY: verify-generated
verify-generated: $(CONTROLLER_GEN) $(HELM) $(KUSTOMIZE) ## check that the generated files are fresh
	$(call say,checking the generated files)
	@tools/verify-generated.sh $(CONTROLLER_GEN) $(HELM) $(KUSTOMIZE)

.PHONY: vet-modules
vet-modules: ## check that go.mod is tidy and vet the nested modules
	@tools/vet-modules.sh

.PHONY: preflight
preflight: ## check that the tests can run here: Linux, root, go, gcc, git
	@tools/preflight.sh

##@ Test

.PHONY: test
test: test-unit test-alerts test-fuzz test-integration test-gitops test-e2e ## run all tests: unit, alerts, fuzz, integration, gitops, e2e

.PHONY: test-unit
test-unit: preflight $(HELM) ## run the tests of single packages, on fakes and in network namespaces
	$(call say,unit tests)
	@packages=$$($(UNIT)); go test -race -timeout 10m $$packages

.PHONY: test-alerts
test-alerts: ## test the chart's alert rules and monitors with Prometheus' own code
	$(call say,alert rules)
	@go test -C tools/alerts -count=1 -timeout 10m ./...

.PHONY: test-fuzz
test-fuzz: ## run the fuzz targets of the allocator for a fixed number of inputs
	@tools/fuzz.sh 3000x ./internal/alloc

.PHONY: test-integration
test-integration: preflight $(HELM) $(KUSTOMIZE) ## run the tests against a real kube-apiserver
	$(call say,kube-apiserver and etcd: built from source where they are not cached)
	@assets=$$(go run ./e2e/cluster/cmd/lab binaries); packages=$$($(INTEGRATION)); \
	printf '== %(%T)T integration tests against %s\n' -1 "$$assets"; \
	KUBEBUILDER_ASSETS=$$assets go test -race -count=1 -timeout 20m $$packages

.PHONY: test-gitops
test-gitops: preflight $(HELM) $(KUSTOMIZE) ## install as docs/install.md tells users of Flux, with Flux' own code against a real kube-apiserver
	$(call say,Flux)
	@assets=$$(go run ./e2e/cluster/cmd/lab binaries); KUBEBUILDER_ASSETS=$$assets go test -C tools/gitops -count=1 -timeout 10m ./...

.PHONY: test-e2e
test-e2e: preflight $(HELM) $(GOTESTSUM) ## run the tests on a real cluster of namespaces; what failed is told once more at the end
	$(call say,e2e tests on a real cluster)
	@packages=$$($(E2E)); $(GOTESTSUM) --format standard-verbose --hide-summary skipped -- -race -count=1 -p 1 -timeout 60m $$packages

.PHONY: bench
bench: $(BENCHSTAT) ## run the benchmarks BENCH, of one package and against a real kube-apiserver; bin/bench.txt is for benchstat
	@mkdir -p bin; packages=$$($(UNIT)); \
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count 6 -timeout 0 $$packages | tee bin/bench.txt
	@assets=$$(go run ./e2e/cluster/cmd/lab binaries); packages=$$($(INTEGRATION)); \
	KUBEBUILDER_ASSETS=$$assets go test -run '^$$' -bench '$(BENCH)' -benchtime 1x -count 3 -timeout 0 $$packages | tee -a bin/bench.txt
	@$(BENCHSTAT) bin/bench.txt

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	@tools/fuzz.sh $(FUZZTIME)
	@go test -count=1 -timeout 0 -run '^(TestFuzzingRouter|TestFlapsDoNotGrow)$$' ./speaker/bgp -messages 1000000 -flaps 1000
	@go test -count=1 -timeout 0 -run '^TestTakeoversLeaveNothing$$' ./speaker -takeovers 1000

.PHONY: soak
soak: preflight $(HELM) ## run the long series (build tag soak), then fuzz; takes hours
	@[ -z "$(SOAK)" ] || go test -race -count=1 -p 1 -tags soak -run '^TestSoak' -timeout 0 -v $(SOAK)
	@assets=$$(go run ./e2e/cluster/cmd/lab binaries); KUBEBUILDER_ASSETS=$$assets go test -C tools/gitops/argocd -count=1 -tags soak -run '^TestSoak' -timeout 0 -v .
	@[ "$(origin FUZZTIME)" = file ] && time=10m || time=$(FUZZTIME); tools/fuzz.sh $$time

# Tools are built from the versions that tools/go.mod pins, whenever those change.
import = $(shell sed -n '/^tool (/,/^)/p' tools/go.mod | grep -E '/$(1)(/v[0-9]+)?$$')

$(TOOLS)/%: tools/go.mod tools/go.sum
	$(call say,building $*)
	@mkdir -p $(TOOLS)
	@go build -C tools -o $@ $(strip $(call import,$*))
