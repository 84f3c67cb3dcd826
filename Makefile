# The two commands of the README are `make lab` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help prepare build lab lab-up lab-down lab-ssh test check test-pure test-wire test-tools test-lab test-page lab-long torture bench bench-plan bench-scale fuzz histories deny sbom bench-peers bench-code

# Where cargo puts it, also where somebody has moved that.
QUORATE := $(abspath $(or $(CARGO_TARGET_DIR),target))/release/quorate
LAB := -i inventory/lab --known-hosts vagrant/.lab/known_hosts
NODE ?= cp1
# Another way of load balancing for `make lab`, on bare hosts: make lab LB=kube-vip-arp. LB=dedicated is keepalived and haproxy on
# hosts of their own.
LB ?=
# One lab, one test at a time; the tests' own output says what they wait for.
LAB_TEST := QUORATE_BIN=$(QUORATE) cargo test --locked --test lab -- --test-threads=1 --nocapture

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

prepare: ## installs what building and testing need (Debian)
	@scripts/prepare.sh

build: prepare ## the release binary
	cargo build --release --locked

lab-up: prepare
	vagrant/lab up

lab: build lab-up ## a lab of four hosts with a real cluster on it (LB=kube-vip-bgp: by another way)
	$(if $(filter kube-vip-bgp,$(LB)),vagrant/lab router)
	$(if $(filter dedicated,$(LB)),vagrant/lab add lb1 lb2)
	$(QUORATE) $(LAB) $(if $(filter dedicated,$(LB)),-i inventory/lab-load-balancers) apply \
		$(if $(filter-out dedicated,$(LB)),-e load_balancer=$(LB))
	@LB=$(LB) scripts/lab-summary.sh

lab-down: ## removes this checkout's lab
	vagrant/lab down

lab-ssh: ## a shell on a host: make lab-ssh NODE=cp1
	@vagrant/lab ssh $(NODE)

# In this order and not side by side: what is quick to fail comes first.
test: prepare ## all rings of tests, the lab included
	@$(MAKE) check
	@$(MAKE) test-pure
	@$(MAKE) test-wire
	@$(MAKE) test-tools
	@$(MAKE) test-lab
	@$(MAKE) test-page

check: ## format and lints
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	cargo clippy --test lab --test page --locked -- -D warnings
	shellcheck -x -P SCRIPTDIR vagrant/lab vagrant/scripts/*.sh scripts/*.sh .ci/run

# All targets but the rings with commands of their own: a new file in tests/ is in it by itself.
PURE := $(patsubst tests/%.rs,--test %,$(filter-out tests/lab.rs tests/page.rs tests/wire.rs,$(wildcard tests/*.rs)))
test-pure: ## tables, snapshots, scripts under dash and busybox
	cargo test --locked --lib --bins $(PURE)
	cargo test --locked --doc

test-wire: ## SSH: an in-process server and a real sshd
	cargo test --locked --test wire

# The binaries come from the lab's files; haproxy and keepalived from Debian.
test-tools: lab-up ## what the real tools say of rendered files
	@scripts/prepare.sh --tools
	PATH="$(CURDIR)/vagrant/.lab/files/bin:/usr/sbin:$$PATH" cargo test --locked --test pure -- --ignored

test-lab: build lab-up ## the lab ring: bootstrap, drift, kills, reboot, a second worker
	$(LAB_TEST) short::
	@scripts/lab-summary.sh --images

# CHROMIUM=/path/to/chrome names another one; QUORATE_SHOTS=FOLDER keeps what it has looked at.
CHROMIUM ?= $(firstword $(foreach name,chromium chromium-browser google-chrome,$(shell command -v $(name))))
test-page: ## the HTML page in headless Chromium, where there is one
ifeq ($(CHROMIUM),)
	@echo "skipped: test-page (no Chromium on this machine)"
else
	CHROMIUM=$(CHROMIUM) cargo test --locked --test page
endif

lab-long: build lab-up ## the lab ring's long stories
	$(LAB_TEST) long::
	@scripts/lab-summary.sh --images

# Hours: QUORATE_TORTURE_STEP=25 takes every 25th record alone.
torture: build lab-up ## every kill point of init and join, and every record of the journal
	$(LAB_TEST) torture::

# On stable: without a sanitizer, with debug assertions. Seeds are in fuzz/seeds, what was found on the way in fuzz/corpus.
FUZZ_SECONDS ?= 600
FUZZ ?= $(basename $(notdir $(wildcard fuzz/targets/*.rs)))
fuzz: ## every fuzz target, FUZZ_SECONDS=600 each (FUZZ=role: that one)
	@command -v cargo-fuzz >/dev/null || { echo "cargo-fuzz is missing: cargo install cargo-fuzz"; exit 1; }
	for target in $(FUZZ); do \
		mkdir -p "fuzz/corpus/$$target"; \
		cargo fuzz run -s none "$$target" "fuzz/corpus/$$target" "fuzz/seeds/$$target" -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=32768 -timeout=30 -rss_limit_mb=4096 -print_final_stats=1; \
	done

# 2,000 of them are in `make test`; QUORATE_HISTORIES=1000000 says otherwise.
QUORATE_HISTORIES ?= 100000
histories: ## that many histories of a simulated cluster, in the release profile
	QUORATE_HISTORIES=$(QUORATE_HISTORIES) cargo test --release --locked --test pure -- --nocapture cluster_sim

# The advisories come from RustSec's repository: without a way there DENY="licenses bans sources" leaves them out, and says so.
DENY ?= advisories licenses bans sources
deny: ## licences, origins and known holes of what is built in (cargo install --locked cargo-deny)
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is missing: cargo install --locked cargo-deny"; exit 1; }
	cargo deny --locked check --hide-inclusion-graph $(DENY)
	@$(if $(filter advisories,$(DENY)),,echo "skipped: advisories")

sbom: ## what is in the binary, as CycloneDX (cargo install --locked cargo-cyclonedx)
	@command -v cargo-cyclonedx >/dev/null || { echo "cargo-cyclonedx is missing: cargo install --locked cargo-cyclonedx"; exit 1; }
	@scripts/sbom.sh

bench-plan: build ## wall time of a plan without changes: ten runs, median
	@scripts/bench.sh plan

# PEERS="--hosts 1,10 --rtt 0,50" measures less; without it an hour may pass.
PEERS ?=
bench-peers: ## beside Ansible, mitogen, pyinfra and OpenSSH on sshd processes of this machine (root)
	cargo build --release --locked --example peers
	python3 tests/bench/peers.py --peers $(dir $(QUORATE))examples/peers $(PEERS)

bench-code: ## inventories, templates, plans and probes without a host: cargo bench
	cargo bench --locked

bench: build lab-up ## bootstrap from bare: split, memory, sizes; then bench-plan
	@scripts/bench.sh all

bench-scale: prepare ## a thousand hosts that cost nothing, and uploads (QUORATE_HOSTS=5000, QUORATE_MIB=256)
	cargo test --release --locked --test wire -- --ignored --nocapture --test-threads=1 scale::
