# The commands of the README. Each does its own set-up; long ones print progress.
.PHONY: run test compatibility check bench soak fuzz dist setup

# Builds Frontdoor and starts everything on this machine: `frontdoor up`.
run:
	@scripts/setup build
	cargo build --release -p frontdoor-cli
	@exec target/release/frontdoor up

# Everything, with a real etcd and the official SDKs.
test:
	@scripts/setup test
	cargo test --workspace --no-fail-fast

# Runs every client library against every provider and writes docs/compatibility.md.
compatibility:
	@scripts/setup test
	FRONTDOOR_COMPATIBILITY=write cargo test -p frontdoor-tests --test promises compatibility -- --nocapture

# Formatting, lints, documents, and the rules of the house.
check:
	@scripts/setup build
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --quiet
	cargo test -p frontdoor-tests --test tidy

# Prints the tables of bench/README.md: what a call costs, and what translation alone does.
bench:
	@scripts/setup build
	cargo build --release -p frontdoor-cli -p frontdoor-bench
	target/release/frontdoor-bench
	cargo bench -p frontdoor-bench --bench dialects
	target/release/frontdoor-bench dialects --readme bench/README.md

# A longer run under load that watches memory and errors; MINUTES=10 make soak.
soak:
	@scripts/setup build
	cargo build --release -p frontdoor-cli -p frontdoor-bench
	target/release/frontdoor-bench soak --minutes $${MINUTES:-10}

# The decoders and the readers of policy under random bytes for a while; SECONDS_EACH=60 make fuzz. Then the same laws under
# libFuzzer, where cargo-fuzz and a nightly compiler are installed.
fuzz: export FRONTDOOR_FUZZ_SECONDS = $(or $(SECONDS_EACH),60)
fuzz:
	@scripts/setup build
	FRONTDOOR_FUZZ_CORPUS=$(CURDIR)/fuzz/corpus cargo test --release -p frontdoor-dialect --test fuzz -- --nocapture
	cargo test --release -p frontdoor-tests --test fuzz -- --nocapture
	@if cargo +nightly fuzz --version >/dev/null 2>&1; then \
		for law in $$(cargo +nightly fuzz list); do \
			cargo +nightly fuzz run $$law -- -max_total_time=$$FRONTDOOR_FUZZ_SECONDS -max_len=16384 || exit 1; \
		done; \
	else echo "cargo-fuzz is not installed: libFuzzer was left out"; fi

# What is shipped: thin LTO, one codegen unit.
dist:
	@scripts/setup build
	cargo build --profile dist -p frontdoor-cli -p frontdoor-control-plane -p frontdoor-proxy

setup:
	@scripts/setup test
