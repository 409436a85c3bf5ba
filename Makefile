# The daily commands. Each installs what is missing (Debian 12) and does the least work that is left.
#
#   make run [ARGS="--duration 60s --policy least-request"]   the demo: engines, gateway, workload
#   make run-envoy [ARGS="buffered --rate-scale 2"]           engines, Headrace as Envoy's picker, load
#   make build                                                build/release/headrace
#   make test                                                 every test
#   make evaluate                                             docs/evaluation*.md, every figure anew
#   make check-engines                                        real engines behind the gateway, and measured
#   make soak [ARGS="--duration 10m"]                         half an hour of load and failures
#   make fuzz [ARGS="60 http_head"]                           every parser of foreign bytes
#   make install [PREFIX=/usr/local]                          the program, manual pages, completions
#   make package                                              build/package: .deb, wheel, image, …
#   make check-packages                                       each installed and run in a clean root
#   make lint | sanitize | bench | docs | site

release := build/release
ARGS ?=
PREFIX ?= /usr/local

# $(call configure,PRESET,OPTIONS): runs CMake when it has not been run with these options. Ubuntu
# 24.04's simdjson is not for clang 19.
configure = cmake --preset $(1) $(2) $(clang-18) >build/configure-$(1).log \
  || { cat build/configure-$(1).log; exit 1; }
clang-18 := $(shell grep -qs =noble /etc/os-release && \
  echo -DCMAKE_C_COMPILER=clang-18 -DCMAKE_CXX_COMPILER=clang++-18)
tests_on := grep -qs HEADRACE_TESTS:BOOL=ON

.PHONY: build run run-envoy test soak evaluate check-engines lint sanitize fuzz bench docs install package \
  check-packages site
.DEFAULT_GOAL := build

build:
	@tools/install-deps build
	@mkdir -p build
	@test -e $(release)/build.ninja || \
	  { $(call configure,release,-DHEADRACE_TESTS=OFF -DHEADRACE_BENCHMARKS=OFF); }
	@ninja -C $(release) headrace

# Every figure and table of docs/evaluation.md and evaluation-details.md, from scratch: some minutes
# on two cores.
evaluate: build
	@ninja -C $(release) headrace-evaluate
	@$(release)/headrace-evaluate

# Real engines, vLLM and llama.cpp on one core each: behind the gateway, and beside the emulated one.
# An hour on an idle machine.
check-engines: build
	@tools/install-deps clients
	@tools/check-engines $(ARGS)

run: build
	@$(release)/headrace demo $(ARGS)

# Envoy itself comes from Python's packages, into build/envoy.
run-envoy: build
	@tests/envoy/setup
	@tools/run-envoy $(ARGS)

# As root for a PREFIX of the system. Static packages for other machines: make package.
install: build
	@ninja -C $(release) installed
	@cmake --install $(release) --prefix $(PREFIX) --strip

package:
	@tools/install-deps build package
	@mkdir -p build
	@packaging/package $(ARGS)

# As root. Roots of Debian 12 and 13 stay in build/roots, 400 MB.
check-packages: package
	@tools/install-deps check-packages
	@packaging/check $(ARGS)

# The documentation as a site, with search: build/site.
site:
	@tools/install-deps site
	@packaging/site

# Also what the other targets below stand on: everything configured, tests and benchmarks included.
.PHONY: everything
everything:
	@tools/install-deps build test clients
	@mkdir -p build
	@{ test -e $(release)/build.ninja && $(tests_on) $(release)/CMakeCache.txt; } || \
	  { $(call configure,release,-DHEADRACE_TESTS=ON -DHEADRACE_BENCHMARKS=ON); }

test: everything
	@ninja -C $(release)
	@ctest --test-dir $(release) --parallel 2 --output-on-failure

# On a machine that does nothing else; `make test` has two minutes of it, without its thresholds of
# time.
soak: everything
	@ninja -C $(release) headrace soak
	@HEADRACE=$(release)/headrace $(release)/soak $(ARGS)

lint: everything
	@tools/install-deps lint
	@tools/lint $(ARGS)

# gRPC is not instrumented; suppressions go by the names of functions.
tsan-options = ignore_noninstrumented_modules=1 suppressions=$(CURDIR)/cmake/tsan.supp \
  external_symbolizer_path=$(shell command -v llvm-symbolizer-19)
sanitize:
	@tools/install-deps build test clients sanitize
	@mkdir -p build
	@for preset in asan tsan; do \
	  { test -e build/$$preset/build.ninja || $(call configure,$$preset); } && \
	  ninja -C build/$$preset && \
	  TSAN_OPTIONS="$(tsan-options)" \
	  ctest --test-dir build/$$preset --parallel 2 --output-on-failure || exit 1; \
	done

# Each target for so many seconds, two at a time.
fuzz:
	@tools/install-deps build sanitize
	@mkdir -p build
	@test -e build/fuzz/build.ninja || { $(call configure,fuzz); }
	@ninja -C build/fuzz fuzzers
	@tools/fuzz $(ARGS)

bench: everything
	@tools/install-deps bench
	@ninja -C $(release)
	@for bench in $(release)/*_bench; do echo "== $$(basename $$bench)"; $$bench $(ARGS) || exit 1; done
	@tools/bench-proxy
	@tools/bench-proxy --tls
	@tools/bench-streams --streams 9000
	@tools/bench-envoy

# Writes the generated pages anew; `make test` fails while one is stale.
docs: everything
	@ninja -C $(release) --quiet config_test telemetry_test
	@for room in config telemetry; do \
	  HEADRACE_UPDATE_DOCS=1 $(release)/$${room}_test --gtest_brief=1 --gtest_filter='*Current' || exit 1; \
	done
