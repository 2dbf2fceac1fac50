# The project's commands. Everything here is also what CI runs.
#   make up     this machine becomes a cluster of one node that runs a demo
#   make down   and is as before
SHELL := /bin/sh
target := $(abspath $(or $(CARGO_TARGET_DIR),target))
binary := $(target)/release/keelson
manifests ?=

.PHONY: up down build runtime prepare prepare-tests check test test-node test-vm bench clean

up: prepare build runtime
	$(binary) up $(if $(manifests),--manifests $(manifests),--demo)

down:
	@if [ -x $(binary) ]; then $(binary) down; \
	elif [ -x /var/lib/keelson/bin/keelson ]; then /var/lib/keelson/bin/keelson down; \
	else echo "nothing to take down: keelson was never built here"; fi

# What building and running need, installed where it is missing.
prepare:
	@systemd/prepare.sh

prepare-tests: prepare
	@systemd/prepare.sh tests

runtime: prepare
	@systemd/fetch-runtime.sh >/dev/null

# Static: it runs on any Linux. At fixed addresses: a CNI plugin starts in three quarters of the
# time and an agent is half a MiB smaller when nothing has to be relocated at each start. Only the
# last crate is built anew for that.
build: prepare
	. systemd/rust-env.sh && cargo rustc --locked --target-dir $(target) --release --bin keelson -- -C target-feature=+crt-static -C relocation-model=static

# Formatting, lints, then the architecture: arrows, purity, budgets, licences, documents.
check: prepare
	. systemd/rust-env.sh && cargo fmt --all --check
	. systemd/rust-env.sh && cargo clippy --locked --target-dir $(target) --workspace --all-targets -- -D warnings
	. systemd/rust-env.sh && cargo clippy --locked --target-dir $(target) -p keelson-tests --test vm -- -D warnings
	. systemd/rust-env.sh && cargo test --locked --target-dir $(target) -p keelson-tests --test architecture

# Tiers pure and sim, then node (which needs root and says so).
test: prepare-tests build runtime
	. systemd/rust-env.sh && CARGO_TARGET_DIR=$(target) tests/run.sh

test-node: prepare-tests build runtime
	. systemd/rust-env.sh && CARGO_TARGET_DIR=$(target) tests/run.sh node

# A Debian with systemd in QEMU: minutes, more where the processor cannot help.
test-vm: prepare-tests build
	. systemd/rust-env.sh && CARGO_TARGET_DIR=$(target) tests/run.sh vm

bench: prepare-tests build runtime
	. systemd/rust-env.sh && CARGO_TARGET_DIR=$(target) tests/run.sh bench

clean:
	cargo clean
